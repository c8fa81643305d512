"""A report with its samples in memory: what is compared, and later kept nowhere else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_triton.errors import ToolError
from pytest_triton.series import NoSamples, Series, read


@dataclass(frozen=True, slots=True)
class Loaded:
    """A report, its name for people, and the series of its measurements.

    ``series``: place of the clause and of the measurement in it -> its samples, or why there
    are none. ``sha256`` is that of the file; empty for a report that is still in memory.
    """

    report: Mapping[str, Any]
    name: str
    sha256: str = ""
    series: Mapping[tuple[int, int], Series | str] = field(default_factory=dict)


def load(path: Path) -> Loaded:
    """Read a finished report.json, or the one of a directory.

    Raises ToolError when it is none, does not fit the schema, is of a newer version, or is of
    a run that did not end.
    """
    from pytest_triton.reports import render

    path = path / "report.json" if path.is_dir() else path
    report = render.read(path)
    if not report["complete"]:
        raise ToolError(
            f"{path}: the run did not end: there is nothing to compare with",
            "give the report of a complete run",
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return of(report, path.parent, str(path), digest)


def of(report: Mapping[str, Any], directory: Path, name: str, sha256: str = "") -> Loaded:
    """A report in memory, with the samples that lie in its directory."""
    series: dict[tuple[int, int], Series | str] = {}
    kept: dict[str, Series | str] = {}
    for place, clause in enumerate(report["clauses"]):
        for number, entry in enumerate(clause["measurements"]):
            if (samples := entry.get("samples")) is None:
                continue
            key = json.dumps(samples)
            if key not in kept:
                try:
                    kept[key] = read(samples, directory, clause["evidence"])
                except NoSamples as error:
                    kept[key] = str(error)
            series[place, number] = kept[key]
    return Loaded(report, name, sha256, series)
