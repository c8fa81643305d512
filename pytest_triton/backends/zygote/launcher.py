"""What Triton starts in the place of a stub of the `pytorch` backend. Run with ``-I -S``.

Asks the zygote for a child that becomes the stub, and then lives exactly as long as that child,
because Triton waits for this process, and kills this process: the two hold the ends of one
socket. When the child ends, the socket closes and this process ends; when this process ends,
however it does, the kernel kills the child (see zygote.py). When no child can be had, this
process turns into the ordinary stub, with the same process id and the same arguments.

Stands in the path of every model's start, hence few imports and no classes of the standard
library's socket module.
"""

from __future__ import annotations

import _signal
import _socket
import marshal
import os
import select
import sys
import time
import zlib

HOME = os.path.dirname(os.path.abspath(__file__))
STUB = os.path.join(HOME, "triton_python_backend_stub")
#: Seconds to wait for a child, which may include importing torch on a busy machine.
PATIENCE = 60.0
#: Seconds for a stub to notice by itself that its server died (it looks every 0.3 s).
GRACE = 3.0
#: The zygote finds its listening socket there.
LISTENER = 3
ENDED = "the zygote ended (does its interpreter run? see graft.py)"
#: Variables that act while libraries are loaded: a zygote serves one set of them only.
LOADING = ("LD_", "PYTHON", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "TORCH", "PYTORCH",
           "ATEN_", "CUDA", "NVIDIA_", "NCCL_", "MALLOC_", "GLIBC_", "LC_")  # fmt: skip
NAMES = ("PATH", "LANG", "VIRTUAL_ENV", "CONDA_PREFIX", "HOME")


class Declined(Exception):
    """No child, and why."""


def loading(environment: dict[bytes, bytes]) -> bytes:
    """The part of an environment that a zygote has to share with the stub that it becomes."""
    prefixes, names = tuple(map(os.fsencode, LOADING)), tuple(map(os.fsencode, NAMES))
    pairs = (k + b"=" + v for k, v in environment.items() if k.startswith(prefixes) or k in names)
    return b"\0".join(sorted(pairs))


def first_environment() -> dict[bytes, bytes]:
    """The environment as Triton gave it: Python itself adds LC_CTYPE where there is no locale."""
    with open("/proc/self/environ", "rb") as file:
        pairs = [pair.partition(b"=") for pair in file.read().split(b"\0")]
    return {name: value for name, equals, value in pairs if equals}


def address(server: int) -> bytes:
    """Abstract socket of the zygote of a server: no file, gone with the process."""
    with open(f"/proc/{server}/stat", "rb") as file:
        began = file.read().rpartition(b")")[2].split()[19]  # tells reused process ids apart
    kind = zlib.crc32(loading(first_environment()) + b"\0" + os.fsencode(HOME))
    return b"\0pytest-triton-zygote/%d/%d/%s/%08x" % (os.getuid(), server, began, kind)


def own_peer(sock: _socket.socket) -> bool:
    """Anybody may listen on an abstract name: talk to our own user only."""
    peer = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    return int.from_bytes(peer[4:8], sys.byteorder) == os.getuid()


def connect(server: int) -> _socket.socket:
    """A connection to the zygote, which is started if there is none. Raises OSError, Declined."""
    name, began = address(server), False
    for _ in range(200):
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        try:
            sock.connect(name)
        except ConnectionRefusedError:
            sock.close()
            if began:
                break
            began = start(server, name)
            if not began:
                time.sleep(0.01)  # somebody else is between bind and listen
            continue
        if not own_peer(sock):
            raise Declined("another user listens on the name of the zygote")
        return sock
    raise Declined(ENDED)


