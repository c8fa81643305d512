"""Budgets that somebody states for models, and the one that is judged where nobody does."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_triton.errors import SubjectFault, ToolError
from pytest_triton.load.asked import asked
from pytest_triton.load.result import LoadResult
from pytest_triton.measuring import drive, drive_open, prepare
from pytest_triton.subject import Subject
from pytest_triton.timing import runs

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Its name in a directory that is handed in.
FILE = "budgets.toml"
#: Without a stated budget: times the server's own account of a single request, and ms more.
TIMES, MORE_MS = 3.0, 10.0
#: Seconds of load that a budget gets at first, and at most.
FIRST_S, MOST_S = 4.0, 60.0
#: Requests a second beyond which no machine of today generates load out of Python.
MOST_RATE = 100_000.0
_EXAMPLE = (
    'write  [[budget]]  model = "mlp"  rate = 100  p95_ms = 40  (rate: requests a second; or '
    "concurrency = 8)"
)


@dataclass(frozen=True)
class Budget:
    """What a model has to keep under a load: requests a second, or requests in flight."""

    model: str
    budgets: Mapping[str, Any]
    rate: float | None = None
    concurrency: int | None = None
    stated: bool = True

    @property
    def load(self) -> str:
        if self.rate is not None:
            return f"{self.rate:g} requests/s"
        return f"{self.concurrency} requests in flight"


def read(path: Path) -> list[Budget]:
    """The budgets of a file. Raises ToolError that names the file and the entry."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ToolError(f"{path}: {error}", _EXAMPLE) from None
    entries = document.get("budget", [])
    known = {"budget", "objective"}
    if not document or set(document) - known or not isinstance(entries, list):
        raise ToolError(f"{path} holds no [[budget]], or more than these", _EXAMPLE)
    return [_entry(f"{path}: budget {number}", entry) for number, entry in enumerate(entries, 1)]


def _entry(place: str, entry: Any) -> Budget:
    if not isinstance(entry, dict) or not isinstance(entry.get("model"), str):
        raise ToolError(f"{place} names no model", _EXAMPLE)
    given = {key: value for key, value in entry.items() if key not in _LOAD}
    rate, concurrency = entry.get("rate"), entry.get("concurrency")
    if (rate is None) == (concurrency is None):
        raise ToolError(f"{place} has to have one of rate and concurrency", _EXAMPLE)
    if rate is not None and not (_positive(rate, int | float) and rate <= MOST_RATE):
        raise ToolError(f"{place}: rate is {rate!r}", f"requests a second, 0 to {MOST_RATE:g}")
    if concurrency is not None and not _positive(concurrency, int):
        raise ToolError(f"{place}: concurrency is {concurrency!r}", "requests in flight: 1, 2, …")
    try:
        asked(given)
    except (ValueError, TypeError) as error:
        raise ToolError(f"{place}: {error}", _EXAMPLE) from None
    return Budget(entry["model"], given, float(rate) if rate else None, concurrency)


_LOAD = {"model", "rate", "concurrency"}


def _positive(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and 0 < value < float("inf")


def budgets_of(subject: Subject) -> list[Budget]:
    """Those of ``triton_budgets``; where it has none, those of what was handed in, and one for the
    heaviest model: p95 at a light rate by the server's own account of a single request. Raises
    ToolError, and SubjectFault for a file that was handed in."""
    settings = subject.settings
    if settings.budgets is not None:
        # a file of objectives alone states no budget, and nothing stated is not nothing judged
        return _known(subject, settings.budgets) or [default(subject)]
    stated: list[Budget] = []
    if settings.handed_in and (settings.handed_in / FILE).is_file():
        try:
            stated = _known(subject, settings.handed_in / FILE)
        except ToolError as error:  # of whoever handed it in
            raise SubjectFault(str(error)) from None
    return [*stated, default(subject)]


def _known(subject: Subject, file: Path) -> list[Budget]:
    found = read(file)
    if missing := [one.model for one in found if one.model not in subject.models]:
        raise ToolError(
            f"{file}: {missing[0]!r} is no ready model",
            f"ready are {', '.join(sorted(subject.models))}",
        )
    return found


def default(subject: Subject) -> Budget:
    """What any model has to keep, whatever else is stated by whoever is judged."""
    alone = runs.alone(subject)
    most = TIMES * alone.inside_ms + MORE_MS + 2 * runs.network_ms(subject)
    return Budget(alone.model, {"p95_ms": most}, runs.light_rate(subject), stated=False)


def measure(subject: Subject, budget: Budget) -> LoadResult:
    """The load of a budget, which can be measured on."""
    requests = subject.once(
        f"timed requests {budget.model}", lambda: prepare(subject, budget.model)
    )

    subject.permit(budget.concurrency or runs.CONCURRENCY)

    def again(seconds: float) -> LoadResult:
        if budget.rate is not None:
            return drive_open(subject, budget.model, requests, rate=budget.rate, duration_s=seconds)
        return drive(
            subject, budget.model, requests, concurrency=budget.concurrency, duration_s=seconds
        )

    if not budget.stated:  # the run that the tail was looked at in
        return replace(runs.light(subject).result, again=again)
    return replace(again(FIRST_S), again=again)
