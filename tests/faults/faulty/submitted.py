"""What is handed in, broken: a copy of handed_in/ beside this package, with edits."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_triton.launch.machine import cpu

from .data import DIRECTORY
from .edits import Edit, break_repository

HEALTHY = DIRECTORY / "handed_in"
#: A server of ours with one model, and the areas of the two clauses: they alone are judged.
HANDED_IN = ["--triton-device", "cpu", "--triton-models", "mlp",
             "--triton-scope", "latency,operations"]  # fmt: skip
#: In a text: the processors of this machine, as a benchmark of ours tells them.
_MACHINE = "@MACHINE@"


def handed_in(destination: Path, edits: tuple[Edit, ...] = ()) -> Path:
    """A copy with edits."""
    break_repository(HEALTHY, destination, edits)
    for path in destination.rglob("*.json"):
        path.write_text(path.read_text().replace(_MACHINE, json.dumps(cpu())))
    return destination
