"""Run the judge as its users do, in a process of its own, and read its report."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .data import DIRECTORY

SEED = 7
#: Seconds for one run of the judge.
TIMEOUT = 180.0
#: Of the tests' own environment, what must not reach the judge.
_PRIVATE = ("PYTEST_", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
#: Plugins of others that happen to be installed: they cost each run time, or its order.
_NO_PLUGINS = ("cacheprovider", "randomly", "anyio", "hypothesispytest")


@dataclass(frozen=True)
class Judged:
    """The report of one run."""

    report: dict[str, Any]
    output: str
    seconds: float

    def status(self, clause: str) -> tuple[str, str | None]:
        """Status and reason code."""
        found = self.clause(clause)
        return found["status"], found["reason_code"]

    def clause(self, name: str) -> dict[str, Any]:
        """Its entry in the report."""
        return next(entry for entry in self.report["clauses"] if entry["id"] == name)

    @property
    def statuses(self) -> dict[str, tuple[str, str | None]]:
        """Of every clause."""
        return {entry["id"]: (entry["status"], entry["reason_code"])
                for entry in self.report["clauses"]}  # fmt: skip

    def nodes(self, clauses: Sequence[str]) -> list[str]:
        """Ids of the tests of clauses."""
        return [node for name in clauses for node in self.clause(name)["nodeids"]]


@cache
def _bytecode() -> str:
    """A directory for compiled modules that goes when this process ends."""
    directory = tempfile.mkdtemp(prefix="pytest-triton-faults-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def judge(
    directory: Path,
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    deselect: Sequence[str] = (),
    timeout: float = TIMEOUT,
) -> Judged:
    """One run of the suites; ``directory`` gets the report. AssertionError when there is none."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "pytest.ini").write_text("[pytest]\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
    if cache := os.environ.get("PYTEST_TRITON_CACHE"):
        env["PYTEST_TRITON_CACHE"] = cache
    # Hundreds of runs of the same code: pytest rewrites each module once, outside the tree.
    env["PYTHONPYCACHEPREFIX"] = _bytecode()
    env.update(environment or {})
    command = [sys.executable, "-m", "pytest", "--pyargs", "pytest_triton.suites",
               "-q", "--no-header", *(f"-pno:{name}" for name in _NO_PLUGINS),
               "--rootdir", str(directory), "-c", str(directory / "pytest.ini"),
               "--triton-report", str(directory / "report"), "--triton-seed", str(SEED),
               *(one.replace("@FAULTS@", str(DIRECTORY)) for one in arguments)]  # fmt: skip
    for node in deselect:
        command += ["--deselect", node]
    log = directory / "output.txt"
    started = time.monotonic()
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=directory, env=env, stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            tail = log.read_text(errors="replace")[-3000:]
            raise AssertionError(f"the judge did not end within {timeout:g} s\n{tail}") from None
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
            raise
    output = log.read_text(errors="replace")
    report = directory / "report" / "report.json"
    assert report.is_file(), f"the judge wrote no report (status {process.returncode})\n{output}"
    return Judged(json.loads(report.read_text()), output, time.monotonic() - started)
