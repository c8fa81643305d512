"""Spans: OTLP in JSON read strictly, a collector that takes it, and the trees that they make."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
import urllib3
from tracing_made import MS, SERVICE, asked, ensemble, stamps, trace

from pytest_triton.probe.types import MalformedAnswer
from pytest_triton.probe_set import CHAIN
from pytest_triton.tracing import collector as collecting
from pytest_triton.tracing.asked import Asked
from pytest_triton.tracing.collector import Collector
from pytest_triton.tracing.context import Context, context_flaws, contexts, joins, own_flaws
from pytest_triton.tracing.spans import Event, Span, read_spans
from pytest_triton.tracing.stamps import COMPUTE, REQUEST, Trace
from pytest_triton.tracing.trees import EXECUTION, ROOT, forest_flaws, grow, lateness
from pytest_triton.tracing.waterfall import rows


def span(name: str, number: int, parent: int, begin: int, end: int, **more: Any) -> Span:
    """In milliseconds; numbers for ids."""
    made = Span(
        name, "a" * 32, f"{number:016x}", f"{parent:016x}" if parent else "", 2,
        begin * MS, end * MS, (), {}, {"service.name": SERVICE},
    )  # fmt: skip
    return replace(made, **more)


def of_model(made: Trace, number: int, parent: int) -> list[Span]:
    """The span of a model, and that of its execution."""
    times = {name: ns // MS for name, ns in made.stamps}
    own = [Event(name, ns) for name, ns in made.stamps if name in REQUEST]
    within = [Event(name, ns) for name, ns in made.stamps if name in COMPUTE]
    told = {
        "triton.model_name": made.model, "triton.model_version": made.version,
        "triton.trace_id": made.id, "triton.trace_parent_id": made.parent,
        "triton.request_id": made.request_id,
    }  # fmt: skip
    top = span(made.model, number, parent, times["REQUEST_START"], times["REQUEST_END"],
               events=tuple(own), attributes=told)  # fmt: skip
    if not within:
        return [top]
    return [top, span(EXECUTION, number + 1, number, times["COMPUTE_START"], times["COMPUTE_END"],
                      events=tuple(within))]  # fmt: skip


def of_request(top: Trace, steps: list[Trace], first: int = 0x10) -> list[Span]:
    """All spans of a request."""
    times = {name: ns // MS for name, ns in top.stamps}
    around = [Event(n, ns) for n, ns in top.stamps if n not in (*REQUEST, *COMPUTE)]
    root = span(ROOT, first, 0, times["REQUEST_START"] - 1, times["REQUEST_END"] + 9,
                events=tuple(around))  # fmt: skip
    made = [root, *of_model(top, first + 1, first)]
    for at, step in enumerate(steps, 1):
        made += of_model(step, first + 16 * at, first + 1)
    return made


def flaws(spans: list[Span], *sent: Asked) -> str:
    return "; ".join(forest_flaws(spans, sent or [asked()], SERVICE, named=True))


ONE = of_request(trace(1, 10), [])
TWO = of_request(*ensemble())


def test_whole_trees_have_no_flaw() -> None:
    assert not flaws(ONE)
    assert not flaws(TWO[::-1], asked(CHAIN))
    unnamed = [replace(s, attributes={**s.attributes, "triton.request_id": ""}) for s in ONE]
    assert not forest_flaws(unnamed, [asked()], SERVICE, named=False)


@pytest.mark.parametrize("named", [True, False])
def test_a_span_is_late_by_its_answer(named: bool) -> None:
    came = [replace(each, arrived=at / 10) for at, each in enumerate(ONE, 2)]
    assert lateness(came, [asked()], named=named) == [pytest.approx(0.3)]


@pytest.mark.parametrize(
    ("at", "change", "flaw"),
    [
        (0, {"parent": ""}, ""),
        (0, {"kind": 1}, "span 'InferRequest' is of kind 1"),
        (0, {"end": 12 * MS}, "does not contain 'pytest_triton_probe_addsub'"),
        (0, {"end": 1 * MS}, "ends before it starts"),
        (0, {"name": "Other"}, "0 requests have a trace, 1 were sent"),
        (1, {"name": "other"}, "says that its model is"),
        (1, {"attributes": {"triton.request_id": "r"}}, "has the triton.trace_id None"),
        (1, {"trace": "b" * 32}, "is of another trace than its root"),
        (1, {"resource": {}}, "comes from service None"),
        (1, {"parent": "9" * 16}, "has no parent among the spans that came"),
        (1, {"events": ()}, "has no REQUEST_START"),
        (2, {"name": "other"}, "has 0 spans 'compute'"),
        (2, {"start": 11 * MS}, "does not last from COMPUTE_START to COMPUTE_END"),
        (2, {"end": 14 * MS}, "ends before COMPUTE_END"),
        (2, {"id": f"{0x11:016x}"}, "two spans have one id"),
        (2, {"events": tuple(Event(n, ns) for n, ns in stamps((*COMPUTE, "QUEUE_START"), 12))},
         "has QUEUE_START, of other spans"),
    ],
)  # fmt: skip
def test_flaws_of_a_tree(at: int, change: dict[str, Any], flaw: str) -> None:
    made = [replace(each, **change) if number == at else each for number, each in enumerate(ONE)]
    told = flaws(made)
    assert flaw in told, told
    assert bool(flaw) == bool(told), told


def test_flaws_of_a_forest() -> None:
    other = [replace(s, trace="b" * 32) for s in of_request(trace(7, 50, request_id="s"), [], 0x50)]
    sent = (asked(), asked(id="s"))
    assert not flaws([*ONE, *other], *sent)
    assert "has no trace" in flaws([*ONE, *other], asked(), asked(id="t"))
    same = [replace(each, trace="a" * 32) for each in other]
    assert "two traces have one id" in flaws([*ONE, *same], *sent)
    again = [
        replace(s, attributes={**s.attributes, "triton.trace_id": 1}) if s.attributes else s
        for s in other
    ]
    assert "two traces have one triton.trace_id" in flaws([*ONE, *again], *sent)
    assert "step 2" in flaws([s for s in TWO if s.id != f"{0x31:016x}"], asked(CHAIN))


def test_parents_in_a_circle_end() -> None:
    circle = [replace(each, parent=ONE[-1].id) if each.name == ROOT else each for each in ONE]
    assert grow(circle)[0][0].request_id == "r"
    assert grow([replace(ONE[0], parent=ONE[0].id)])[1] == []


def test_a_waterfall_of_an_ensemble() -> None:
    made = rows(grow(TWO)[0])
    assert [row[0] for row in made[:4]] == [ROOT, "chain", "addsub", "· queue"]
    assert made[0] == (ROOT, 0.0, 40.0)
    assert made[3] == ("· queue", 5.0, 1.0)
    assert len(made) == 12
    assert rows([]) == []


CONTEXT = Context("c" * 32, "d" * 16, "ptt=1")


def test_contexts_of_clients() -> None:
    made = contexts(1, 5)
    assert len({each.trace for each in made}) == 5
    assert made[0].headers["traceparent"] == f"00-{made[0].trace}-{made[0].parent}-01"
    joined = [replace(s, trace=CONTEXT.trace, state="ptt=1") for s in ONE]
    joined[0] = replace(joined[0], parent=CONTEXT.parent)
    (tree,), lost = grow(joined)
    assert not lost
    assert not context_flaws(tree, CONTEXT)
    assert joins(tree, CONTEXT)
    (own,), _ = grow(ONE)
    assert not joins(own, CONTEXT)
    told = "; ".join(context_flaws(own, CONTEXT))
    for flaw in ("its client's is cccc", "has the parent nobody", "has the tracestate ''"):
        assert flaw in told
    assert not own_flaws({"r": own}, [asked()], [CONTEXT])
    (told_twice,) = own_flaws({"r": own, "s": own}, [asked(), asked(id="s")], [CONTEXT])
    assert "is that of another request" in told_twice
    assert len(own_flaws({"r": tree}, [asked()], [CONTEXT])) == 2
    sent = asked(headers={"traceparent": f"zz-{'a' * 32}-0"})
    assert "of another request" in own_flaws({"r": own}, [sent], [])[0]


EXPORT: dict[str, Any] = {
    "resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]},
        "scopeSpans": [{"scope": {"name": "t"}, "spans": [{
            "name": "n", "traceId": "AB" * 16, "spanId": "cd" * 8, "kind": 2,
            "startTimeUnixNano": "5", "endTimeUnixNano": 7,
            "events": [{"name": "e", "timeUnixNano": "6"}],
            "attributes": [{"key": "k", "value": {"intValue": "3"}},
                           {"key": "l", "value": {"arrayValue": {}}}],
        }]}],
    }]
}  # fmt: skip


def test_an_export_is_read() -> None:
    (made,) = read_spans(json.dumps(EXPORT).encode(), arrived=1.5)
    assert made == Span(
        "n", "ab" * 16, "cd" * 8, "", 2, 5, 7, (Event("e", 6),), {"k": 3, "l": None},
        {"service.name": "s"}, "", 1.5,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("traceId", "ab"), ("traceId", "0" * 32), ("traceId", 7), ("spanId", "g" * 16),
        ("parentSpanId", "ab"), ("kind", "server"), ("kind", None), ("name", ...),
        ("startTimeUnixNano", "soon"), ("startTimeUnixNano", -1), ("endTimeUnixNano", True),
        ("endTimeUnixNano", 1.5), ("events", [1]), ("events", 1), ("attributes", [{"key": "k"}]),
        ("attributes", [{"key": "k", "value": {"intValue": "x"}}]),
    ],
)  # fmt: skip
def test_what_is_no_span_is_told(key: str, value: Any) -> None:
    document = json.loads(json.dumps(EXPORT))
    told = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    told.pop(key, None)
    if value is not ...:
        told[key] = value
    with pytest.raises(MalformedAnswer):
        read_spans(json.dumps(document).encode())


@pytest.mark.parametrize(
    "body", [b"", b"\x0a\x05", b"[]", b"{}", b"[" * 99_999, b'{"resourceSpans":1}']
)
def test_what_is_no_export_is_told(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        read_spans(body)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        yield made


def post(collector: Collector, body: bytes, kind: str = "application/json", path: str = "") -> int:
    return int(
        urllib3.request(
            "POST", collector.url + path, body=body, headers={"Content-Type": kind}, retries=False
        ).status
    )


def test_a_collector_takes_spans_and_waits_for_them(collector: Collector) -> None:
    late = threading.Timer(0.2, post, (collector, json.dumps(EXPORT).encode()))
    late.start()
    began = time.monotonic()
    (made,) = collector.wait(lambda spans: len(spans) == 1, 5)
    assert 0.1 < time.monotonic() - began < 4
    assert made.arrived > began
    late.join()
    assert collector.wait(lambda spans: len(spans) == 2, 0.1) == [made]
    assert collector.spans(since=1) == []
    assert not collector.trouble


def test_a_collector_says_what_it_could_not_take(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = json.dumps(EXPORT).encode()
    assert post(collector, b"\x0a", "application/x-protobuf") == 415
    assert post(collector, b"{}") == 400
    assert post(collector, good, path="/other") == 404
    monkeypatch.setattr(collecting, "MAX_BYTES", 5)
    assert post(collector, good) == 413
    monkeypatch.setattr(collecting, "MAX_BYTES", 5000)
    monkeypatch.setattr(collecting, "MAX_SPANS", 1)
    assert [post(collector, good) for _ in range(2)] == [200, 429]
    assert len(collector.trouble) == 5
    assert "x-protobuf" in collector.trouble[0]
    assert len(collector.spans()) == 1


def test_a_silent_client_does_not_keep_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "_SILENT", 0.5)
    before = threading.active_count()
    with ExitStack() as stack:
        made = Collector()
        made.__enter__()
        host, port = made.url.split("/")[2].split(":")
        held = stack.enter_context(socket.create_connection((host, int(port))))
        held.sendall(b"POST /v1/traces HTTP/1.1\r\nContent-Length: 10\r\n\r\n")
        time.sleep(0.1)
        began = time.monotonic()
        made.__exit__()
        assert time.monotonic() - began < 5
        assert threading.active_count() <= before
