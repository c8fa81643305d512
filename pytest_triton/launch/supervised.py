"""The creator's side of the supervisor: start, orders, news, and the end of it."""

from __future__ import annotations

import contextlib
import marshal
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from pytest_triton.errors import DeploymentFailed
from pytest_triton.launch.supervisor import remove_tree

_PROGRAM = Path(__file__).with_name("supervisor.py")
#: Seconds beyond the grace of a stop before the supervisor itself is killed.
_STOP_MARGIN = 15.0


class Supervised:
    """A supervisor process, and through it one server."""

    def __init__(self) -> None:
        self.exit_status: int | None = None
        self.server_pid: int | None = None
        self.stopped = False
        #: Set by whoever saw the server serve: from then on its models get time to finish.
        self.ready = False
        self.grace = 0.0
        self._region = ""
        self._directory: Path | None = None
        self._clean = False
        self._detached = False
        self._pending = b""
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            start_new_session=True,
        )

    def __enter__(self) -> Supervised:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._detached:
            # A boot that failed, or somebody in a hurry, waits for no model to finish.
            hurry = kind is not None and not issubclass(kind, Exception)
            self.stop("stop" if self.ready and not hurry else "kill")

    def start(
        self,
        *,
        argv: list[str],
        env: dict[str, str],
        log: Path,
        directory: Path,
        region: str,
        link: Path | None = None,
        lifeline: Path | None = None,
        grace: float = 0.0,
        memory: int = 0,
        deadline: float,
    ) -> int:
        """Start the server; its process id. Raises DeploymentFailed.

        ``memory``: ``argv`` puts it into a sandbox, where it may have so many bytes.
        """
        self.grace = grace
        self._region, self._directory = region, directory
        self._send(
            {
                "argv": argv,
                "env": env,
                "log": str(log),
                "directory": str(directory),
                "region": region,
                "link": str(link) if link else "",
                "lifeline": str(lifeline) if lifeline else "",
                "grace": str(grace),
                "memory": str(memory or ""),
            }
        )
        while self.server_pid is None and not self.stopped and time.monotonic() < deadline:
            self.wait(0.5)
        if self.server_pid is None:
            raise DeploymentFailed(
                "the process that owns the server did not start it",
                reason="its lifeline is gone" if lifeline else "",
                remedy="run  pytest-triton doctor",
            )
        return self.server_pid

    def wait(self, seconds: float) -> bool:
        """Wait for news; False when there was none."""
        if self.process.stdout is None or self.stopped:
            time.sleep(seconds)
            return False
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if not ready:
            return False
        data = os.read(self.process.stdout.fileno(), 65536)
        if not data:
            self.stopped = True
            return True
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            word, _, number = line.decode().partition(" ")
            if word == "started":
                self.server_pid = int(number)
            elif word == "exited":
                self.exit_status = int(number)
            elif word == "stopped":
                self.stopped = self._clean = True
        return True

    def detach(self) -> None:
        """From now on the server lives as long as its lifeline, whatever becomes of us."""
        self._send("detach")
        self._detached = True
        self.process.returncode = 0  # nobody waits for it here: keeps Popen from complaining

    def stop(self, how: str = "stop") -> None:
        """End the server and everything that is its own; returns when it is gone."""
        deadline = time.monotonic() + self.grace + _STOP_MARGIN
        self._send(how)
        if self.process.stdin is not None:
            self.process.stdin.close()
        while not self.stopped and time.monotonic() < deadline:
            self.wait(0.5)
        try:
            self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        if not self._clean and self._directory is not None:
            # The supervisor was killed, and the kernel its server: what is left is ours.
            # Without a prefix of its own (old servers) nobody can tell whose a region is.
            for name in os.listdir("/dev/shm"):
                if self._region and name.startswith(self._region):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(f"/dev/shm/{name}")
            remove_tree(str(self._directory))

    def _send(self, message: dict[str, object] | str) -> None:
        """Write a message; a supervisor that is gone shows in :meth:`wait`."""
        body = marshal.dumps(message)
        data = len(body).to_bytes(4, "little") + body
        if self.process.stdin is None or self.process.stdin.closed:
            return
        try:
            while data:
                data = data[os.write(self.process.stdin.fileno(), data) :]
        except OSError:
            pass
