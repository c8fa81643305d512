"""The page of a search for a configuration, out of its JSON alone: trials, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .charts import draw
from .forest import Forest, Ratio, forest
from .pages import environment

_LABELS = 330.0


def page(made: Mapping[str, Any]) -> str:
    """One self-contained HTML page."""
    from pytest_triton.load.paired import told

    text: str = environment().get_template("tuning.html").render(
        made=made, told=told, trials=trials(made) if made["trials"] else None,
        charts=[
            curves(made["curves"], "rps", "throughput", "infer/s"),
            curves(made["curves"], "p95_ms", "p95 latency", "ms"),
        ],
    )  # fmt: skip
    return text


def trials(made: Mapping[str, Any]) -> Forest:
    """Throughput of every value against the best before it."""
    ratios = []
    for trial in made["trials"]:
        low, high = trial["interval"]
        interval = (low or 0.0, float("inf") if high is None else high)
        tone = "good" if trial["taken"] else "dim"
        title = trial["candidate"]["title"]
        ratios.append(Ratio(title, trial["throughput"], interval, trial["pairs"], tone))
    return forest(ratios, "Throughput ÷ best so far", "right of 1", left=_LABELS)


def curves(lines: Mapping[str, Sequence[Mapping[str, Any]]], key: str, name: str, unit: str) -> Any:
    """A number against concurrency, a line for each configuration; gaps are left out."""
    first, *rest = lines
    kept = [
        at for at, point in enumerate(lines[first])
        if all(lines[line][at][key] is not None for line in lines)
    ]  # fmt: skip

    def row(line: str) -> list[float]:
        return [lines[line][at][key] for at in kept]

    series = {
        "kind": "curve", "x": [lines[first][at]["concurrency"] for at in kept], "y": row(first),
        "x_name": "concurrency", "y_name": first,
        "more": [{"name": line, "unit": unit, "y": row(line)} for line in rest],
    }  # fmt: skip
    entry = {"name": name, "unit": unit, "value": max(row(first), default=None), "samples": series}
    return draw(entry, Path(), [])
