"""What is handed in, broken: a copy of handed_in/ beside this package, with edits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from pytest_triton.launch.machine import cpu

from .data import DIRECTORY
from .edits import Edit, break_repository

HEALTHY = DIRECTORY / "handed_in"
#: What monitors is the example that people copy.
EXAMPLE = DIRECTORY.parent.parent / "examples" / "handed_in"
#: A server of ours with one model, and the areas of the two clauses: they alone are judged.
HANDED_IN = ["--triton-device", "cpu", "--triton-models", "mlp",
             "--triton-scope", "latency,operations"]  # fmt: skip
#: The clauses that look at what monitors.
MONITORING = ["--triton-device", "cpu", "--triton-models", "mlp", "--triton-scope", "metrics"]
MONITORED = ("PRM-", "ALR-")
#: In a text: the processors of this machine, as a benchmark of ours tells them.
_MACHINE = "@MACHINE@"


def handed_in(destination: Path, edits: tuple[Edit, ...] = ()) -> Path:
    """A copy with edits."""
    whole = destination.with_name(f"{destination.name}-whole")
    shutil.copytree(HEALTHY, whole)
    shutil.copytree(EXAMPLE / "monitoring", whole / "monitoring")
    for name in ("compose.yaml", "diagnose.py"):
        shutil.copyfile(EXAMPLE / name, whole / name)
    break_repository(whole, destination, edits)
    for path in destination.rglob("*.json"):
        path.write_text(path.read_text().replace(_MACHINE, json.dumps(cpu())))
    return destination
