"""One test item: the clause that it names, whether it is ours, and what came out of it."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.errors import SubjectFault

SUITES = "pytest_triton.suites"


def clause_id(item: pytest.Item) -> str | None:
    """The clause that a test names; UsageError for a marker without exactly one id."""
    marker = item.get_closest_marker("clause")
    if marker is None:
        return None
    if len(marker.args) != 1 or marker.kwargs or not isinstance(marker.args[0], str):
        raise pytest.UsageError(f"{item.nodeid}: write @pytest.mark.clause('ABC-01')")
    return marker.args[0]


def is_suite(item: pytest.Item) -> bool:
    """Whether a test is one of ours, run from wherever."""
    module = getattr(getattr(item, "function", None), "__module__", "") or ""
    if module == SUITES or module.startswith(SUITES + "."):
        return True
    spec = find_spec(SUITES)
    places = (
        [Path(place).resolve() for place in (spec.submodule_search_locations or ())] if spec else []
    )
    return any(place in item.path.resolve().parents for place in places)


def status_of(call: pytest.CallInfo[None]) -> tuple[Any, str | None, str]:
    from pytest_triton.criteria import Inconclusive, Manual, Missing, NotAssessed, Reason, Status

    if call.excinfo is None:
        return Status.PASS, None, ""
    from pytest_triton.wording import words

    error = call.excinfo.value
    text = words(error)
    if isinstance(error, NotAssessed):
        return Status.NOT_ASSESSED, error.code.value, error.reason
    if isinstance(error, Missing):
        return Status.MISSING, None, error.reason
    if isinstance(error, Manual):
        return Status.MANUAL, None, error.reason
    if isinstance(error, Inconclusive):
        return Status.INCONCLUSIVE, None, error.reason
    if isinstance(error, pytest.skip.Exception):
        return Status.NOT_ASSESSED, Reason.SKIPPED.value, str(error.msg)
    if isinstance(error, SubjectFault):
        return Status.FAIL, None, text
    if call.when == "call" and isinstance(error, (AssertionError, pytest.fail.Exception)):
        return Status.FAIL, None, text or "assertion failed"
    return Status.ERROR, None, f"{type(error).__name__}: {text}"


def show_not_assessed(
    item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport, doubt: str = "skip"
) -> None:
    """For pytest, what could not be judged is a skip with its reason.

    ``doubt`` is what Inconclusive is: "skip" where a verdict counts it, which a skip does not
    hide; "fail" or "xfail" in a test that stands for itself.
    """
    if call.excinfo is None or "pytest_triton.criteria.status" not in sys.modules:
        return
    from pytest_triton.criteria import Inconclusive, Manual, Missing, NotAssessed

    error = call.excinfo.value
    if isinstance(error, Inconclusive) and doubt != "skip":
        if doubt == "xfail" and report.outcome == "failed":
            report.outcome = "skipped"
            report.wasxfail = f"inconclusive: {error}"
        return
    if isinstance(error, (NotAssessed, Inconclusive, Missing, Manual)):
        prefixes = {Inconclusive: "inconclusive: ", Missing: "missing: ", Manual: "manual: "}
        prefix = prefixes.get(type(error), "")
        path, line, _ = item.location
        report.outcome = "skipped"
        report.longrepr = (path, (line or 0) + 1, f"Skipped: {prefix}{error}")
