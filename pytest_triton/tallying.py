"""The statistics extension: what its entries look like, and what requests add to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_triton.counting import Counts, statistics
from pytest_triton.probe.http import wait_until
from pytest_triton.probe.types import MalformedAnswer
from pytest_triton.probe_set import RAGGED
from pytest_triton.ragging import one_round, total
from pytest_triton.subject import Subject

#: First release seen with statistics of responses (2.48); 2.39 has none.
RESPONSES_SINCE = "24.07"
PARTS = (
    "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit",
    "cache_miss",
)  # fmt: skip
#: What a request's time is spent on, one after the other.
SPENT = ("queue", "compute_input", "compute_infer", "compute_output")
#: Milliseconds since 1970 have so many digits for some centuries; seconds and nanoseconds have not.
MILLISECONDS = range(10**12, 10**14)
#: Seconds after which the statistics have to hold a request that was answered.
PATIENCE = 5.0
Entries = dict[tuple[str, str], dict[str, Any]]


def entries(answer: Any) -> Entries:
    """(model, version) -> statistics. Raises MalformedAnswer, also when one comes twice."""
    listed = answer.get("model_stats") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        raise MalformedAnswer(f"there is no array model_stats: {str(answer)[:80]!r}")
    found: Entries = {}
    for entry in listed:
        if not isinstance(entry, dict):
            raise MalformedAnswer(f"model_stats has {entry!r:.80}, not an object")
        key = str(entry.get("name")), str(entry.get("version"))
        if key in found:
            raise MalformedAnswer(f"model_stats has {' version '.join(key)} twice")
        found[key] = entry
    return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _durations(of: Any, names: tuple[str, ...], where: str) -> str | None:
    for name in names:
        told = of.get(name) if isinstance(of, dict) else None
        if not isinstance(told, dict):
            return f"{where}{name} is {told!r:.80}"
        for key in ("count", "ns"):
            if not _is_count(told.get(key)):
                return f"{where}{name}.{key} is {told.get(key)!r:.80}"
    return None


def entry_problem(entry: Mapping[str, Any], release: str | None) -> str | None:
    """The first field of an entry that is missing or has no value of its kind."""
    for key in ("name", "version"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            return f"{key} is {entry.get(key)!r:.80}"
    for key in ("last_inference", "inference_count", "execution_count"):
        if not _is_count(entry.get(key)):
            return f"{key} is {entry.get(key)!r:.80}"
    if text := _durations(entry.get("inference_stats"), PARTS, "inference_stats."):
        return text
    batches = entry.get("batch_stats")
    if not isinstance(batches, list):
        return f"batch_stats is {batches!r:.80}"
    for batch in batches:
        if not isinstance(batch, dict) or not _is_count(batch.get("batch_size")):
            return f"batch_stats has {batch!r:.80}, without a batch_size"
        if text := _durations(batch, SPENT[1:], "batch_stats: "):
            return text
    if not isinstance(entry.get("memory_usage"), list):
        return f"memory_usage is {entry.get('memory_usage')!r:.80}"
    tells = release is None or release >= RESPONSES_SINCE
    if tells and not isinstance(entry.get("response_stats"), dict):
        return f"response_stats is {entry.get('response_stats')!r:.80}"
    last = entry["last_inference"]
    if entry["inference_count"] and last not in MILLISECONDS:
        return f"last_inference is {last}, no milliseconds since 1970"
    return None


def settled(subject: Subject, model: str, before: Counts, *, succeed: int, fail: int = 0) -> Counts:
    """What was added to a model's counters, once so many requests are in them.

    A request may be answered before it is counted: what is missing is waited for, and then
    given as it is.
    """
    seen = [before]

    def counted() -> bool:
        seen[0] = statistics(subject, model)[0]
        added = seen[0] - before
        return added.success >= succeed and added.failure >= fail

    wait_until(counted, timeout=PATIENCE, interval=0.05)
    return seen[0] - before


def spent(subject: Subject, model: str) -> dict[str, int]:
    """Nanoseconds that a model's requests took, by ``success`` and the parts of :data:`SPENT`."""
    totals = dict.fromkeys(("success", *SPENT), 0)
    for entry in entries(subject.http.statistics(model)).values():
        if text := _durations(entry.get("inference_stats"), PARTS, "inference_stats."):
            raise MalformedAnswer(text)
        for name in totals:
            totals[name] += entry["inference_stats"][name]["ns"]
    return totals


@dataclass(frozen=True, slots=True)
class Together:
    """Requests at once: what they added, and how many executions the model itself saw."""

    requests: int
    added: Counts
    #: Executions and their requests in batch_stats.
    executions: int
    rows: int
    #: By what the model told each request: how many shared its execution.
    seen: float
    #: Lengths whose answer is not the sum of their values: another request's.
    strange: tuple[int, ...]
    #: Whether all were on their way at the same time.
    met: bool


def together(subject: Subject, count: int = 4) -> Together:
    """Send requests to the probe model of ragged batches at once. Raises what one of them raises."""
    lengths = range(1, count + 1)
    before, batches = statistics(subject, RAGGED)
    told = one_round(subject, lengths, "sta-03")
    settled(subject, RAGGED, before, succeed=count)
    after, more = statistics(subject, RAGGED)
    grown = more - batches
    if nobody := [length for length in lengths if told.shared[length] < 1]:
        raise MalformedAnswer(f"{nobody[0]} values: {told.shared[nobody[0]]} shared its execution")
    seen = sum(1 / share for share in told.shared.values())
    strange = tuple(length for length in lengths if told.sums[length] != total(length))
    return Together(count, after - before, grown.count, grown.rows, seen, strange, told.together)
