"""Whether what this process starts of a submission has to be in a sandbox.

``pytest-triton grade`` says so in the environment of the judge, where no file of a submission
can say otherwise, and every way to start something asks here: there is none around it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from pytest_triton.errors import Misused
from pytest_triton.sandbox.bubblewrap import Bounds, Sandbox, find

VARIABLE = "PYTEST_TRITON_SANDBOX"
_MEMORY, _PROCESSES = f"{VARIABLE}_MEMORY", f"{VARIABLE}_PROCESSES"
BUBBLEWRAP, NONE = "bubblewrap", "none"


def active() -> Sandbox | None:
    """The sandbox to use; None: none is asked for. Raises ToolError where it cannot be had."""
    kind = os.environ.get(VARIABLE, "")
    if kind in ("", NONE):
        return None
    if kind != BUBBLEWRAP:
        raise Misused(f"{VARIABLE} is {kind!r:.40}", f"say {BUBBLEWRAP} or {NONE}")
    return find(Bounds(_number(_PROCESSES), _number(_MEMORY)))


def environment(kind: str, bounds: Bounds) -> Mapping[str, str]:
    """What says so to a process below this one."""
    return {VARIABLE: kind, _MEMORY: str(bounds.memory), _PROCESSES: str(bounds.processes)}


def _number(name: str) -> int:
    text = os.environ.get(name) or "0"
    if not text.isdigit():
        raise Misused(f"{name} is {text!r:.40}", "say a whole number, 0 for the default")
    return int(text)
