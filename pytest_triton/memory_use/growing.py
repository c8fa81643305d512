"""Readings over cycles and over rounds of requests, until their slopes say enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_triton.memory_use.driving import Driver
from pytest_triton.memory_use.headroom import require_room
from pytest_triton.memory_use.measured import MIB, Growth, ModelMemory, UnderLoad
from pytest_triton.memory_use.reading import Reading, highest
from pytest_triton.memory_use.serving import Bench
from pytest_triton.memory_use.trend import Look, look
from pytest_triton.memory_use.wanted import Wanted
from pytest_triton.probe.types import MalformedAnswer

#: Fewest and most requests of a round.
LEAST, MOST = 20, 2000


@dataclass(slots=True)
class _Series:
    """One sort of memory over the same readings."""

    memory: str
    size: Callable[[Reading], int]
    found: Look | None = None


def cycles(place: Bench, model: ModelMemory, wanted: Wanted, batches: Sequence[int]) -> None:
    """Load, infer at each batch size, unload, read; again and again.

    What was read is added to the model, also where a ProbeError or NoRoom ends it.
    """
    processes = len(place.reader.tree()) - 1
    done = 0

    def one() -> tuple[float, Reading]:
        nonlocal done
        driver = place.load(model.name)
        try:
            for batch in batches:
                for case in driver.cases(batch):
                    driver.once(case)
            done += 1
        finally:
            left = place.unload(model.name, processes=processes)
        return float(done), left

    _followed(place, one, model, wanted, "cycle", wanted.limits.per_cycle_mib)


def requests(place: Bench, model: ModelMemory, wanted: Wanted, loads: Sequence[UnderLoad]) -> None:
    """Rounds of constant load to the loaded model at each batch size, a reading after each.

    ``loads``: the batch sizes, with the rates that they were measured at. What was read is
    added to the model, also where a ProbeError or NoRoom ends it.
    """
    processes = len(place.reader.tree()) - 1
    driver = place.load(model.name)
    size = each(loads, wanted.seconds / 2)
    done = 0

    def one() -> tuple[float, Reading]:
        nonlocal done
        for load in loads:
            done += _sent(driver, load.batch, size)
        return done / 1000, place.reader.settled()

    try:
        _followed(place, one, model, wanted, "1000 requests", wanted.limits.per_1000_mib)
    finally:
        place.unload(model.name, processes=processes)


def each(loads: Sequence[UnderLoad], seconds: float) -> int:
    """Requests of each batch size in a round of about so many seconds.

    As many of each: a leak at one size is not thinned by the faster ones.
    """
    least, most = -(-LEAST // len(loads)), MOST // len(loads)
    if not all(load.rps > 0 for load in loads):
        return least
    return max(least, min(most, round(seconds / sum(1 / load.rps for load in loads))))


def _sent(driver: Driver, batch: int, count: int) -> int:
    ran = driver.run(batch, concurrency=driver.instances, count=count)
    if ran.errors:
        raise MalformedAnswer(f"{ran.errors} of {ran.requests} requests failed: {ran.error}")
    if not ran.requests:
        raise MalformedAnswer("no request of a round was answered in time")
    return ran.requests


def _followed(
    place: Bench, one: Callable[[], tuple[float, Reading]], model: ModelMemory, wanted: Wanted,
    per: str, mib: float,
) -> None:  # fmt: skip
    limits = wanted.limits
    series = [_Series("host", lambda reading: reading.host)]
    if place.reader.gpu:
        series.append(_Series("GPU", lambda reading: reading.cards))
    before: list[Reading] = []
    taken: list[tuple[float, Reading]] = []

    def read() -> tuple[float, Reading]:
        at, reading = one()
        before.append(reading)
        require_room(reading.host, reading.host - before[0].host, wanted.minimum)
        return at, reading

    def judge() -> None:
        for kind in series:
            x, y = [at for at, _ in taken], [kind.size(reading) for _, reading in taken]
            kind.found = look(x, y, mib * MIB, limits.cycles)

    try:
        for _ in range(limits.warmup):
            read()
        while len(taken) < 2 * limits.cycles and not all(s.found and s.found.final for s in series):
            for _ in range(limits.cycles):
                taken.append(read())
            judge()
    finally:
        if len(taken) > 1:
            judge()
            model.growths += [
                Growth(
                    kind.memory, per, [at for at, _ in taken], [kind.size(r) for _, r in taken],
                    limits.warmup, mib * MIB, kind.found, highest(before),
                )
                for kind in series
                if kind.found
            ]  # fmt: skip
