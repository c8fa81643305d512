"""Waits with torch imported, and forks children that become stubs. See launcher.py for who asks.

Two processes share the work. The first has only what every stub needs (numpy and a few modules
of the standard library), is ready at once and serves the stubs that complete configurations;
its child imports torch meanwhile and serves the stubs of instances. Neither ever runs a model,
touches CUDA or holds threads of its own, so forking is safe.

Both end with their owner (the server, or whoever was named): the first watches the owner, the
second dies with the first. Children that became stubs do not depend on them: each is tied to
its own launcher.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import importlib
import marshal
import os
import select
import signal
import socket
import sys
import threading
import types
import warnings
from typing import Any, NoReturn

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from graft import Stub  # noqa: E402

del sys.path[0]

LISTENER = 3
LIGHT = ("json", "asyncio", "numpy")
HEAVY = ("torch", "torch.utils.dlpack")
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
#: A request: arguments and environment. The kernel's limit for one message is about the same.
_LARGEST = 256 * 1024
_STREAMS = 3


def main(owner: int) -> None:
    listener = socket.socket(fileno=LISTENER)
    listener.set_inheritable(False)
    watch = os.pidfd_open(owner)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel collects children
    warnings.simplefilter("ignore")  # about forking beside numpy's threads, which step aside
    name("triton_zygote")
    refusal = prepare(LIGHT) or check_lifeline()
    stub = None
    try:
        stub = Stub(os.path.join(os.path.dirname(os.path.abspath(__file__)), "graft.json"))
    except Exception as error:
        refusal = refusal or f"{type(error).__name__}: {error}"
    heavy, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not os.fork():
        for held in (heavy, listener):
            held.close()
        os.close(watch)
        serve_heavy(other, stub, refusal)
    other.close()
    poll = select.poll()
    for number in (watch, listener.fileno()):
        poll.register(number, select.POLLIN)
    while watch not in [number for number, _ in poll.poll()]:
        sock, _ = listener.accept()
        # A peer that connects and says nothing must not stop the others.
        sock.settimeout(5.0)
        try:
            message, numbers, _, _ = socket.recv_fds(sock, _LARGEST, _STREAMS)
            if own_peer(sock) and len(numbers) == _STREAMS:
                serve(stub, refusal, heavy, sock, message, numbers)
        except (OSError, ValueError, EOFError, TypeError):
            pass  # the launcher sees the end of the connection and uses the ordinary stub
        finally:
            sock.close()
            close(numbers)


def serve(
    stub: Stub | None, refusal: str, heavy: socket.socket, sock: socket.socket, message: bytes,
    numbers: list[int],
) -> None:  # fmt: skip
    """One request: here, or by the process that has torch."""
    order = marshal.loads(message)
    if refusal or stub is None:
        refuse(sock, refusal)
    elif order["light"]:
        fork_stub(stub, sock, order, numbers, [heavy.fileno(), LISTENER])
    else:
        socket.send_fds(heavy, [message], [sock.fileno(), *numbers])


def serve_heavy(requests: socket.socket, stub: Stub | None, refusal: str) -> NoReturn:
    libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    name("triton_zygote_t")
    refusal = refusal or prepare(HEAVY)
    while True:
        message, numbers, _, _ = socket.recv_fds(requests, _LARGEST, 1 + _STREAMS)
        if not message:
            os._exit(0)
        with socket.socket(fileno=numbers[0]) as sock:
            if refusal or stub is None:
                refuse(sock, refusal)
            else:
                others = [requests.fileno()]
                fork_stub(stub, sock, marshal.loads(message), numbers[1:], others)
        close(numbers[1:])


def prepare(modules: tuple[str, ...]) -> str:
    """Import what stubs will need; why not, if it fails."""
    for module in modules:
        try:
            importlib.import_module(module)
        except BaseException as error:
            return f"import {module}: {type(error).__name__}: {error}"
    gc.collect()
    gc.freeze()  # objects that the collector does not touch stay shared between the children
    return ""


def fork_stub(
    stub: Stub, sock: socket.socket, order: dict[str, Any], streams: list[int], others: list[int]
) -> None:
    if os.fork():
        return
    said = False
    try:
        close(others)
        for target, number in enumerate(streams):
            os.dup2(number, target)
        close(streams)
        become(order)
        stub.arm(finish)
        tie(sock)
        sock.send(b"+%d" % os.getpid())
        said = True
        os._exit(stub.run(order["arguments"]))
    except BaseException as error:
        if not said:
            refuse(sock, f"{type(error).__name__}: {error}")
    finally:
        os._exit(1)


def become(order: dict[str, Any]) -> None:
    """Everything in which a fresh stub differs from a copy of this process."""
    os.chdir(order["directory"])
    os.umask(order["mask"])
    os.environb.clear()
    os.environb.update(order["environment"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # main sets its own
    name("triton_python_backend_stub")
    warnings.resetwarnings()
    sys.argv[:] = [""]
    sys.modules["__main__"] = types.ModuleType("__main__")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream is sys.stderr or os.isatty(stream.fileno()))
    if "numpy.random" in sys.modules:  # torch and random have fixed or fresh seeds by themselves
        sys.modules["numpy.random"].seed()


def tie(sock: socket.socket) -> None:
    """When the launcher's end of the connection closes, the kernel kills this process."""
    number = sock.fileno()
    fcntl.fcntl(number, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(number, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL) | fcntl.FASYNC)


F_SETSIG = getattr(fcntl, "F_SETSIG", 10)


def check_lifeline() -> str:
    """Does this kernel keep the promise of `tie`? Asked with a harmless signal."""
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        fcntl.fcntl(ours, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(ours, F_SETSIG, signal.SIGUSR1)
        fcntl.fcntl(ours, fcntl.F_SETFL, fcntl.fcntl(ours, fcntl.F_GETFL) | fcntl.FASYNC)
        theirs.close()
        select.select([], [], [], 0)  # lets Python run the handler
    signal.signal(signal.SIGUSR1, before)
    return "" if heard else "this kernel does not signal the end of a socket"


def finish() -> NoReturn:
    """In the place of Py_Finalize, the last call of main: what has to happen, then the end.

    Modules are not taken apart: that costs a model's unload a part of a second, and the
    interpreter could not be ended below frames that are still running.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    libc().fflush(None)
    os._exit(0)


def refuse(sock: socket.socket, reason: str) -> None:
    try:
        sock.send(b"-" + os.fsencode(reason)[:2000])
    except OSError:
        pass


def own_peer(sock: socket.socket) -> bool:
    peer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(peer[4:8], sys.byteorder) == os.getuid()


def close(numbers: list[int]) -> None:
    for number in numbers:
        os.close(number)


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def name(text: str) -> None:
    """As ps and top show it; 15 characters, like the ordinary stub's."""
    libc().prctl(_PR_SET_NAME, text.encode()[:15], 0, 0, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
