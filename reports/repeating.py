"""The line that repeats what a clause failed at, out of its transcript alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_triton.series import NoSamples, inside

from . import text

#: Bytes of a transcript that are read.
MAX_BYTES = 32 << 20
#: Characters of a line that are shown; a longer one is in the file.
MAX_LINE = 4000


def line(clause: Mapping[str, Any], directory: Path) -> str:
    """The curl line of the first call that is marked (else of the last one); empty for none."""
    for entry in clause["evidence"]:
        if PurePosixPath(entry["path"]).name == "transcript.json":
            found = _line(_calls(directory, entry))
            if len(found) > MAX_LINE:
                return f"# {len(found)} characters: see transcript.txt"
            return text.clean(found, MAX_LINE)
    return ""


def _calls(directory: Path, entry: Mapping[str, Any]) -> Any:
    """What the file holds, if it is the one that the report was made of."""
    try:
        target = inside(directory, entry["path"])
        if target.stat().st_size > MAX_BYTES:
            return None
        data = target.read_bytes()
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            return None
        return json.loads(data)
    except (NoSamples, OSError, ValueError, RecursionError):
        return None


def _line(calls: Any) -> str:
    told = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    mine = [call for call in told if call.get("earlier") is False]
    chosen = next((call for call in told if call.get("marked") is True), None)
    chosen = chosen or next(iter(reversed(mine or told)), {})
    found = chosen.get("curl")
    return found if isinstance(found, str) else ""
