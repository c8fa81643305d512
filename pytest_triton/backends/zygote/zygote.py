"""Waits with torch imported, and forks children that become stubs. See launcher.py for who asks.

Two processes share the work. The first has only what every stub needs (numpy and a few modules
of the standard library), is ready at once and serves the stubs that complete configurations;
its child imports torch meanwhile and serves the stubs of instances. Neither ever runs a model,
touches CUDA or computes anything in parallel, so forking is safe.

Both end with the server: the first watches it, the second dies with the first. Children that
became stubs do not depend on them: each is tied to its own launcher.
"""

from __future__ import annotations

import atexit
import contextlib
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

HOME = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HOME)
from graft import Stub  # noqa: E402

sys.path[:] = [entry for entry in sys.path if entry != HOME]

LISTENER = 3
LIGHT = ("json", "asyncio", "numpy")
HEAVY = ("torch", "torch.utils.dlpack")
F_SETSIG = getattr(fcntl, "F_SETSIG", 10)  # Python 3.10 does not name it
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
#: A request: arguments and environment. The kernel's limit for one message is about the same.
_LARGEST = 256 * 1024
_STREAMS = 3


def main(server: int) -> None:
    listener = socket.socket(fileno=LISTENER)
    listener.set_inheritable(False)
    watch = os.pidfd_open(server)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, collect)
    name("triton_zygote")
    forker = Forker(prepare(LIGHT))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not fork():
        close([watch, listener.detach(), ours.detach()])
        serve_heavy(theirs, forker)
    theirs.close()
    forker.private = [watch, listener.fileno(), ours.fileno()]
    serve_light(listener, watch, ours, forker)


def serve_light(listener: socket.socket, watch: int, heavy: socket.socket, forker: Forker) -> None:
    """Take every request; returns when the server has died, or the process with torch has."""
    poll = select.poll()
    for number in (watch, listener.fileno(), heavy.fileno()):
        poll.register(number, select.POLLIN)
    while [number for number, _ in poll.poll()] == [listener.fileno()]:
        with listener.accept()[0] as sock:
            sock.settimeout(5.0)  # whoever connects and says nothing must not stop the others
            numbers: list[int] = []
            # Whatever goes wrong: the launcher sees the end of the connection.
            with contextlib.suppress(OSError, ValueError, EOFError, TypeError):
                message, numbers, _, _ = socket.recv_fds(sock, _LARGEST, _STREAMS)
                if not own_peer(sock) or len(numbers) != _STREAMS:
                    pass
                elif marshal.loads(message)["light"]:
                    forker.serve(sock, message, numbers)
                else:
                    socket.send_fds(heavy, [message], [sock.fileno(), *numbers])
            close(numbers)


def serve_heavy(requests: socket.socket, forker: Forker) -> NoReturn:
    """Import torch, and fork the stubs that need it; requests wait in the socket meanwhile."""
    libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    name("triton_zygote_t")
    forker.private = [requests.fileno()]
    forker.refusal = forker.refusal or prepare(HEAVY)
    while True:
        message, numbers, _, _ = socket.recv_fds(requests, _LARGEST, 1 + _STREAMS)
        if not message:
            os._exit(0)
        with socket.socket(fileno=numbers[0]) as sock:
            forker.serve(sock, message, numbers[1:])
        close(numbers[1:])


def collect(*_: object) -> None:
    """Children that ended; the time they used is added to this process's account."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


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


class Forker:
    """Turns children of this process into stubs, or says why it cannot."""

    def __init__(self, refusal: str) -> None:
        """refusal: a reason to refuse every request; empty if there is none."""
        self.refusal = refusal or check_lifeline()
        #: Descriptors that no stub may inherit.
        self.private: list[int] = []
        try:
            self.stub = Stub(os.path.join(HOME, "graft.json"))
        except Exception as error:
            self.refusal = self.refusal or f"{type(error).__name__}: {error}"

    def serve(self, sock: socket.socket, message: bytes, streams: list[int]) -> None:
        if self.refusal:
            refuse(sock, self.refusal)
        elif not fork():
            try:
                self._become(sock, marshal.loads(message), streams)
            finally:
                os._exit(1)

    def _become(self, sock: socket.socket, order: dict[str, Any], streams: list[int]) -> None:
        try:
            close(self.private)
            for target, number in enumerate(streams):
                os.dup2(number, target)
            close(streams)
            become(order)
            self.stub.arm(finish)
            tie(sock)
        except Exception as error:
            refuse(sock, f"{type(error).__name__}: {error}")
            return
        sock.send(b"+")  # fails if the launcher does not wait any more: then there is no stub
        os._exit(self.stub.run(order["arguments"]))


def fork() -> int:
    """As os.fork, without its warning of threads: numpy's BLAS has one, and stops it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return os.fork()


def become(order: dict[str, Any]) -> None:
    """Everything in which a fresh stub differs from a copy of this process."""
    os.chdir(order["directory"])
    os.umask(order["mask"])
    os.sched_setaffinity(0, order["processors"])
    os.environb.clear()
    os.environb.update(order["environment"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # main sets its own
    name("triton_python_backend_stub")
    sys.argv[:] = [""]
    sys._xoptions.clear()
    del sys.modules["graft"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream is sys.stderr or os.isatty(stream.fileno()))
    # Each process draws its own random numbers; Python's random sees to that by itself.
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()


def tie(sock: socket.socket) -> None:
    """When the launcher's end of the connection closes, the kernel kills this process."""
    number = sock.fileno()
    fcntl.fcntl(number, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(number, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL) | fcntl.FASYNC)


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
        select.select([], [], [], 0.01)  # lets Python run the handler
    signal.signal(signal.SIGUSR1, before)
    return "" if heard else "this kernel does not signal the end of a socket"


def finish() -> NoReturn:
    """In the place of Py_Finalize, the last call of main: what has to happen, then the end.

    Modules are not taken apart: that costs a model's unload a part of a second, and the
    interpreter could not be ended below frames that are still running.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        libc().fflush(None)
    finally:
        os._exit(0)


def refuse(sock: socket.socket, reason: str) -> None:
    with contextlib.suppress(OSError):
        sock.send(b"-" + os.fsencode(reason)[:2000])


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
