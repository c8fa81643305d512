"""Write report.json so that a reader never sees half of it."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from pytest_triton.errors import ToolError


def claim(directory: Path) -> int:
    """Take the directory for this run and drop the last report; returns a descriptor to keep.

    Raises ToolError while another run writes there. The claim ends with the process.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ToolError(
            f"--triton-report: {directory}: {error.strerror}",
            "name a directory that can be written",
        ) from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise ToolError(
            f"another run writes to {directory}", "name another one with --triton-report"
        ) from None
    (directory / "report.json").unlink(missing_ok=True)
    return held


def write(report: dict[str, Any], directory: Path) -> Path:
    """Write ``report.json`` into the directory; returns its path."""
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / "report.json"
    temporary = directory / f".report.json.{os.getpid()}"
    temporary.write_text(
        json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n",
        encoding="utf-8",
        # A lone surrogate out of a hostile name becomes its own JSON escape.
        errors="backslashreplace",
    )
    temporary.replace(target)
    return target
