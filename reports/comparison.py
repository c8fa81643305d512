"""The page of a comparison, out of its JSON alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .forest import Forest, Ratio
from .forest import forest as drawn
from .pages import environment


def forest(made: Mapping[str, Any], what: str, title: str, better: str) -> Forest:
    """The ratios ``what`` ("throughput" or "latency") of every row."""
    ratios = [
        Ratio(
            f"batch {row['batch']}, {row['concurrency']} at once",
            row[what], row[f"{what}_interval"], row[f"{what}_pairs"],
        )
        for row in made["rows"]
    ]  # fmt: skip
    return drawn(ratios, title, better)


def page(made: Mapping[str, Any]) -> str:
    """One self-contained HTML page."""
    pictures = [
        forest(made, "throughput", "Throughput, Triton ÷ in process", "right of 1: Triton"),
        forest(made, "latency", "Median latency, Triton ÷ in process", "left of 1: Triton"),
    ]
    text: str = environment().get_template("comparison.html").render(made=made, pictures=pictures)
    return text
