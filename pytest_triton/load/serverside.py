"""What the server counted while load was driven, out of its statistics extension."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_triton.probe.types import MalformedAnswer

#: Seconds within which the statistics have to show what was answered.
_SETTLES = 2.0
#: Seconds behind an answer after which a failure is counted, if it is at all.
_MOMENT = 0.1
STAGES = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of one model, all versions together; times in nanoseconds, summed over requests.

    ``batches``: executions by their batch size; ``busy_ns``: what all executions took, each once.
    Source: extension_statistics.md.
    """

    success: int = 0
    failure: int = 0
    inferences: int = 0
    executions: int = 0
    request_ns: int = 0
    cache_hits: int = 0
    stages_ns: Mapping[str, int] = field(default_factory=dict)
    batches: Mapping[int, int] = field(default_factory=dict)
    busy_ns: int = 0
    #: Time of the executions of each batch size, input and output included.
    batch_ns: Mapping[int, int] = field(default_factory=dict)

    def __sub__(self, other: Reading) -> Reading:
        return Reading(
            self.success - other.success,
            self.failure - other.failure,
            self.inferences - other.inferences,
            self.executions - other.executions,
            self.request_ns - other.request_ns,
            self.cache_hits - other.cache_hits,
            {name: self.stages_ns.get(name, 0) - other.stages_ns.get(name, 0) for name in STAGES},
            {
                size: count
                for size in sorted({*self.batches, *other.batches})
                if (count := self.batches.get(size, 0) - other.batches.get(size, 0))
            },
            self.busy_ns - other.busy_ns,
            {size: ns - other.batch_ns.get(size, 0) for size, ns in self.batch_ns.items()},
        )

    def __add__(self, other: Reading) -> Reading:
        return self - (Reading() - other)

    @property
    def mean_batch(self) -> float:
        """From ``batch_stats``, which failed executions do not distort; NaN without any."""
        executions = sum(self.batches.values())
        rows = sum(size * count for size, count in self.batches.items())
        return rows / executions if executions else math.nan

    def execution_ms(self, size: int) -> float:
        """Mean time of an execution of so many rows; NaN where there was none."""
        count = self.batches.get(size, 0)
        return self.batch_ns.get(size, 0) / count / 1e6 if count else math.nan

    def to_json(self) -> dict[str, Any]:
        """Means per successful request in microseconds, and counts."""
        each = self.success or math.nan
        return {
            "requests": self.success,
            "failures": self.failure,
            "inferences": self.inferences,
            "executions": self.executions,
            "cache_hits": self.cache_hits,
            "mean_batch": self.mean_batch,
            "batches": {str(size): count for size, count in self.batches.items()},
            "request_us": self.request_ns / 1e3 / each,
            **{f"{name}_us": self.stages_ns.get(name, 0) / 1e3 / each for name in STAGES},
        }


def reading(statistics: Mapping[str, Any], model: str) -> Reading:
    """Out of the JSON of ``/v2/models/M/stats``. Raises MalformedAnswer."""
    try:
        entries = [entry for entry in statistics["model_stats"] if entry["name"] == model]
        stats = [entry["inference_stats"] for entry in entries]
        batches: dict[int, int] = {}
        spent: dict[int, int] = {}
        for entry in entries:
            for batch in entry.get("batch_stats", []):
                size = _whole(batch["batch_size"])
                batches[size] = batches.get(size, 0) + _whole(batch["compute_infer"]["count"])
                took = sum(_whole(batch.get(name, {}).get("ns", 0)) for name in STAGES[1:])
                spent[size] = spent.get(size, 0) + took
        found = Reading(
            sum(_whole(one["success"].get("count", 0)) for one in stats),
            sum(_whole(one["fail"].get("count", 0)) for one in stats),
            sum(_whole(entry["inference_count"]) for entry in entries),
            sum(_whole(entry["execution_count"]) for entry in entries),
            sum(_whole(one["success"].get("ns", 0)) for one in stats),
            sum(_whole(one.get("cache_hit", {}).get("count", 0)) for one in stats),
            {name: sum(_whole(one.get(name, {}).get("ns", 0)) for one in stats) for name in STAGES},
            batches,
            sum(spent.values()),
            spent,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedAnswer(f"statistics of {model} cannot be read: {error!r:.200}") from None
    if not entries:
        raise MalformedAnswer(f"the statistics have no entry for {model}")
    return found


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r:.60} is no count")
    return value


class Served:
    """Readings around one run: before it, at the start of its window, and when it is over."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read
        self._before = self._opened = self._after = Reading()
        #: Why the server told nothing: from the beginning, and later on.
        self.silent = ""
        self.fault = ""

    @property
    def tells(self) -> bool:
        """Whether every reading succeeded."""
        return not self.silent and not self.fault

    def begin(self) -> None:
        """Before the first request. A server that tells nothing is no doubt about the client."""
        try:
            self._before = self._opened = self._read()
        except Exception as error:
            self.silent = f"{error}".splitlines()[0][:200]

    def open(self) -> None:
        """At the start of the window; a server that is gone by now is told by the run."""
        if self.silent:
            return
        try:
            self._opened = self._read()
        except Exception as error:
            self.fault = self.fault or f"{error}".splitlines()[0][:200]

    def finish(self, good: int, bad: int = 0) -> None:
        """After the last answer: until the counters show ``good`` more, or for 2 s. Not every one
        of ``bad`` requests is counted: those that are get a moment."""
        if self.silent:
            return
        deadline = time.monotonic() + _SETTLES
        try:
            if bad:
                time.sleep(_MOMENT)
            while True:
                self._after = self._read()
                if self._goes_back():
                    self.fault = "they go back: several servers answer at this address"
                    return
                if self.whole.success >= good or time.monotonic() > deadline:
                    return
                time.sleep(0.02)
        except Exception as error:
            self.fault = self.fault or f"{error}".splitlines()[0][:200]

    def _goes_back(self) -> bool:
        steps = (self._opened - self._before, self._after - self._opened)
        return any(min(one.success, one.inferences, one.request_ns) < 0 for one in steps)

    @property
    def whole(self) -> Reading:
        """What the run added, its warm-up included."""
        return self._after - self._before

    @property
    def window(self) -> Reading:
        """What was added since the window opened."""
        return self._after - self._opened
