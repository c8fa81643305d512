"""The page of an ablation, out of its JSON alone: each arm against the base, accuracy beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .forest import Forest, Ratio, forest
from .pages import environment

#: Room for the longest title, and the load where there are several.
_LABELS = 280.0
_TONES = {"faster": "good", "slower": "bad"}


def page(made: Mapping[str, Any]) -> str:
    """One self-contained HTML page."""
    from pytest_triton.ablating.table import certainty, number, percent
    from pytest_triton.load.paired import told

    loads = list(dict.fromkeys(
        (row["batch"], row["concurrency"]) for arm in made["arms"] for row in arm["rows"]
    ))  # fmt: skip
    text: str = environment().get_template("ablation.html").render(
        made=made, loads=[(load, pictures(made, load)) for load in loads], told=told,
        number=number, percent=percent, certainty=certainty(made), tone=tone,
        changed=changed, base=made["arms"][0],
    )  # fmt: skip
    return text


def pictures(made: Mapping[str, Any], load: Sequence[int]) -> list[Forest]:
    """Throughput and median latency of every arm at one batch size and concurrency."""
    drawn = []
    for what, title, better in (
        ("throughput", "Throughput ÷ base", "right of 1"),
        ("latency", "Median latency ÷ base", "left of 1"),
    ):
        ratios = [
            Ratio(
                arm["title"], row[what], row[f"{what}_interval"], row[f"{what}_pairs"],
                _tone(arm, row[f"{what}_word"]),
            )
            for arm in made["arms"] for row in arm["rows"]
            if (row["batch"], row["concurrency"]) == tuple(load)
        ]  # fmt: skip
        drawn.append(forest(ratios, title, better, left=_LABELS))
    return drawn


def _tone(arm: Mapping[str, Any], word: str) -> str:
    """Nothing is painted as a gain that answers wrongly."""
    wrong = arm["verdict"].startswith(("wrong", "refused"))
    return "bad" if wrong else "dim" if arm["name"] == "control" else _TONES.get(word, "dim")


def tone(verdict: str) -> str:
    """The colour of what an arm comes to."""
    if verdict.startswith("an optimisation"):
        return "tr-good"
    if verdict.startswith(("wrong", "slower")):
        return "tr-bad"
    return (
        "tr-warn"
        if verdict.startswith(("refused", "faster", "too noisy", "no control", "not measured"))
        else "tr-dim"
    )


def changed(arm: Mapping[str, Any], base: Mapping[str, Any]) -> list[str]:
    """What the server's log says of this arm and not of the base."""
    return [said for said in arm["settings"] if said not in base["settings"]]
