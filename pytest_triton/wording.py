"""How a failure reads: in our own words, and without the frames that lie behind them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest
from _pytest._code.code import ExceptionChainRepr, ReprFileLocation, Traceback

from pytest_triton.errors import Findings, ToolError

_PACKAGE = Path(__file__).resolve().parent
_FIXTURES = _PACKAGE.parent / "fixtures"  # of a checkout
#: What lies between our frames and a test's.
_BETWEEN = ("_pytest", "pluggy", "contextlib.py")


def words(error: BaseException) -> str:
    """The text of an error; of an assertion with a message, the message alone.

    pytest's rewriting appends the expression that was false, which says less than we did.
    """
    text = str(error).strip()
    told, rewritten, _ = text.partition("\nassert ")
    return told.rstrip() if rewritten and isinstance(error, AssertionError) else text


def hide_our_frames(call: pytest.CallInfo[None], config: pytest.Config) -> None:
    """Leave the frames of a person's own code in front of an error that explains itself.

    Errors that we did not expect keep everything, and so does ``--full-trace``.
    """
    if call.excinfo is None or config.getoption("fulltrace", False):
        return
    if isinstance(call.excinfo.value, (ToolError, Findings)):
        # A chain made anew: pytest walks from frame to frame, not from entry to entry.
        chain: TracebackType | None = None
        for raw in reversed(list(_walk(call.excinfo.tb))):
            if not _ours(Path(raw.tb_frame.f_code.co_filename)):
                chain = TracebackType(chain, raw.tb_frame, raw.tb_lasti, raw.tb_lineno)
        call.excinfo.traceback = Traceback(chain or ())


def _walk(raw: TracebackType | None) -> Iterator[TracebackType]:
    while raw is not None:
        yield raw
        raw = raw.tb_next


def name_error(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Where no frame is left, pytest's one-line summary of a failure would be without a text."""
    shown = report.longrepr
    if call.excinfo is None or not isinstance(shown, ExceptionChainRepr) or shown.reprcrash:
        return
    first = call.excinfo.exconly().splitlines()[0].rpartition("pytest_triton.errors.")[2]
    path, line, _ = item.location
    shown.reprcrash = ReprFileLocation(path, (line or 0) + 1, first)


def _ours(path: Path) -> bool:
    if path.name in _BETWEEN or any(part in _BETWEEN for part in path.parts):
        return True
    if "suites" in path.parts:
        return False
    return _PACKAGE in path.parents or _FIXTURES in path.parents
