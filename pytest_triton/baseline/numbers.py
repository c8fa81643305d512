"""Measurements of two reports: the same clause, model and name, old against new."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_triton.baseline import statistic as st
from pytest_triton.baseline.changes import unasked
from pytest_triton.baseline.directions import Direction, direction, run_to_run
from pytest_triton.baseline.loaded import Loaded
from pytest_triton.series import Series

WORSE, BETTER, SAME = "worse", "better", "no difference shown"
CANNOT, INCOMPARABLE, CHANGED = "cannot tell", "not comparable", "changed"
#: Percentiles from here on are judged by what lies beyond them too.
_TAIL = 0.9
#: Series that are samples of the number itself.
_RAW = ("distribution", "pairs")
#: Cores that others used during one of the runs, above which a difference may be theirs: a
#: measurement of this name in the same clause.
FOREIGN, QUIET = "foreign CPU", 0.10


@dataclass(frozen=True, slots=True)
class Number:
    """One number: ``ratio`` is new ÷ old with a 95 % interval that allows for two runs; ``why``
    says what the word rests on. ``z`` > 0 is a change for the worse, in standard errors."""

    clause: str
    model: str | None
    name: str
    unit: str
    better: Direction | None
    old: float | None
    new: float | None
    word: str
    why: str
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    z: float | None = None


@dataclass(frozen=True, slots=True)
class _Side:
    entry: Mapping[str, Any]
    series: Series | str | None
    foreign: float


Key = tuple[str, str, str, int]


def _sides(loaded: Loaded) -> dict[Key, _Side]:
    """Measurements by clause, model, name, and how many of the name came before."""
    found: dict[Key, _Side] = {}
    for place, clause in enumerate(loaded.report["clauses"]):
        seen: Counter[str] = Counter()
        foreign = max(
            (m["value"] or 0.0 for m in clause["measurements"] if m["name"] == FOREIGN),
            default=0.0,
        )
        for number, entry in enumerate(clause["measurements"]):
            key = (clause["id"], clause["model"] or "", entry["name"], seen[entry["name"]])
            seen[entry["name"]] += 1
            found[key] = _Side(entry, loaded.series.get((place, number)), foreign)
    return found


def compare(old: Loaded, new: Loaded, *, comparable: bool) -> list[Number]:
    """Every number that both have, judged together: the chance to be wrong is shared by all."""
    left, right = _sides(old), _sides(new)
    found = [
        _compare(key, left[key], right[key], comparable=comparable) for key in right if key in left
    ]
    return _settle(found)


def unmatched(old: Loaded, new: Loaded) -> Iterator[Number]:
    """Numbers of the new report that the old one lacks, of clauses that it judged."""
    known = _sides(old)
    judged = {clause["id"] for clause in old.report["clauses"] if not unasked(clause)}
    for key, side in _sides(new).items():
        if key not in known and key[0] in judged:
            entry = side.entry
            yield Number(
                key[0], key[1] or None, entry["name"], entry["unit"],
                direction(key[0], entry), None, entry["value"], CHANGED, "",
            )  # fmt: skip


def _compare(key: Key, old: _Side, new: _Side, *, comparable: bool) -> Number:
    was, now = old.entry["value"], new.entry["value"]
    better = direction(key[0], new.entry)
    number = Number(
        key[0], key[1] or None, key[2], new.entry["unit"], better, was, now, CHANGED, ""
    )
    if old.entry["unit"] != new.entry["unit"]:
        return replace(number, word=INCOMPARABLE, why=f"it was in {old.entry['unit'] or 'no unit'}")
    if was is None or now is None:
        same = was is now
        return replace(number, word=SAME if same else CANNOT, why="no data")
    if was > 0 and now > 0:
        number = replace(number, ratio=now / was)
    if better is None:
        word = SAME if was == now else CHANGED
        return replace(number, word=word, why="neither way is declared to be better")
    if not comparable:
        return replace(number, word=INCOMPARABLE, why="another class of machine")
    if old.entry == new.entry and old.series == new.series:
        return replace(number, word=SAME, why="the same measurement")
    return _measured(number, old, new)


def _measured(number: Number, old: _Side, new: _Side) -> Number:
    found = _estimates(old, new)
    if isinstance(found, str):
        word = SAME if number.old == number.new else CANNOT
        return replace(number, word=word, why=found)
    before, after, basis = found
    deviation = run_to_run(new.entry.get("statistic"))
    if not before.log:
        deviation *= max(abs(before.centre), abs(after.centre))
    seen = st.difference(before, after, deviation)
    sign = 1 if number.better == "lower" else -1
    number = replace(number, z=_careful(sign * seen.z, sign, old, new), why=basis)
    if seen.log:
        low, high = (math.exp(end) for end in seen.interval)
        number = replace(number, ratio=math.exp(seen.change), interval=(low, high))
        relevant = abs(seen.change) >= math.log(st.RELEVANT)
        blind = (seen.interval[1] - seen.interval[0]) / 2 > math.log(st.BLIND)
    else:
        size = abs(float(new.entry.get("budget") or 0)) or abs(before.centre)
        relevant = abs(seen.change) >= (st.RELEVANT - 1) * size
        blind = (seen.interval[1] - seen.interval[0]) / 2 > (st.BLIND - 1) * size
    # In either: on two cores shared with others, runs were faster and slower for it.
    foreign = max(old.foreign, new.foreign)
    if relevant and foreign > QUIET:
        return replace(
            number, word=CANNOT, why=f"others used {foreign:.2f} cores meanwhile: it may be theirs"
        )
    # Until all are settled together: what may still become worse or better.
    return replace(number, word=(CHANGED if relevant else CANNOT if blind else SAME))


def _careful(z: float, sign: int, old: _Side, new: _Side) -> float:
    """For percentiles of a tail: no further out than what lies beyond them says."""
    q = st.quantile_of(new.entry.get("statistic"))
    rows = [side.series.y for side in (old, new) if isinstance(side.series, Series)]
    if q is None or q < _TAIL or len(rows) < 2 or min(map(len, rows)) < st.ORDERED:
        return z
    beyond = sign * st.exceeding(rows[0], rows[1], q)
    return math.copysign(min(abs(z), abs(beyond)), z) if z * beyond > 0 else 0.0


def _estimates(old: _Side, new: _Side) -> tuple[st.Estimate, st.Estimate, str] | str:
    """Both sides and what they rest on; else why there is nothing to rest on."""
    series = [side.series for side in (old, new)]
    statistic = new.entry.get("statistic")
    texts = [one for one in series if isinstance(one, str)]
    rows = [one.y for one in series if isinstance(one, Series) and one.kind in _RAW and one.y]
    if len(rows) == 2 and old.entry.get("statistic") == statistic:
        log = all(min(row) > 0 for row in rows)
        made = [st.of_samples(row, statistic, log=log) for row in rows]
        if made[0] is not None and made[1] is not None:
            counts = " and ".join(str(len(row)) for row in rows)
            return made[0], made[1], f"{counts} samples"
    stated = [side.entry.get("interval") for side in (old, new)]
    if stated[0] is not None and stated[1] is not None:
        ends = [*stated[0], *stated[1], float(old.entry["value"]), float(new.entry["value"])]
        log = all(end > 0 for end in ends)
        made = [
            st.of_interval(float(side.entry["value"]), side.entry["interval"], log=log)
            for side in (old, new)
        ]
        if made[0] is not None and made[1] is not None:
            return made[0], made[1], "intervals"
    if texts:
        return texts[0]
    if old.entry.get("statistic") != statistic:
        return "it was measured in another way"
    if len(rows) == 2:
        return "too few samples"
    return "one value without samples or interval"


def _settle(numbers: Sequence[Number]) -> list[Number]:
    """Worse and better over all numbers that were measured (Holm)."""
    family = [at for at, number in enumerate(numbers) if number.z is not None]
    settled = list(numbers)
    for word, sign in ((WORSE, 1), (BETTER, -1)):
        chances = [st.beyond(sign * (numbers[at].z or 0.0)) for at in family]
        for at, fallen in zip(family, st.holm(chances), strict=True):
            if fallen and numbers[at].word == CHANGED:
                settled[at] = replace(numbers[at], word=word)
    for at in family:
        if settled[at].word == CHANGED:  # large, and not sure
            settled[at] = replace(
                settled[at], word=CANNOT, why=f"{settled[at].why}: not sure enough"
            )
    return settled
