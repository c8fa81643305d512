"""The process that owns one server of ours. Run as ``python -I -S supervisor.py``.

It starts fast (few imports, no json) because it stands in every boot, and outlives its
creator by seconds only: end of file on its standard input, or on the lifeline FIFO, ends
the server, every process below it, its shared memory regions and its directory.

Protocol. In: a message is four bytes of length (little endian) and a marshalled object:
first a dict ``{argv, env, log, directory, link, region, lifeline, grace, memory}`` (``memory``:
it is in a sandbox and may have so many bytes), then the strings "detach" (from now on only the
lifeline counts), "stop" (as soon as the models have finished), "kill" (at once). Out: lines
``started PID``, ``exited STATUS`` (of the server), ``stopped``.
"""

# ruff: noqa: SIM105 (contextlib costs a boot some milliseconds)
from __future__ import annotations

import ctypes
import marshal
import os
import select
import signal
import sys
import time

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_SHM = "/dev/shm"
#: Signals that Python or we treat specially, and a server must not inherit so.
_HANDLED = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ,
)  # fmt: skip
#: Seconds that models get to finish when nobody is left who asked for it.
_ORPHAN_GRACE = 3.0
#: Seconds between looks at what the kernel does not report.
_TICK = 0.5
#: Seconds until a sandbox has its program, and between two looks at its memory.
_BOX_DEADLINE, _BOX_TICK = 10.0, 0.25
#: Seconds after which killed processes that do not go away are left to the kernel.
_KILL_DEADLINE = 5.0


