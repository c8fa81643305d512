"""Which way a number is better, and how much it differs from run to run: read off a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

Direction: TypeAlias = Literal["lower", "higher"]


@lru_cache(maxsize=1)
def table() -> Mapping[str, Any]:
    """``directions.toml``."""
    text = Path(__file__).with_name("directions.toml").read_text("utf-8")
    read: Mapping[str, Any] = tomllib.loads(text)
    return read


def direction(clause: str, entry: Mapping[str, Any]) -> Direction | None:
    """``better`` of the measurement itself, else the table's by name, else by unit; else None."""
    if own := entry.get("better"):
        return None if own == "none" else own
    for row in table()["numbers"]:
        if row["clause"] == clause and fnmatchcase(str(entry["name"]), row["name"]):
            return None if row["direction"] == "none" else row["direction"]
    found: Direction | None = table()["units"].get(entry["unit"])
    return found


def run_to_run(statistic: str | None) -> float:
    """Standard deviation of the logarithm of such a number from one run to the next."""
    known = table()["run_to_run"]
    return float(known.get(statistic or "other", known["other"]))
