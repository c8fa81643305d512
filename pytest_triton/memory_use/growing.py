"""Readings over cycles and over rounds of requests, until their slopes say enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_triton.memory_use.driving import Driver
from pytest_triton.memory_use.headroom import require_room
from pytest_triton.memory_use.measured import MIB, Growth
from pytest_triton.memory_use.reading import Reading
from pytest_triton.memory_use.serving import Bench
from pytest_triton.memory_use.trend import Look, look
from pytest_triton.memory_use.wanted import Limits
from pytest_triton.probe.types import MalformedAnswer

#: Fewest and most requests of a round.
LEAST, MOST = 20, 2000


@dataclass(slots=True)
class _Series:
    """One sort of memory over the same readings."""

    memory: str
    size: Callable[[Reading], int]
    found: Look | None = None


def cycles(place: Bench, name: str, limits: Limits) -> list[Growth]:
    """Load, infer, unload, read; again and again."""
    processes = len(place.reader.tree()) - 1
    done = 0

    def one() -> tuple[float, Reading]:
        nonlocal done
        driver = place.load(name)
        try:
            for case in driver.cases(min(1, driver.model.max_batch_size)):
                driver.once(case)
            done += 1
        finally:
            left = place.unload(name, processes=processes)
        return float(done), left

    return _followed(place, one, limits, "cycle", limits.per_cycle_mib)


def requests(place: Bench, name: str, limits: Limits, count: int) -> list[Growth]:
    """Rounds of so many requests at constant load to the loaded model, a reading after each."""
    processes = len(place.reader.tree()) - 1
    driver = place.load(name)
    size = max(LEAST, min(MOST, count))
    done = 0

    def one() -> tuple[float, Reading]:
        nonlocal done
        done += _round(driver, size)
        return done / 1000, place.reader.settled()

    try:
        return _followed(place, one, limits, "1000 requests", limits.per_1000_mib)
    finally:
        place.unload(name, processes=processes)


def _round(driver: Driver, size: int) -> int:
    batch = min(1, driver.model.max_batch_size)
    ran = driver.run(batch, concurrency=driver.model.instances, count=size)
    if ran.errors:
        raise MalformedAnswer(f"{ran.errors} of {ran.requests} requests failed: {ran.error}")
    return ran.requests


def _followed(
    place: Bench, one: Callable[[], tuple[float, Reading]], limits: Limits, per: str, mib: float
) -> list[Growth]:
    series = [_Series("host", lambda reading: reading.host)]
    if place.reader.gpu:
        series.append(_Series("GPU", lambda reading: reading.cards))
    for _ in range(limits.warmup):
        require_room(one()[1].host)
    taken: list[tuple[float, Reading]] = []
    while len(taken) < 2 * limits.cycles and not all(s.found and s.found.final for s in series):
        for _ in range(limits.cycles):
            taken.append(one())
            require_room(taken[-1][1].host)
        for each in series:
            if not (each.found and each.found.final):
                each.found = _look(taken, each, mib * MIB, limits.cycles)
    return [
        Growth(
            each.memory, per, [at for at, _ in taken], [each.size(r) for _, r in taken],
            limits.warmup, mib * MIB, each.found,
        )
        for each in series
        if each.found
    ]  # fmt: skip


def _look(
    taken: Sequence[tuple[float, Reading]], series: _Series, limit: float, count: int
) -> Look:
    return look([at for at, _ in taken], [series.size(r) for _, r in taken], limit, count)
