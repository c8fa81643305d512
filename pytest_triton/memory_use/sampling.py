"""Readings while a load runs, in a thread: the peak is the highest of many, not one afterwards."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import TracebackType

from pytest_triton.memory_use.cards import Watch
from pytest_triton.memory_use.reading import Reader, Reading

#: Seconds from the end of one reading to the next; a reading takes 5 to 20 ms itself.
INTERVAL = 0.05


@dataclass(slots=True)
class Samples:
    """What was seen: seconds since the first reading, and bytes of the host and of all cards."""

    times: list[float] = field(default_factory=list)
    host: list[int] = field(default_factory=list)
    cards: list[int] = field(default_factory=list)
    #: Readings of the cards; they are told apart from those of the host.
    card_readings: int = 0

    @property
    def longest_gap(self) -> float:
        """Seconds between two readings, at most: a peak that is shorter may be missed."""
        return max((b - a for a, b in pairwise(self.times)), default=0.0)


class Sampler:
    """Reads all the time while the block runs.

    ``peak`` is the reading with the most host memory, and each card's own most.
    """

    def __init__(self, reader: Reader, interval_s: float = INTERVAL) -> None:
        self._reader, self._interval = reader, interval_s
        self._stop = threading.Event()
        self._stack = ExitStack()
        self._watch: Watch | None = None
        self._highest: Reading | None = None
        self._failed: BaseException | None = None
        self.samples = Samples()

    def __enter__(self) -> Sampler:
        with ExitStack() as stack:  # what was started ends, also where the first reading fails
            if self._reader.gpu:
                self._watch = stack.enter_context(Watch(self._interval))
            self._began = time.monotonic()
            self._read()
            self._thread = threading.Thread(target=self._follow, name="memory", daemon=True)
            self._thread.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._stack.close()
        if self._watch is not None:
            self.samples.card_readings = self._watch.count
        if self._failed is not None and kind is None:
            raise self._failed

    @property
    def peak(self) -> Reading:
        """The most that was seen."""
        assert self._highest is not None
        return (
            self._highest if self._watch is None else replace(self._highest, gpu=self._watch.peaks)
        )

    def _follow(self) -> None:
        try:
            while not self._stop.wait(self._interval):
                self._read()
            self._read()
        except Exception as error:
            self._failed = error

    def _read(self) -> None:
        reading = self._reader.now(self._watch.used if self._watch else ())
        self.samples.times.append(round(time.monotonic() - self._began, 3))
        self.samples.host.append(reading.host)
        self.samples.cards.append(reading.cards)
        if self._highest is None or reading.host > self._highest.host:
            self._highest = reading
