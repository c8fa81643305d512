"""Stage 04: traces of requests: files, spans, contexts of clients, and times that agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from pytest_triton.evidence import Evidence
from pytest_triton.probe_set import ADDSUB, CHAIN, SLOW
from pytest_triton.tracing import agreement, context, files, sampling, tensors, trees, waterfall
from pytest_triton.tracing.asked import GRPC, HTTP, ask, ask_at_once, ask_each
from pytest_triton.tracing.serving import DELAY_MS, FREQUENCY, SERVICE, SLACK_S, Exporting, Writing

#: Models and protocols, twice the traces of one file and one more.
PLAN = (
    (ADDSUB, HTTP), (ADDSUB, GRPC), (CHAIN, HTTP), (CHAIN, GRPC), (SLOW, HTTP),
    (SLOW, GRPC), (ADDSUB, HTTP),
)  # fmt: skip
#: Milliseconds of each of the slow requests whose times are compared, and how many come at once.
BUSY_MS, AT_ONCE = 150, 2
#: Seconds behind an answer within which its spans have to arrive.
WITHIN_S = DELAY_MS / 1000 + SLACK_S
Boot = Callable[..., AbstractContextManager[Writing]]


@contextmanager
def _kept(server: Writing, evidence: Evidence) -> Iterator[None]:
    """The files that a server has written, whatever is found in them, as evidence."""
    try:
        yield
    finally:
        for path in files.parts(server.path):
            evidence.attach(f"{path.name}.json", path.read_bytes())


@pytest.mark.clause("TRC-07")
def test_files(triton_writing: Boot, triton_evidence: Evidence) -> None:
    with triton_writing("TIMESTAMPS") as server, _kept(server, triton_evidence):
        asked = ask_each(server.subject, PLAN)
        whole = len(asked) // FREQUENCY
        early = server.written(whole)
        assert len(early) == whole, (
            f"{SLACK_S:g} s behind {len(asked)} requests there are {len(early)} files, not {whole}"
        )
        found = server.end()
    counts = [len(file.requests) for file in found]
    wanted = [*[FREQUENCY] * whole, len(asked) - whole * FREQUENCY]
    flaws = files.file_flaws(found, asked)
    assert not flaws, "; ".join(flaws[:5])
    assert counts == wanted, f"the files have {counts} requests, not {wanted}"


@pytest.mark.clause("TRC-13")
def test_tensors(triton_writing: Boot, triton_evidence: Evidence) -> None:
    with triton_writing("TIMESTAMPS", "TENSORS") as server, _kept(server, triton_evidence):
        asked = ask_each(server.subject, PLAN[:4])
        found = server.end()
    flaws = files.file_flaws(found, asked) + tensors.tensor_flaws(found, asked)
    assert not flaws, "; ".join(flaws[:5])


@pytest.mark.clause("TRC-11")
def test_spans(triton_exporting: Exporting, triton_evidence: Evidence) -> None:
    subject, since = triton_exporting.subject, triton_exporting.mark()
    asked = ask_each(subject, PLAN)
    spans = triton_exporting.spans_of(asked, since)
    triton_evidence.attach("spans.json", trees.to_json(spans))
    assert not triton_exporting.collector.trouble, triton_exporting.collector.trouble[0]
    named = trees.ids_told(subject.release)
    grown, _ = trees.grow(spans)
    ensembles = [tree for tree in grown if tree.top and tree.top.name == CHAIN]
    triton_evidence.waterfall("spans of an ensemble", waterfall.rows(ensembles[:1]))
    flaws = trees.forest_flaws(spans, asked, SERVICE, named=named)
    assert not flaws, "; ".join(flaws[:5])
    late = trees.lateness(spans, asked, named=named)
    triton_evidence.measure("arrival of spans", max(late), "s", budget=WITHIN_S, samples=late)
    assert max(late) <= WITHIN_S, (
        f"spans arrive {max(late):.2f} s behind the answer, exported every {DELAY_MS / 1000:g} s"
    )


@pytest.mark.clause("TRC-08")
def test_contexts(triton_exporting: Exporting, triton_evidence: Evidence) -> None:
    subject, since = triton_exporting.subject, triton_exporting.mark()
    given = context.contexts(subject.settings.seed, 4 + context.OVER_GRPC)
    plan = [(model, HTTP) for model in (ADDSUB, CHAIN)] * 2
    plan += [(model, GRPC) for model in (ADDSUB, CHAIN)] * (context.OVER_GRPC // 2)
    joined = [
        ask(subject, model, protocol, headers=each.headers)
        for (model, protocol), each in zip(plan, given, strict=True)
    ]
    alone = ask_each(subject, [(ADDSUB, HTTP), (ADDSUB, GRPC)] * 2)
    alone += [
        ask(subject, ADDSUB, protocol, headers={context.TRACEPARENT: text})
        for text in context.BROKEN.values()
        for protocol in (HTTP, GRPC)
    ]
    asked = [*joined, *alone]
    spans = triton_exporting.spans_of(asked, since)
    triton_evidence.attach("spans.json", trees.to_json(spans))
    grown, _ = trees.grow(spans)
    found = {tree.request_id: tree for tree in grown}
    flaws = [f"request {each} has no trace" for each in asked if each.id not in found]
    if not flaws:
        pairs = list(zip(joined, given, strict=True))
        for each, its in pairs[: -context.OVER_GRPC]:
            said = context.context_flaws(found[each.id], its)
            flaws += [f"the trace of {each} {text}" for text in said]
        pairs = pairs[-context.OVER_GRPC :]
        lost = [each for each, its in pairs if not context.joins(found[each.id], its)]
        triton_evidence.measure("contexts lost over gRPC", len(lost), f"of {len(pairs)}")
        if len(lost) > len(pairs) // 2:
            flaws.append(f"{len(lost)} of {len(pairs)} traces over gRPC are not their clients'")
        flaws += context.own_flaws(found, lost + alone, given)
    assert not flaws, "; ".join(flaws[:5])


@pytest.mark.clause("TRC-12")
def test_sampling(triton_sampling: Exporting, triton_evidence: Evidence) -> None:
    subject = triton_sampling.subject
    joins = subject.release is None or subject.release >= context.SINCE
    given = context.contexts(subject.settings.seed, 3) if joins else []
    made = sampling.sample(triton_sampling, contexts=[each.headers for each in given])
    named = trees.ids_told(subject.release)
    spans = sampling.traced(triton_sampling, made, named=named)
    triton_evidence.attach("spans.json", trees.to_json(spans))
    flaws = sampling.sampled_flaws(spans, made, named=named)
    assert not flaws, "; ".join(flaws)


@pytest.mark.clause("TRC-10")
def test_times_agree(triton_exporting: Exporting, triton_evidence: Evidence) -> None:
    subject, since = triton_exporting.subject, triton_exporting.mark()
    before = agreement.count(subject, SLOW)
    asked = ask_at_once(subject, SLOW, AT_ONCE, busy_ms=BUSY_MS)
    asked.append(ask(subject, SLOW, GRPC, busy_ms=BUSY_MS))
    added = agreement.counted_since(subject, SLOW, before, len(asked))
    spans = triton_exporting.spans_of(asked, since)
    triton_evidence.attach("spans.json", trees.to_json(spans))
    grown, _ = trees.grow(spans)
    traces = [tree.trace(tree.top) for tree in grown if tree.top]
    assert len(traces) == len(asked), f"{len(traces)} requests have a trace, {len(asked)} were sent"
    aside = subject.release is None or subject.release >= agreement.ASIDE_SINCE
    triton_evidence.waterfall("requests to a slow model", waterfall.rows(grown[:AT_ONCE]))
    flaws = agreement.missing(traces)
    if not flaws:
        triton_evidence.attach("times.json", agreement.to_json(traces, added))
        flaws = agreement.disagreements(traces, added, aside=aside)
        flaws += agreement.overlaps(traces, asked)
    assert not flaws, "; ".join(flaws[:5])
