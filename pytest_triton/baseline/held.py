"""The baseline of a run: read before anything boots, held against its report at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_triton.baseline.compare import Comparison, compare
from pytest_triton.baseline.loaded import Loaded, load, of


def read(path: Path) -> Loaded:
    """The baseline with its samples, all of it in memory: the run may write over its files.

    Raises ToolError when it is no complete report.
    """
    return load(path)


def hold(report: dict[str, Any], directory: Path, baseline: Loaded) -> None:
    """Put ``baseline`` into the report, and a regression into its verdict; never the reverse.

    A report whose run did not end is not compared.
    """
    if not report["complete"]:
        report["notes"].append(f"{baseline.name}: not compared, this run did not end")
        return
    found = compare(baseline, of(report, directory, "this run"))
    report["baseline"] = {
        **found.to_json(),
        "baseline": {
            "file": baseline.name,
            "sha256": baseline.sha256,
            "finished": baseline.report["finished"],
        },
    }
    if note := _note(found):
        report["notes"].append(note)
    if found.worse:
        report["verdict"]["reasons"] += [f"worse than the baseline: {line}" for line in found.worse]
        report["verdict"]["exit_status"] = report["verdict"]["exit_status"] or 1


def _note(found: Comparison) -> str:
    """What keeps numbers from being compared."""
    if not found.decisive:
        return ""
    what = ", ".join(f"{item.name} ({item.old}, now {item.new})" for item in found.decisive)
    return f"the baseline is of another class of machine, its numbers are not judged: {what}"
