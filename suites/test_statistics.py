"""Stage 04: the statistics extension: every field, and what requests add to them."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest

from pytest_triton.bracketing import Bracket, contradiction, of_all
from pytest_triton.clocked import caches, flaw
from pytest_triton.counting import statistics
from pytest_triton.criteria import Inconclusive
from pytest_triton.declining import complaint
from pytest_triton.evidence import Evidence
from pytest_triton.probe.http import model_path, wait_until
from pytest_triton.probe.shared import said
from pytest_triton.probe_set import FAILING
from pytest_triton.ragging import ENOUGH
from pytest_triton.ragging import PATIENCE as MEETING
from pytest_triton.served import knows
from pytest_triton.subject import Subject
from pytest_triton.tallying import SPENT, entries, entry_problem, settled, spent, together

NOBODY, ABSENT = "pytest_triton_no_such_model", "999999937"
REQUESTS = 5
#: Seconds in which models that others load or unload come to rest.
CHANGING = 10.0
#: Looks at a clock, which may be set in between.
LOOKS = 2


@pytest.mark.clause("STA-01")
def test_fields(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples()[:1]:
        before, _ = statistics(triton_subject, name)
        triton_subject.answer(name, case, request_id="sta-01")
        added = settled(triton_subject, name, before, succeed=1)
        with triton_evidence.case(f"{name}, asked once"):
            assert added.success >= 1, "the request is not counted"
        for (model, version), entry in of_all(triton_subject).items():
            with triton_evidence.case(f"{model} version {version}"):
                text = entry_problem(entry, triton_subject.release)
                assert not text, text
        version = triton_subject.models[name].versions[-1]
        with triton_evidence.case(f"{name} version {version}, asked alone"):
            alone = list(entries(triton_subject.http.statistics(name, version)))
            assert alone == [(name, version)], f"entries of {alone}"
    triton_evidence.need("model whose tensors travel as JSON")


@pytest.mark.clause("STA-03")
def test_batched(triton_probes: Subject, triton_evidence: Evidence) -> None:
    deadline, alone = time.monotonic() + MEETING, 0
    while time.monotonic() < deadline and alone < ENOUGH:
        seen = together(triton_probes)
        assert not seen.strange, f"{seen.strange[0]} values: the sum is another request's"
        assert seen.added.success == seen.requests, (
            f"{seen.requests} requests were answered, {seen.added.success} are counted"
        )
        assert seen.executions == seen.added.executions, (
            f"batch_stats add up to {seen.executions} executions, execution_count to "
            f"{seen.added.executions}"
        )
        assert seen.rows == seen.added.inferences, (
            f"batch_stats add up to {seen.rows} inferences, inference_count to "
            f"{seen.added.inferences}"
        )
        assert abs(seen.seen - seen.executions) < 0.01, (
            f"the model was executed {seen.seen:.2f} times, {seen.executions} are counted"
        )
        if seen.executions < seen.requests:
            triton_evidence.measure("executions", seen.executions, "executions")
            return
        alone += seen.met
    assert alone < ENOUGH, (
        f"{ENOUGH} times {seen.requests} requests at once were executed one by one"
    )
    raise Inconclusive("the requests did not come close enough to one another to share a batch")


@pytest.mark.clause("STA-04")
def test_failures(triton_probes: Subject) -> None:
    before, _ = statistics(triton_probes, FAILING)
    raising = partial(triton_probes.http.infer, FAILING, {"CODE": np.array([-1], dtype=np.int32)})
    text = complaint(triton_probes, raising, ("INTERNAL",), "on purpose")
    assert not text, f"a request whose model raises {text}"
    added = settled(triton_probes, FAILING, before, succeed=0, fail=1)
    assert added.failure == 1, f"one request failed, fail.count rose by {added.failure}"
    assert added.success == 0, f"one request failed, success.count rose by {added.success}"
    assert added.inferences == 0, f"one request failed, inference_count rose by {added.inferences}"
    triton_probes.http.infer(FAILING, {"CODE": np.array([0], dtype=np.int32)})
    both = settled(triton_probes, FAILING, before, succeed=1, fail=1)
    assert both.failure == 1, f"one more succeeded, and fail.count rose by {both.failure}"
    assert both.success == 1, f"one more succeeded, success.count rose by {both.success}"


@pytest.mark.clause("STA-05")
def test_protocols(triton_subject: Subject) -> None:
    grpc = triton_subject.grpc
    assert grpc is not None

    def look() -> Bracket:
        first = of_all(triton_subject)
        told = of_all(triton_subject, grpc)
        return Bracket(first, told, of_all(triton_subject))

    # A server newer than the messages of tritonclient tells more over HTTP.
    newer = not knows(str(triton_subject.server.get("version")))
    text = contradiction(look, leaves_out=newer)
    assert not text, text


@pytest.mark.clause("STA-06")
def test_every_version(triton_subject: Subject) -> None:
    ready: set[tuple[str, str]] = set()
    told: set[tuple[str, str]] = set()

    def agree() -> bool:
        nonlocal ready, told
        ready = {
            (str(entry.get("name")), str(entry.get("version")))
            for entry in triton_subject.http.index(ready=True)
            if isinstance(entry, dict)
        }
        told = set(of_all(triton_subject))
        return told == ready

    # Others may load and unload meanwhile, which takes its time.
    wait_until(agree, timeout=CHANGING, interval=0.2)
    missing, other = sorted(ready - told), sorted(told - ready)
    assert not missing, f"{' version '.join(missing[0])} is ready and has no statistics"
    assert not other, f"{' version '.join(other[0])} has statistics and is not ready"


@pytest.mark.clause("STA-07")
def test_unknown(triton_subject: Subject, triton_evidence: Evidence) -> None:
    grpc = triton_subject.grpc
    assert grpc is not None
    name = min(triton_subject.models)
    for what, model, version, word in (
        ("an unknown model", NOBODY, "", NOBODY),
        ("an unknown version", name, ABSENT, name),
    ):
        path = f"{model_path(model, version)}/stats"
        for protocol, call in (
            ("HTTP", lambda path=path: said(triton_subject.http.request("GET", path))),
            ("gRPC", partial(grpc.statistics, model, version)),
        ):
            with triton_evidence.case(f"{protocol}: the statistics of {what}"):
                text = complaint(triton_subject, call, ("INVALID_ARGUMENT", "NOT_FOUND"), word)
                assert not text, text


@pytest.mark.clause("STA-09")
def test_durations(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        if triton_subject.models[name].is_ensemble:
            continue  # its steps may run at the same time
        with triton_evidence.case(name):
            counts, before = statistics(triton_subject, name)[0], spent(triton_subject, name)
            for _ in range(REQUESTS):
                triton_subject.answer(name, case)
            added = settled(triton_subject, name, counts, succeed=REQUESTS)
            assert added.success >= REQUESTS, f"{REQUESTS} requests, {added.success} are counted"
            after = spent(triton_subject, name)
            grown = {part: after[part] - before[part] for part in after}
            parts = sum(grown[part] for part in SPENT)
            told = ", ".join(f"{part} {grown[part]}" for part in SPENT)
            assert grown["success"] > 0, f"{REQUESTS} requests took {grown['success']} ns"
            assert grown["success"] >= parts, (
                f"{REQUESTS} requests took {grown['success']} ns, their parts {parts} ns ({told})"
            )
    triton_evidence.need("model whose tensors travel as JSON, and that is no ensemble")


@pytest.mark.clause("STA-13")
def test_last_inference(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        if triton_subject.models[name].is_ensemble or caches(triton_subject, name):
            continue
        with triton_evidence.case(name):
            text = None
            for _ in range(LOOKS):
                if not (text := flaw(triton_subject, name, case)):
                    break
            assert not text, text
    triton_evidence.need("model whose tensors travel as JSON, is no ensemble and caches nothing")
