"""One program of the monitoring stack: started, waited for, ended with us."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import urllib3

from pytest_triton.errors import ToolError

HOST = "127.0.0.1"
#: Names of each program: as its project ships it, and as Debian does.
NAMES = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "amtool": ("amtool",),
}
#: Seconds until one answers, and until it has ended.
READY_S, END_S = 20.0, 5.0
_LOOK = 0.05
#: The kernel ends it when its creator ends, however that happens.
_TIED = (
    "import ctypes,os,sys;ctypes.CDLL(None).prctl(1,9);"
    "sys.exit(1) if os.getppid()!=int(sys.argv[1]) else os.execv(sys.argv[2],sys.argv[2:])"
)


class NoProgram(ToolError):
    """A program of the stack is not installed."""


def find(program: str) -> str:
    """Its path. Raises NoProgram with the remedy."""
    for name in NAMES[program]:
        if found := shutil.which(name):
            return found
    raise NoProgram(
        f"there is no {NAMES[program][0]} on PATH",
        "apt-get install prometheus prometheus-alertmanager (the services need not run), or put "
        "the binaries of prometheus.io on PATH",
    )


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        return int(held.getsockname()[1])


class Program:
    """A server on a loopback port with ``/-/ready``; ends when the block does."""

    program = ""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.log = directory / f"{self.program}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._http = urllib3.PoolManager(
            timeout=urllib3.Timeout(10.0), retries=False, maxsize=4, headers={"Accept": "*/*"}
        )

    def _arguments(self) -> Sequence[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait. Raises ToolError with the end of its log where it does not answer."""
        command = [find(self.program), *self._arguments()]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _TIED, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if self._http.request("GET", f"{self.url}/-/ready").status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                pass
            time.sleep(_LOOK)
        status = self._process.poll()
        self.stop()
        how = f"ended with status {status}" if status is not None else f"not ready in {READY_S:g} s"
        raise ToolError(f"{self.program}: {how}: {self.last_error()}", f"read {self.log}")

    def last_error(self) -> str:
        """The last line of its log that speaks of an error, or the last one."""
        lines = self.log.read_text("utf-8", "replace").splitlines()
        errors = [line for line in lines if "level=error" in line or "err=" in line]
        return (errors or lines or ["it said nothing"])[-1][-400:]

    def stop(self) -> None:
        """End it; no data of it is kept, so that there is nothing to wait for."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait(END_S)
        self._http.clear()

    def __enter__(self) -> Any:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def get(self, path: str, **fields: Any) -> Any:
        """JSON of its API. Raises ToolError where it does not answer."""
        import json

        try:
            answer = self._http.request("GET", f"{self.url}{path}", fields=fields)
            return json.loads(answer.data)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise ToolError(
                f"{self.program} does not answer: {error}", f"read {self.log}"
            ) from None
