"""Metrics against the statistics of the same server: two views of the same counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_triton.monitor.metrics import Scrape
from pytest_triton.probe.types import MalformedAnswer

#: statistic -> family, for counters that have to be equal.
COUNTS = {
    "success": "nv_inference_request_success",
    "fail": "nv_inference_request_failure",
}
#: statistic -> family of its cumulated microseconds.
DURATIONS = {
    "success": "nv_inference_request_duration_us",
    "queue": "nv_inference_queue_duration_us",
    "compute_input": "nv_inference_compute_input_duration_us",
    "compute_infer": "nv_inference_compute_infer_duration_us",
    "compute_output": "nv_inference_compute_output_duration_us",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What the statistics say of one version: counters by family, durations in µs with slack."""

    counts: Mapping[str, float]
    durations: Mapping[str, tuple[float, float]]


def told(statistics: Mapping[str, Any]) -> dict[tuple[str, str], Told]:
    """The statistics of every version. Raises MalformedAnswer for nonsense."""
    try:
        return {
            (_text(entry["name"]), _text(entry["version"])): _told(entry)
            for entry in statistics["model_stats"]
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise MalformedAnswer(f"the statistics cannot be read: {error!r:.200}") from None


def _told(entry: Mapping[str, Any]) -> Told:
    known = entry.get("inference_stats", {})
    counts = {family: _number(known.get(key, {}), "count") for key, family in COUNTS.items()}
    counts["nv_inference_count"] = _number(entry, "inference_count")
    counts["nv_inference_exec_count"] = _number(entry, "execution_count")
    durations = {
        # Each request is cut to whole µs.
        family: (_number(part, "ns") / 1000, _number(part, "count") + 1)
        for family, part in ((family, known.get(key, {})) for key, family in DURATIONS.items())
    }
    return Told(counts, durations)


def _number(part: Mapping[str, Any], key: str) -> float:
    value = part.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 64:
        raise ValueError(f"{key} is {value!r:.60}")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.60} is no name or version")
    return value


def disagreements(
    scrape: Scrape, before: Mapping[str, Any], after: Mapping[str, Any] | None = None
) -> list[str]:
    """Where metrics and the statistics of ``before`` contradict each other; one line each.

    ``after`` are the statistics read after the metrics: while others use the server each
    counter lies between the two; on one at rest they are equal. Raises MalformedAnswer.
    """
    lines = []
    early, late = told(before), told(before if after is None else after)
    for (model, version), first in early.items():
        last = late.get((model, version), first)
        for family, count in first.counts.items():
            value = scrape.value(family, model=model, version=version)
            # A series may be missing for a model that never had a request.
            if not count <= (value or 0.0) <= last.counts[family]:
                lines.append(f"{model}:{version} {family} is {value}, the statistics say {count:g}")
        for family, (micros, slack) in first.durations.items():
            value = scrape.value(family, model=model, version=version) or 0.0
            most, more = last.durations[family]
            if not micros - slack <= value <= most + more:
                lines.append(
                    f"{model}:{version} {family} is {value:.0f} µs, the statistics say {micros:.0f} µs"
                )
    return lines


@dataclass(frozen=True, slots=True)
class Look:
    """Metrics, with the statistics that were read before and after them."""

    scrape: Scrape
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    def disagreements(self) -> list[str]:
        """As :func:`disagreements`."""
        return disagreements(self.scrape, self.before, self.after)

    def at_rest(self) -> bool:
        """Whether no request ended between the two readings of the statistics."""
        return told(self.before) == told(self.after)

    def bases(self, version: tuple[str, str]) -> dict[str, tuple[float, float]]:
        """Family -> least and greatest value by which the metrics exceed the statistics."""
        first, last = told(self.before)[version], told(self.after)[version]
        labels = {"model": version[0], "version": version[1]}
        found = {}
        for family, count in first.counts.items():
            value = self.scrape.value(family, **labels) or 0.0
            found[family] = (value - last.counts[family], value - count)
        for family, (micros, slack) in first.durations.items():
            value = self.scrape.value(family, **labels) or 0.0
            most, more = last.durations[family]
            found[family] = (value - most - more, value - micros + slack)
        return found

    def versions(self) -> set[tuple[str, str]]:
        """The versions whose metrics and statistics disagree."""
        return {
            version
            for version in told(self.before)
            if version in told(self.after)
            and any(not low <= 0 <= high for low, high in self.bases(version).values())
        }


def successes(statistics: Mapping[str, Any], version: tuple[str, str]) -> float:
    """The requests that a version has answered. Raises KeyError without it, MalformedAnswer."""
    return told(statistics)[version].counts["nv_inference_request_success"]


def earlier_life(early: Look, late: Look, version: tuple[str, str]) -> bool:
    """Whether metrics exceed the statistics by what the version did before it was loaded anew.

    Triton keeps a counter when a model is loaded again before the last of its old requests is
    forgotten, and starts its statistics at zero (seen on 2.51). Then every family is ahead by
    a constant, and the constants are those of requests: durations and executions belong to
    each success. Between the looks the version has to have answered requests.
    """
    one, two = early.bases(version), late.bases(version)
    if any(one[family][1] < two[family][0] or two[family][1] < one[family][0] for family in one):
        return False  # not a constant
    if successes(late.before, version) <= successes(early.after, version):
        return False
    base = {family: two[family][1] for family in two}
    requests = base["nv_inference_request_success"] + base["nv_inference_request_failure"]
    took = base["nv_inference_request_duration_us"]
    return (
        min(base.values()) >= 0
        and requests >= 1
        and base["nv_inference_exec_count"] <= base["nv_inference_count"] + requests
        and (base["nv_inference_count"] > 0) == (base["nv_inference_request_success"] > 0)
        and (base["nv_inference_exec_count"] > 0) == (base["nv_inference_count"] > 0)
        # Less than 10 µs for a request of a client: nobody has answered it.
        and took >= 10 * base["nv_inference_request_success"]
        and took >= 0.9 * base["nv_inference_compute_infer_duration_us"]
    )
