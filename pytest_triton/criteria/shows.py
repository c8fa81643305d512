"""What a criterion shows on one line when it passes: phrases over its clauses' measurements.

``shows`` of a criterion holds phrases like ``"SET-01: ready in {ready}"``: a pattern of clause
ids, a colon, and a text with names of measurements in braces. A phrase is shown when every
applicable clause that matches has passed and every measurement exists, so that nothing is
claimed that was not seen. ``{passed}`` is the number of matching clauses that passed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pytest_triton.criteria.outcome import Result
from pytest_triton.criteria.status import Status

_PLACE = re.compile(r"\{([^{}]+)\}")
_PHRASE = re.compile(r"([A-Z0-9*?\[\]!-]+): (.+)\Z", re.DOTALL)


def number(value: float) -> str:
    """A number for people: three significant digits, whole numbers as they are."""
    if not math.isfinite(value):
        return "no data"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    size = abs(value)
    if size >= 1e15:
        return f"{value:.2e}"
    if size >= 1000:
        return number(float(round(value)))
    if size < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    # Trailing zeros would promise a precision that was not measured.
    text = f"{value:.{max(0, 2 - math.floor(math.log10(size)))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantity(value: float, unit: str) -> str:
    """A number with its unit: ``3.6 s``, ``4.1×``, ``5 models``."""
    if not math.isfinite(value) or unit in ("", "1"):
        return number(value)
    return f"{number(value)}{'' if unit in ('×', '°') else ' '}{unit}"


def measured(entry: Mapping[str, Any]) -> str:
    """A measurement of report.json as text, with its interval."""
    value = entry.get("value")
    if value is None:
        return "no data"
    text = quantity(float(value), str(entry.get("unit", "")))
    if interval := entry.get("interval"):
        low, high = interval
        text += f" [{number(float(low))}, {number(float(high))}]"
    return text


def parse(phrase: str) -> tuple[str, str]:
    """Pattern and text of a phrase; ValueError says how to write one."""
    if match := _PHRASE.match(phrase):
        return match[1], match[2]
    raise ValueError(f'{phrase!r}: write "CLAUSE: text with {{measurement}}"')


def summary(shows: Sequence[str], results: Iterable[Result]) -> str:
    """The phrases that hold, joined by commas; empty when none does."""
    collected = list(results)
    said = (_say(*parse(phrase), collected) for phrase in shows)
    return ", ".join(text for text in said if text)


def _say(pattern: str, text: str, results: Sequence[Result]) -> str:
    matching = [
        result for result in results if fnmatchcase(result.clause, pattern) and result.applicable
    ]
    if not matching or any(result.status is not Status.PASS for result in matching):
        return ""
    values: dict[str, str] = {"passed": str(len(matching))}
    for name in set(_PLACE.findall(text)) - {"passed"}:
        named = [
            entry
            for result in matching
            for entry in result.measurements
            if entry["name"] == name and entry.get("value") is not None
        ]
        if not named:
            return ""
        # One for each model: the largest is the one that decides.
        values[name] = measured(max(named, key=lambda entry: float(entry["value"])))
    return _PLACE.sub(lambda place: values[place[1]], text)