def start(server: int, name: bytes) -> bool:
    """Start a zygote unless somebody else just did; it inherits the socket, already listening."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        sock.bind(name)
    except OSError:
        sock.close()
        return False
    sock.listen(256)
    child = os.fork()
    if child:
        sock.close()
        os.waitpid(child, 0)
        return True
    try:
        if os.fork():  # a child of nobody: this process may turn into the ordinary stub
            os._exit(0)
        become_zygote(server, sock.fileno())
    finally:
        os._exit(127)


def become_zygote(server: int, listener: int) -> None:
    # Nothing of ours may be kept open by it: the reader of the server's log waits for an end.
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.dup2(listener, LISTENER)
    os.set_inheritable(LISTENER, True)  # dup2 leaves a descriptor alone that is in its place
    os.closerange(LISTENER + 1, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")
    _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
    # As in a stub: Python 3.11 and later start isolated and without a locale, 3.10 with the
    # locale of the environment as it is; neither improves on it.
    environment = first_environment()
    options = ["-X", "utf8=0"]
    if sys.version_info >= (3, 11):
        options.append("-I")
        environment[b"LC_ALL"] = b"C"
    else:
        environment[b"PYTHONCOERCECLOCALE"] = b"0"
    # The name "python3" makes Python look for itself on PATH, as it does in a stub.
    arguments = ["python3", *options, os.path.join(HOME, "zygote.py"), str(server)]
    os.execve(os.path.join(HOME, "interpreter"), arguments, environment)


def request(sock: _socket.socket, arguments: list[str]) -> None:
    """Ask for a child: arguments, directory and environment, and the three standard streams."""
    # Triton names the stub that completes a configuration after the model, and the stub of an
    # instance after the instance. The first needs no torch. A wrong guess costs time, no more.
    model = os.path.basename(os.path.dirname(os.path.dirname(arguments[0])))
    order = {
        "light": arguments[7] == model,
        "arguments": [STUB, *arguments],
        "directory": os.getcwdb(),
        "environment": first_environment(),
        "mask": mask(),
        "processors": list(os.sched_getaffinity(0)),
    }
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)]
    sock.sendmsg([marshal.dumps(order)], rights)


def mask() -> int:
    value = os.umask(0o077)
    os.umask(value)
    return value


def become_child(arguments: list[str]) -> int:
    """Be the stub by proxy; returns when it has ended. Raises Declined, OSError."""
    if len(arguments) < 9:
        raise Declined("Triton gave arguments that are not known here")
    server = int(arguments[4])
    watch = os.pidfd_open(server)
    sock = connect(server)
    request(sock, arguments)
    waiting = select.poll()
    waiting.register(watch, select.POLLIN)
    waiting.register(sock.fileno(), select.POLLIN)
    ready = [number for number, _ in waiting.poll(PATIENCE * 1000)]
    if watch in ready:
        return 1  # the server died: nobody needs a stub
    if not ready:
        raise Declined(f"the zygote did not answer within {PATIENCE:.0f} s")
    answer = sock.recv(4096)
    if answer[:1] != b"+":
        raise Declined(os.fsdecode(answer[1:]) or ENDED)
    if sock.fileno() not in [number for number, _ in waiting.poll()]:
        waiting.unregister(watch)
        waiting.poll(GRACE * 1000)
    return 0


def main() -> int:
    arguments = sys.argv[1:]
    for number in (_signal.SIGINT, _signal.SIGTERM):  # as the stub does: Triton ends it otherwise
        _signal.signal(number, _signal.SIG_IGN)
    try:
        return become_child(arguments)
    except (ConnectionResetError, BrokenPipeError):
        reason = ENDED
    except Exception as error:  # whatever it is, the ordinary stub is the answer
        reason = str(error) or type(error).__name__
    text = f"pytest-triton: ordinary Python stub for {' '.join(arguments[7:8])}: {reason}\n"
    os.write(2, os.fsencode(text))
    for number in (_signal.SIGINT, _signal.SIGTERM):
        _signal.signal(number, _signal.SIG_DFL)
    os.execve(STUB, [STUB, *arguments], first_environment())
    return 127


if __name__ == "__main__":
    sys.exit(main())
