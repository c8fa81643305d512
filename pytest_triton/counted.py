"""Counters of the statistics before and after requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from pytest_triton.counting import QUIET, SETTLE
from pytest_triton.probe.types import InferResult, MalformedAnswer
from pytest_triton.subject import Subject

Counters = Mapping[str, int]


def counters(subject: Subject, model: str) -> dict[str, int]:
    """Requests, inferences, cache hits and misses of a model. Raises MalformedAnswer."""
    try:
        entries = [
            entry
            for entry in subject.http.statistics(model)["model_stats"]
            if entry["name"] == model
        ]
        if not entries:
            raise MalformedAnswer(f"the statistics have no entry for {model}")
        told = [_told(entry) for entry in entries]
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedAnswer(f"statistics of {model} cannot be read: {error!r}") from None
    return {key: sum(one[key] for one in told) for key in told[0]}


def _told(entry: Mapping[str, Any]) -> dict[str, int]:
    stats = entry["inference_stats"]
    found = {
        "success": stats["success"].get("count", 0),
        "fail": stats["fail"].get("count", 0),
        "inferences": entry.get("inference_count", 0),
        "cache_hit": stats["cache_hit"].get("count", 0),
        "cache_miss": stats["cache_miss"].get("count", 0),
    }
    for key, value in found.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{key} is {value!r:.60}")
    return found


def asked(answer: InferResult) -> int:
    """How many requests a probe model that counts them has seen. Raises MalformedAnswer."""
    told = answer.outputs.get("ASKED")
    if told is None or answer.datatypes.get("ASKED") != "INT32" or told.shape != (1,):
        raise MalformedAnswer(f"no ASKED of INT32 [1] among the outputs {answer.datatypes}")
    return int(told[0])


def wrong_rise(
    subject: Subject, model: str, before: Counters, wanted: Counters, *, settle: float = SETTLE
) -> str:
    """How the counters ``wanted`` of a model rose otherwise since ``before``; "" for nothing.

    Triton counts a request after it has answered it: they get ``settle`` seconds for that.
    """
    deadline = time.monotonic() + settle
    while True:
        now = counters(subject, model)
        rose = {key: now[key] - before[key] for key in wanted}
        if rose == dict(wanted):
            return ""
        if time.monotonic() > deadline:
            key = next(key for key in wanted if rose[key] != wanted[key])
            return f"the statistics of {model} count {rose[key]} {key} more, expected {wanted[key]}"
        time.sleep(QUIET / 2)


def at_rest(subject: Subject, model: str) -> dict[str, int]:
    """The counters of a model once they no longer change, or after ``SETTLE`` seconds."""
    return _settled(lambda: counters(subject, model))


def _settled(read: Callable[[], dict[str, int]]) -> dict[str, int]:
    deadline = time.monotonic() + SETTLE
    last = read()
    while time.monotonic() < deadline:
        time.sleep(QUIET)
        if (now := read()) == last:
            break
        last = now
    return last
