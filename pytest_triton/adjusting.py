"""Trace and log settings: what they look like, and changes that are put back."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pytest_triton.errors import SubjectFault
from pytest_triton.probe.adjust import LEVEL, Adjusting, GrpcAdjusting, HttpAdjusting
from pytest_triton.subject import Subject

#: First release seen to tell the mode (2.48); 2.39 does not.
MODE_SINCE = "24.07"
#: The settings that both protocols show in every mode, and those of the mode "triton" alone.
ALWAYS = (LEVEL, "trace_rate", "trace_count")
TO_A_FILE = ("log_frequency", "trace_file")
LEVELS = frozenset({"OFF", "TIMESTAMPS", "TENSORS", "MIN", "MAX"})
_WHOLE = re.compile(r"-?[0-9]{1,18}\Z")
LOG_TYPES: Mapping[str, type] = {
    "log_file": str, "log_info": bool, "log_warning": bool, "log_error": bool,
    "log_verbose_level": int, "log_format": str,
}  # fmt: skip
LOG_FORMATS = ("default", "ISO8601")


def both(subject: Subject) -> list[Adjusting]:
    """The extensions over HTTP, and over gRPC where an endpoint is known."""
    found: list[Adjusting] = [HttpAdjusting(subject.http)]
    if subject.grpc is not None:
        found.append(GrpcAdjusting(subject.grpc))
    return found


def trace_keys(subject: Subject, told: Mapping[str, Any]) -> list[str]:
    """The trace settings that this release has to show in the mode that it tells."""
    keys = list(ALWAYS)
    if told.get("trace_mode", "triton") == "triton":
        keys += TO_A_FILE
    if subject.release is None or subject.release >= MODE_SINCE:
        keys.append("trace_mode")
    return keys


def trace_problem(subject: Subject, told: Mapping[str, Any]) -> str | None:
    """The first trace setting that is missing or has no value of its kind."""
    for key in trace_keys(subject, told):
        value = told.get(key)
        if key == LEVEL:
            right = isinstance(value, list) and bool(value) and set(map(str, value)) <= LEVELS
        elif key == "trace_mode":
            right = value in ("triton", "opentelemetry")
        elif key == "trace_file":
            right = isinstance(value, str)
        else:
            right = isinstance(value, str) and _WHOLE.match(value) is not None
        if not right:
            return f"{key} is {value!r:.80}" if key in told else f"there is no {key}"
    return None


def log_problem(told: Mapping[str, Any]) -> str | None:
    """The first log setting that is missing or has no value of its kind."""
    for key, kind in LOG_TYPES.items():
        value = told.get(key)
        if type(value) is not kind:
            return f"{key} is {value!r:.80}" if key in told else f"there is no {key}"
    if told["log_format"] not in LOG_FORMATS:
        return f"log_format is {told['log_format']!r:.80}, not one of {', '.join(LOG_FORMATS)}"
    return None


def apart(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings in which two looks differ."""
    keys = sorted({*one, *two})
    return {key: (one.get(key), two.get(key)) for key in keys if one.get(key) != two.get(key)}


@contextmanager
def kept_trace(adjusting: Adjusting, model: str = "") -> Iterator[dict[str, Any]]:
    """The trace settings as they are; put back afterwards. SubjectFault if they cannot be.

    What a model had not for itself is cleared, so that it follows the server again.
    """
    before = adjusting.trace(model=model)
    try:
        yield before
    finally:
        for clear in (True, False) if model else (False,):
            changed = apart(before, adjusting.trace(model=model))
            if changed:
                adjusting.trace(
                    {key: None if clear else was for key, (was, _) in changed.items()}, model
                )
        if left := apart(before, adjusting.trace(model=model)):
            raise SubjectFault(f"the trace settings cannot be put back: {left}")


@contextmanager
def kept_log(adjusting: Adjusting) -> Iterator[dict[str, Any]]:
    """The log settings as they are; put back afterwards. SubjectFault if they cannot be."""
    before = adjusting.log()
    try:
        yield before
    finally:
        if changed := apart(before, adjusting.log()):
            adjusting.log({key: was for key, (was, _) in changed.items()})
        if left := apart(before, adjusting.log()):
            raise SubjectFault(f"the log settings cannot be put back: {left}")


def other_number(told: Mapping[str, Any], key: str, by: int) -> str:
    """Another number for a trace setting, as a string."""
    value = str(told.get(key, ""))
    return str((int(value) if _WHOLE.match(value) else 0) + by)
