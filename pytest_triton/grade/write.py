"""Write report.json so that a reader never sees half of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


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
