"""A comparison with a baseline as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_triton.criteria.shows import number, quantity

from . import text

TONES = {"worse": "bad", "better": "good", "cannot tell": "warn", "not comparable": "warn"}
SYMBOLS = {"worse": "✗", "better": "✓", "no difference shown": "=", "cannot tell": "?"}
#: In this order; numbers that have no direction are not shown.
ORDER = ("worse", "better", "not comparable", "cannot tell", "no difference shown")


def view(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the template gets; None without a baseline."""
    found = report.get("baseline")
    if found is None:
        return None
    rows = [_number(entry) for entry in found["numbers"] if entry["better"] is not None]
    words = {"worse": "worse than the baseline", "better": "better than the baseline"}
    return {
        "verdict": words.get(found["verdict"], "nothing is worse than the baseline"),
        "tone": "bad" if found["verdict"] == "worse" else "good",
        "file": text.clean(found["baseline"]["file"], 400),
        "sha256": found["baseline"]["sha256"],
        "finished": text.clean(found["baseline"]["finished"], 40),
        "comparable": found["comparable"],
        "rule": _rule(found["rule"]),
        "settings": [
            (text.clean(item["name"], 60), text.clean(item["old"], 200),
             text.clean(item["new"], 200), item["decides"])
            for item in found["settings"]
        ],
        "clauses": [
            {**{key: text.clean(item[key], 300) for key in ("id", "title", "old", "new", "word")},
             **_looks(item["word"])}
            for item in found["clauses"]
            if item["word"] != "wording"
        ],
        "numbers": sorted(rows, key=lambda row: ORDER.index(row["word"])),
        "aside": found["not_judged_in_both"],
    }  # fmt: skip


def _rule(rule: Mapping[str, Any]) -> str:
    relevant, alpha = rule.get("relevant_ratio"), rule.get("alpha")
    if not isinstance(relevant, float) or not isinstance(alpha, float):
        return ""
    return (
        f"A number is worse when it differs by {100 * (relevant - 1):.0f} % or more and noise "
        f"explains that in under {100 * alpha:g} % of comparisons, all numbers together."
    )


def _looks(word: str) -> dict[str, str]:
    return {"tone": TONES.get(word, "dim"), "symbol": SYMBOLS.get(word, "–")}


def _number(entry: Mapping[str, Any]) -> dict[str, str]:
    unit = text.clean(entry["unit"], 40)
    sides = {
        side: "no data" if entry[side] is None else quantity(float(entry[side]), unit)
        for side in ("old", "new")
    }
    ratio = "" if entry["ratio"] is None else f"{number(float(entry['ratio']))}×"
    if entry["interval"]:
        low, high = entry["interval"]
        ratio += f" [{number(float(low))}, {number(float(high))}]"
    model = f" ({text.clean(entry['model'], 100)})" if entry["model"] else ""
    return {
        "clause": text.clean(entry["clause"], 20),
        "name": text.clean(entry["name"], 200) + model,
        "better": f"{entry['better']} is better",
        "ratio": ratio,
        "why": text.clean(entry["why"], 300),
        "word": entry["word"],
        **sides,
        **_looks(entry["word"]),
    }