class Supervisor:
    """Owns one server and everything that it made."""

    def __init__(self) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.creator = os.getppid()
        self.server = self.target = 0
        self.memory = 0
        #: Processes around a server whose models are gone: itself, and those of its sandbox.
        self.around = 1
        self.exited = False
        self.started = time.time()
        self.lifeline = -1
        self.detached = False
        self.order: dict[str, object] = {}
        wake, self.wake = os.pipe()
        self.woken = wake
        for descriptor in (wake, self.wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self.wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._terminate)
        self.ended = False

    def _terminate(self, *_: object) -> None:
        self.ended = True

    def text(self, name: str) -> str:
        return str(self.order.get(name) or "")

    def say(self, line: str) -> None:
        """One line to the creator, who may be gone."""
        try:
            os.write(1, line.encode() + b"\n")
        except OSError:
            pass

    def receive(self) -> object:
        """The next message, or None at the end."""
        head = self._exactly(4)
        body = self._exactly(int.from_bytes(head, "little")) if head else b""
        return marshal.loads(body) if body else None

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = os.read(0, count - len(data))
            if not piece:
                return b""
            data += piece
        return data

    def start(self) -> None:
        """The server as a child that dies with this process."""
        if directory := self.text("directory"):
            os.makedirs(directory, 0o700, exist_ok=True)
            os.makedirs(os.path.join(directory, "tmp"), 0o700, exist_ok=True)
            if link := self.text("link"):
                os.symlink(link, os.path.join(directory, "repository"))
        log = os.open(self.text("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC, 0o644)
        argv, env = self.order["argv"], self.order["env"]
        me = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self.libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != me:
                    os._exit(127)
                signal.set_wakeup_fd(-1)
                for number in _HANDLED:
                    signal.signal(number, signal.SIG_DFL)
                if self.text("memory"):  # its limit of file sizes is an error, not its end
                    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                null = os.open(os.devnull, os.O_RDONLY)
                os.dup2(null, 0)
                os.dup2(log, 1)
                os.dup2(log, 2)
                os.chdir(directory or "/")
                os.execve(argv[0], argv, env)  # type: ignore[index, arg-type]
            except BaseException as error:
                os.write(log, f"cannot start {argv[0]}: {error}\n".encode())  # type: ignore[index]
            finally:
                os._exit(127)
        os.close(log)
        self.server = self.target = pid
        self.memory = int(self.text("memory") or 0)
        if self.memory:
            self.find_target()
        self.say(f"started {self.target}")

    def find_target(self) -> None:
        """The process in the sandbox: below bubblewrap, and below the one that reaps for it."""
        deadline = time.monotonic() + _BOX_DEADLINE
        while time.monotonic() < deadline and not self.exited:
            below = descendants(self.server)
            if len(below) > 1:
                self.target, self.around = below[1], 3
                return
            time.sleep(0.002)
            self.reap()

    def open_lifeline(self) -> bool:
        """False when nobody holds the other end of the FIFO any more."""
        path = self.text("lifeline")
        if not path:
            return True
        try:
            self.lifeline = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            return os.read(self.lifeline, 1) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def reap(self) -> bool:
        """Collect everything that ended; say so when it was the server. False: none is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.server and not self.exited:
                self.exited = True
                code = os.waitstatus_to_exitcode(status)
                if self.memory and code > 128:  # what bubblewrap makes of a signal
                    code = 128 - code
                self.say(f"exited {code}")

    def run(self) -> None:
        order = self.receive()
        if not isinstance(order, dict):
            return
        self.order = order
        try:
            if self.open_lifeline():
                self.start()
                self.watch()
        finally:
            self.end()

    def watch(self) -> None:
        """Until somebody asks for the end, or nobody is left to ask."""
        grace = float(self.text("grace") or 0)
        poll = select.poll()
        poll.register(self.woken, select.POLLIN)
        poll.register(0, select.POLLIN)
        if self.lifeline >= 0:
            poll.register(self.lifeline, select.POLLIN)
        tick = _BOX_TICK if self.memory else _TICK
        while not self.ended:
            ready = {descriptor for descriptor, _ in poll.poll(tick * 1000)}
            if self.woken in ready:
                os.read(self.woken, 4096)
            self.reap()
            if 0 in ready:
                message = self.receive()
                if message == "stop":
                    return self.finish(grace)
                if message == "kill":
                    return None
                if message == "detach":
                    self.detached = True
                elif message is None and self.detached:
                    poll.unregister(0)
                else:
                    break
            if self.lifeline in ready and self.cut():
                break
            if not self.detached and os.getppid() != self.creator:
                break
            if self.memory and not self.exited and anonymous(self.server) > self.memory:
                with open(self.text("log"), "a") as log:
                    log.write(f"sandbox: ended, for it took over {self.memory >> 20} MiB\n")
                os.kill(self.server, signal.SIGKILL)
        return self.finish(min(grace, _ORPHAN_GRACE))

    def cut(self) -> bool:
        """Is the lifeline's other end closed?"""
        try:
            return os.read(self.lifeline, 4096) == b""
        except BlockingIOError:
            return False

    def finish(self, grace: float) -> None:
        """Ask the server to stop, and wait until every Python model has finished.

        The server has removed the region of a model by then; what it does afterwards is to
        wait in steps of a second, so nothing is lost with it.
        """
        deadline = time.monotonic() + grace
        if self.exited or grace <= 0:
            return
        os.kill(self.target, signal.SIGTERM)
        while time.monotonic() < deadline:
            self.reap()
            if self.exited or not self.regions() or len(descendants(os.getpid())) <= self.around:
                return
            time.sleep(0.01)

    def regions(self) -> set[str]:
        """Names of the server's own shared memory regions."""
        region = self.text("region")
        return {name for name in os.listdir(_SHM) if region and name.startswith(region)}

    def end(self) -> None:
        """Kill the whole tree, and remove what is ours outside it."""
        me = os.getpid()
        deadline = time.monotonic() + _KILL_DEADLINE
        regions: set[str] = set()
        # Orphans come to us, so when there is no child left, nothing is.
        while self.reap() and time.monotonic() < deadline:
            tree = descendants(me)
            for pid in tree:
                regions |= mapped_regions(pid)
            for pid in tree:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.002)
        for name in regions | self.regions():
            try:
                os.unlink(os.path.join(_SHM, name))
            except OSError:
                pass
        for directory in (self.text("directory"), os.path.dirname(self.text("lifeline"))):
            if os.path.basename(directory).startswith("pytest-triton-"):
                remove_tree(directory)
        if self.server:
            sweep(self.started)
        self.say("stopped")


def sweep(started: float) -> None:
    """What the Python backend leaves behind when it is killed."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    try:
        from leftovers import remove_environments  # type: ignore[import-not-found]

        remove_environments(started)
    except (ImportError, OSError):  # the end has to be told all the same
        pass


def descendants(root: int) -> list[int]:
    """Every live process below ``root``, the nearest first; zombies do not count."""
    children: dict[int, list[int]] = {}
    zombies = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                after = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        children.setdefault(int(after[1]), []).append(int(name))
        if after[0] in b"ZX":
            zombies.add(int(name))
    found, queue = [], [root]
    while queue:
        for child in children.get(queue.pop(0), ()):
            queue.append(child)
            if child not in zombies:
                found.append(child)
    return found


def anonymous(root: int) -> int:
    """Bytes of memory that belong to the processes below ``root`` alone."""
    used = 0
    for pid in descendants(root):
        try:
            with open(f"/proc/{pid}/status", "rb") as file:
                used += sum(int(line.split()[1]) for line in file if line.startswith(b"RssAnon:"))
        except OSError:
            continue
    return used * 1024


def mapped_regions(pid: int) -> set[str]:
    """Names under /dev/shm of the Python backend's regions that a process has mapped."""
    try:
        with open(f"/proc/{pid}/maps") as file:
            lines = [line for line in file if "_backend_shm_region_" in line]
    except OSError:
        return set()
    names = {line.split(maxsplit=5)[5].strip() for line in lines}
    return {os.path.basename(name) for name in names if name.startswith(_SHM + "/triton_")}


def remove_tree(path: str) -> None:
    """Remove a directory of ours, as far as it goes; links are not followed."""
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        remove_tree(entry.path)
                    else:
                        os.unlink(entry.path)
                except OSError:
                    pass
        os.rmdir(path)
    except OSError:
        pass


if __name__ == "__main__":
    Supervisor().run()
