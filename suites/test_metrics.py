"""Stage 04: metrics that exist, and that are true."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_triton.agreeing import disagreeing
from pytest_triton.counting import Counts, as_json, observe
from pytest_triton.evidence import Evidence
from pytest_triton.factory import Disposable
from pytest_triton.monitor.expected import families_of
from pytest_triton.probe.http import wait_until
from pytest_triton.probe.types import RequestFailed
from pytest_triton.subject import Subject

GOOD, BAD = 20, 7


@pytest.mark.clause("MTR-01")
def test_text(triton_subject: Subject) -> None:
    page = triton_subject.metrics_page()
    assert page.status == 200, f"GET /metrics answers {page.status}{page.speaker}"
    kind = page.headers.get("content-type", "")
    assert kind.startswith("text/plain"), f"content type {kind!r}"
    scrape = triton_subject.scrape()
    assert not scrape.problems, "; ".join(scrape.problems[:5])
    assert scrape.families, "the page has no family"
    for name, series in scrape.series.items():
        family = scrape.families.get(scrape.family_of(name))
        assert family is not None, f"{name} has neither TYPE nor HELP"
        assert family.type != "untyped", f"{name} has no TYPE"
        assert family.help, f"{name} has no HELP"
        for labels, value in series.items():
            if family.type != "summary":
                assert not math.isnan(value), f"{name}{dict(labels)} is NaN"


@pytest.mark.clause("MTR-02")
def test_families(triton_subject: Subject, triton_evidence: Evidence) -> None:
    families = triton_subject.scrape().families
    wanted = families_of(triton_subject.release)
    triton_evidence.measure("families", len(families), "families")
    missing = [name for name in wanted if name not in families]
    assert not missing, f"missing: {', '.join(missing)}"
    for name, kind in wanted.items():
        assert families[name].type == kind, f"{name} is a {families[name].type}, not a {kind}"
        assert families[name].help, f"{name} has no HELP"


@pytest.mark.clause("MTR-04")
def test_good_requests(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.pytorch.items():
        with triton_evidence.case(name):
            batch = 3 if model.max_batch_size >= 3 else None
            case = triton_subject.case(name, batch=batch)
            triton_subject.answer(name, case)

            def send(name: str = name, case: object = case, batch: int | None = batch) -> Counts:
                for _ in range(GOOD):
                    triton_subject.answer(name, case)  # type: ignore[arg-type]
                return Counts(success=GOOD, inferences=GOOD * (batch or 1))

            seen = observe(triton_subject, name, send)
            triton_evidence.attach(f"{name}.counts.json", as_json(seen))
            seen.require(triton_subject, "metrics")
            assert seen.by_metrics is not None
            executions = seen.by_metrics.executions
            assert 1 <= executions <= GOOD, f"{executions} executions for {GOOD} requests"
    triton_evidence.measure("requests counted", GOOD * len(triton_subject.pytorch), "requests")


@pytest.mark.clause("MTR-05")
def test_statistics_agree(triton_subject: Subject, triton_evidence: Evidence) -> None:
    found = disagreeing(triton_subject)
    triton_evidence.measure("disagreements", len(found), "counters", budget=0)
    assert not found, "\n".join(found[:5])


@pytest.mark.clause("MTR-06")
def test_series_of_every_version(triton_subject: Subject, triton_evidence: Evidence) -> None:
    scrape = triton_subject.scrape()
    for name, model in triton_subject.models.items():
        with triton_evidence.case(name):
            for version in model.versions:
                value = scrape.value("nv_inference_request_success", model=name, version=version)
                assert value is not None, f"version {version} has no nv_inference_request_success"


@pytest.mark.clause("MTR-08")
def test_nothing_pending(triton_subject: Subject, triton_evidence: Evidence) -> None:
    family = "nv_inference_pending_request_count"
    for name in triton_subject.pytorch:
        with triton_evidence.case(name):
            triton_subject.answer(name, triton_subject.case(name))
            assert triton_subject.scrape().value(family, model=name) is not None, (
                f"{family} has no series"
            )
            assert wait_until(
                lambda name=name: triton_subject.scrape().value(family, model=name) == 0, timeout=5
            ), f"{triton_subject.scrape().value(family, model=name)} requests stay pending"


@pytest.mark.clause("MTR-09")
def test_failing_requests(triton_disposable: Disposable, triton_evidence: Evidence) -> None:
    subject, name = triton_disposable.subject, triton_disposable.failing
    before = subject.scrape()

    def send() -> Counts:
        for _ in range(BAD):
            with pytest.raises(RequestFailed):
                subject.http.infer(name, {"IN": np.zeros(1, np.int32)})
        return Counts(failure=BAD)

    seen = observe(subject, name, send)
    triton_evidence.attach("counts.json", as_json(seen))
    triton_evidence.measure("failures counted", seen.by_statistics.failure, "requests", budget=BAD)
    seen.require(subject, "metrics")
    family = "nv_inference_request_failure"
    after = subject.scrape()
    labels = {"reason": "BACKEND"} if subject.failures_have_reasons else {}
    rise = (after.value(family, model=name, **labels) or 0) - (
        before.value(family, model=name, **labels) or 0
    )
    assert rise == BAD, f"{family}{labels} rose by {rise:g} for {BAD} failing requests"
