"""Counters that a panel draws as they are: a total since the server's start, of which only
somebody who says so has use."""

from __future__ import annotations

import re

from pytest_triton.monitoring.queries import Answer

#: Words of a title that say that a total is meant.
_TOTAL = re.compile(
    r"total|cumulat|since|overall|lifetime|all[- ]time|累[計计]|累積|總|总", re.IGNORECASE
)


def undeclared(answer: Answer) -> str:
    """What is wrong with a raw counter; "" where there is none, or its panel says what it is."""
    if not answer.raw or _TOTAL.search(f"{answer.panel.title} {answer.target.legend}"):
        return ""
    names = ", ".join(dict.fromkeys(answer.raw))
    return f"{names} without rate() or increase(): it shows how old the server is"
