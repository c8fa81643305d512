"""The page of a bottleneck analysis, out of its JSON alone: where the time goes at each load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .charts import draw
from .pages import environment


def page(made: Mapping[str, Any]) -> str:
    """One self-contained HTML page."""
    text: str = environment().get_template("bottleneck.html").render(
        models=[
            {**one, "charts": [chart for chart in (stages(one["levels"]), curve(one["levels"]))
                               if chart is not None]}
            for one in made["models"]
        ],
    )  # fmt: skip
    return text


def stages(levels: Sequence[Mapping[str, Any]]) -> Any:
    """The parts of the mean latency, a bar for each concurrency; None where nobody tells."""
    told = [level for level in levels if level["parts_ms"]]
    if not told:
        return None
    first, *rest = told
    names = list(first["parts_ms"])

    def row(level: Mapping[str, Any]) -> list[float]:
        return [level["parts_ms"][name] for name in names]

    series = {
        "kind": "stages", "x": names, "y": row(first), "y_name": f"{first['concurrency']} in flight",
        "more": [
            {"name": f"{level['concurrency']} in flight", "unit": "ms", "y": row(level)}
            for level in rest
        ],
    }  # fmt: skip
    entry = {"name": "where the time goes", "unit": "ms", "value": sum(row(told[-1])),
             "samples": series}  # fmt: skip
    return draw(entry, Path(), [])


def curve(levels: Sequence[Mapping[str, Any]]) -> Any:
    """Throughput against concurrency."""
    series = {
        "kind": "curve", "x": [level["concurrency"] for level in levels],
        "y": [level["throughput_rps"] for level in levels], "x_name": "concurrency",
        "y_name": "throughput",
    }  # fmt: skip
    entry = {
        "name": "throughput", "unit": "requests/s",
        "value": max(level["throughput_rps"] for level in levels), "samples": series,
    }  # fmt: skip
    return draw(entry, Path(), [])
