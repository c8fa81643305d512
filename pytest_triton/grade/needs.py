"""What the grader's machine has to have, so that its lack is nobody's fail."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

from pytest_triton.errors import ToolError
from pytest_triton.handed_in import HandedIn
from pytest_triton.launch.store import DEFAULT_RELEASE, find_server
from pytest_triton.monitoring.process import find as find_program
from pytest_triton.sandbox.bubblewrap import Bounds, find


def require(*, sandbox: bool, bounds: Bounds, release: str | None) -> None:
    """What any submission needs. Raises ToolError, with the remedy, for the first lack."""
    if sandbox:
        find(bounds)
    find_server(release or DEFAULT_RELEASE)
    _package("torch", "torch")


def require_for(found: HandedIn) -> None:
    """What this one needs, by what was handed in. Raises ToolError."""
    load_test = found.load_test.name if found.load_test else ""
    if load_test == "locustfile.py" and shutil.which("locust") is None:
        _package("locust", "locust")
    if found.prometheus or found.rules or found.dashboards:
        _package("promql_parser", "monitor")
        _package("yaml", "monitor")
        for program in ("prometheus", "promtool"):
            find_program(program)
    if found.alertmanager:
        find_program("alertmanager")


def _package(name: str, extra: str) -> None:
    if find_spec(name) is None:
        raise ToolError(f"{name} is not installed here", f"pip install 'pytest-triton[{extra}]'")
