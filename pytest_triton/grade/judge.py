"""The suites on a submission that was taken in: pytest in a process of its own, bounded.

Nothing of the submission is imported, collected or configured there: Python and pytest start
isolated, from an empty directory of ours, and the submission is data that is named.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from pytest_triton.sandbox.active import BUBBLEWRAP, NONE, environment
from pytest_triton.sandbox.bubblewrap import Bounds, find
from pytest_triton.sandbox.outside import clean, outside

LOG = "judge.log"
_SCRATCH = "pytest-triton-grade-"
#: Seconds that a judge gets to write its report when its time is over, and then to end.
_REPORT_S, _END_S = 60.0, 30.0
_LOOK = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """What to judge, and how."""

    #: Where the copy lies, and where report.json goes.
    submission: Path
    out: Path
    repository: Path | None
    #: Options of pytest, such as --triton-tier.
    options: tuple[str, ...] = ()
    #: What is collected; a part leaves the run without a verdict.
    select: tuple[str, ...] = ("pytest_triton.suites",)
    #: Seconds for all of it.
    deadline: float = 3600.0
    sandbox: bool = True
    bounds: Bounds = field(default_factory=Bounds)


@dataclass(frozen=True, slots=True)
class Judged:
    """How the judge ended: pytest's exit status, and whether its time was over."""

    status: int
    late: bool
    seconds: float


def judge(asked: Asked, look: Callable[[float], None] = lambda _: None) -> Judged:
    """Run the suites; ``look`` is called with the seconds meanwhile.

    Raises ToolError where there is no sandbox. What pytest prints goes to judge.log.
    """
    with _scratch() as scratch:
        command = _pytest(asked, scratch)
        if asked.sandbox:
            command = outside(find(asked.bounds), command)
        kind = BUBBLEWRAP if asked.sandbox else NONE
        told = {
            **environment(kind, asked.bounds),
            "PYTEST_TRITON_HANDED_IN": str(asked.submission),
        }
        return _run(command, clean(told, scratch), asked, scratch, look)


def _pytest(asked: Asked, scratch: Path) -> list[str]:
    ours = scratch / "pytest.ini"
    ours.write_text("[pytest]\n")
    plugins = ["triton", *(["metadata", "html"] if find_spec("pytest_html") else [])]
    subject = ["--triton-repository", str(asked.repository)] if asked.repository else []
    return [
        sys.executable, "-I", "-m", "pytest",
        "-c", str(ours), "--rootdir", str(scratch), "--confcutdir", str(scratch),
        "-p", "no:cacheprovider", *(word for name in plugins for word in ("-p", name)),
        "--basetemp", str(scratch / "pytest"), "--color=no",
        *subject, "--triton-report", str(asked.out), *asked.options, "--pyargs", *asked.select,
    ]  # fmt: skip


def _run(
    command: list[str], env: Mapping[str, str], asked: Asked, scratch: Path,
    look: Callable[[float], None],
) -> Judged:  # fmt: skip
    started = time.monotonic()
    late = False
    with (asked.out / LOG).open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=scratch,
            start_new_session=True,
        )  # fmt: skip
    try:
        while process.poll() is None:
            seconds = time.monotonic() - started
            if seconds > asked.deadline and not late:
                late = True
                _signal(process, signal.SIGINT)  # pytest writes what it knows
            if seconds > asked.deadline + _REPORT_S:
                break
            look(seconds)
            time.sleep(_LOOK)
    finally:
        _end(process)
    return Judged(process.returncode or 0, late, time.monotonic() - started)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the judge itself: bubblewrap in front of it passes nothing on."""
    import psutil

    try:
        outer = psutil.Process(process.pid)
        inner = outer.children() if outer.name() == "bwrap" else []
        os.kill(inner[0].pid if inner else process.pid, number)
    except (psutil.Error, OSError):
        return


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the judge; its servers and scripts end with it, each by its own supervisor."""
    if process.poll() is not None:
        return
    _signal(process, signal.SIGKILL)
    process.kill()
    process.wait(_END_S)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A directory of ours for everything that is not the report; gone afterwards."""
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(f"{_SCRATCH}*"):  # of a grading that was killed
        owner = left.name.removeprefix(_SCRATCH).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-", dir=parent))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
