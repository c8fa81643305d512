"""Spans as OTLP over HTTP carries them in JSON, read strictly.

Source: opentelemetry-proto, trace.proto and its JSON encoding (ids in hexadecimal digits, times
in nanoseconds since 1970 as decimal strings).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_triton.probe.types import MalformedAnswer

#: ``kind`` of a span that answers a request from outside.
SERVER = 2
_TRACE, _SPAN = re.compile(r"[0-9a-fA-F]{32}\Z"), re.compile(r"[0-9a-fA-F]{16}\Z")
_DIGITS = re.compile(r"[0-9]{1,19}\Z")
_VALUES = ("stringValue", "intValue", "doubleValue", "boolValue")


@dataclass(frozen=True, slots=True)
class Event:
    """A moment of a span, in nanoseconds since 1970."""

    name: str
    ns: int


@dataclass(frozen=True, slots=True)
class Span:
    """One span; ids in lower case, ``parent`` is "" for none, times in nanoseconds since 1970.

    ``resource`` are the attributes of the service that it comes from, ``state`` is its
    tracestate, ``arrived`` when it was taken (monotonic seconds).
    """

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    start: int
    end: int
    events: tuple[Event, ...]
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    state: str = ""
    arrived: float = 0.0

    @property
    def stamps(self) -> tuple[tuple[str, int], ...]:
        """Its events by name."""
        return tuple((event.name, event.ns) for event in self.events)


def read_spans(body: bytes, *, arrived: float = 0.0) -> list[Span]:
    """The spans of one export. Raises MalformedAnswer."""
    try:
        document = json.loads(body)
        return [
            _span(span, resource, arrived)
            for part in document["resourceSpans"]
            for resource in [_attributes(part.get("resource", {}))]
            for scope in part["scopeSpans"]
            for span in scope["spans"]
        ]
    except ValueError as error:
        raise MalformedAnswer(f"an export cannot be read: {error!s:.200}") from None
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedAnswer(f"an export is no OTLP in JSON: {error!r:.200}") from None


def _span(told: Mapping[str, Any], resource: Mapping[str, Any], arrived: float) -> Span:
    parent = told.get("parentSpanId") or ""
    return Span(
        name=str(told["name"]),
        trace=_id(told["traceId"], _TRACE),
        id=_id(told["spanId"], _SPAN),
        parent=_id(parent, _SPAN) if parent else "",
        kind=int(told["kind"]),
        start=_time(told["startTimeUnixNano"]),
        end=_time(told["endTimeUnixNano"]),
        events=tuple(
            Event(str(event["name"]), _time(event["timeUnixNano"]))
            for event in told.get("events", ())
        ),
        attributes=_attributes(told),
        resource=resource,
        state=str(told.get("traceState") or ""),
        arrived=arrived,
    )


def _id(value: object, form: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not form.match(value) or not value.strip("0"):
        raise ValueError(f"{value!r:.60} is no id")
    return value.lower()


def _time(value: object) -> int:
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not _DIGITS.match(text):
        raise ValueError(f"{value!r:.60} is no time")
    return int(text)


def _attributes(told: Mapping[str, Any]) -> dict[str, Any]:
    """Key -> value; 64-bit integers are strings in JSON."""
    found: dict[str, Any] = {}
    for entry in told.get("attributes", ()):
        kind = next((kind for kind in _VALUES if kind in entry["value"]), "")
        value = entry["value"].get(kind)
        found[str(entry["key"])] = int(str(value)) if kind == "intValue" else value
    return found


def inside(spans: Iterable[Span]) -> dict[str, list[Span]]:
    """Id of a span -> its children, in the order of their start."""
    found: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        found.setdefault(span.parent, []).append(span)
    return found
