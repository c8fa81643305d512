"""Stage 04: metrics that exist, and that are true."""

from __future__ import annotations

import math

import numpy as np
import psutil
import pytest

from pytest_triton.agreeing import disagreeing
from pytest_triton.counted import at_rest
from pytest_triton.counting import Counts, Observation, as_json, observe
from pytest_triton.described import gauge_flaws, gpu_flaws, label_flaws, unit_flaws
from pytest_triton.evidence import Evidence
from pytest_triton.factory import Disposable
from pytest_triton.measuring import drive, heaviest, prepare
from pytest_triton.memory_use.cards import cards
from pytest_triton.monitor.expected import GPU_FAMILIES, families_of
from pytest_triton.monitor.metrics import Scrape
from pytest_triton.probe.http import wait_until
from pytest_triton.probe.types import RequestFailed
from pytest_triton.scraping import steady
from pytest_triton.subject import Subject
from pytest_triton.vanishing import vanishing

GOOD, BAD = 20, 7
SUCCESS = "nv_inference_request_success"
#: Requests in flight without which nothing can be batched, and seconds of load.
FILLED, SECONDS = 4, 0.3
#: Seconds for two renewals of the gauges that have an interval (--metrics-interval-ms 2000).
INTERVALS = 5.0
#: Scrapes that are compared, each with the one before.
LOOKS = 12


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


@pytest.mark.clause("MTR-03")
def test_counters_never_fall(triton_subject: Subject, triton_evidence: Evidence) -> None:
    samples = triton_subject.json_samples()

    def ask() -> None:
        for name, case in samples:
            triton_subject.answer(name, case)

    seen, text = steady(triton_subject, LOOKS, ask)
    triton_evidence.measure("scrapes compared", len(seen), "scrapes")
    if text:
        triton_evidence.attach("before.txt", seen[-2].text)
        triton_evidence.attach("after.txt", seen[-1].text)
    assert not text, text


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


@pytest.mark.clause("MTR-16")
def test_unloaded_models(triton_disposable: Disposable, triton_evidence: Evidence) -> None:
    subject, name = triton_disposable.subject, triton_disposable.controlled
    subject.http.infer(name, {"IN": np.zeros(1, np.int32)})
    assert wait_until(lambda: subject.scrape().value(SUCCESS, model=name), timeout=5), (
        f"{SUCCESS} of {name} stays 0"
    )
    seen = vanishing(subject, name)
    for when in ("before", "between", "after"):
        triton_evidence.attach(f"{when}.txt", getattr(seen, when).text)
    assert not seen.flaws(), f"{name}: " + "; ".join(seen.flaws()[:5])


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


def _under_load(subject: Subject, name: str) -> Observation:
    """What concurrent requests for a model add, by the server's own accounts."""
    requests = prepare(subject, name, count=16)

    def send() -> Counts:
        before = at_rest(subject, name)
        run = drive(subject, name, requests, duration_s=SECONDS, warmup_s=0.1)
        assert not run.errors, f"{name}: {run.errors} errors: {run.error_texts.most_common(2)}"
        after = at_rest(subject, name)
        return Counts(*(after[key] - before[key] for key in ("success", "fail", "inferences")))

    return observe(subject, name, send)


@pytest.mark.clause("MTR-10")
def test_batches(triton_subject: Subject, triton_evidence: Evidence) -> None:
    triton_subject.permit(FILLED)
    told: list[str] = []
    for name in heaviest(triton_subject):
        seen = _under_load(triton_subject, name)
        triton_evidence.attach(f"{name}.counts.json", as_json(seen))
        assert seen.by_metrics is not None, f"the metrics cannot be read: {seen.trouble}"
        grown, executed = seen.by_metrics.inferences, seen.by_metrics.executions
        assert executed == seen.batches.count, (
            f"{name}: nv_inference_exec_count rose by {executed}, batch_stats by {seen.batches.count}"
        )
        told.append(f"{name}: {grown} inferences in {executed} executions")
        triton_evidence.measure(f"{name} mean batch", grown / max(executed, 1), "rows")
        if grown > executed > 0:
            return
    raise AssertionError("; ".join(told))


def _renewed(subject: Subject, gauge: str) -> Scrape:
    """A page of after the first interval: until then its gauges are 0."""
    wait_until(lambda: subject.scrape().value(gauge) != 0, timeout=INTERVALS)
    return subject.scrape()


@pytest.mark.clause("MTR-11")
def test_gpus(triton_subject: Subject, triton_evidence: Evidence) -> None:
    owned = triton_subject.deployment.owned
    memory = {card.uuid: card.total for card in cards()} if owned else None
    page = _renewed(triton_subject, "nv_gpu_memory_total_bytes")
    triton_evidence.attach("page.txt", page.text)
    flaws = gpu_flaws(page, memory)
    assert not flaws, "; ".join(flaws[:5])


@pytest.mark.clause("MTR-14")
def test_labels(triton_subject: Subject, triton_evidence: Evidence) -> None:
    scrape = triton_subject.scrape()
    versions = [(name, v) for name, m in triton_subject.models.items() for v in m.versions]
    flaws = label_flaws(scrape, versions, triton_subject.release)
    triton_evidence.measure("series", sum(map(len, scrape.series.values())), "series")
    assert not flaws, "; ".join(flaws[:5])


@pytest.mark.clause("MTR-15")
def test_units(triton_subject: Subject, triton_evidence: Evidence) -> None:
    memory = psutil.virtual_memory().total if triton_subject.deployment.owned else None
    page = _renewed(triton_subject, "nv_cpu_memory_total_bytes")
    triton_evidence.attach("page.txt", page.text)
    flaws = [*unit_flaws(page), *gauge_flaws(page, memory)]
    assert not flaws, "; ".join(flaws[:5])


@pytest.mark.clause("MTR-28")
def test_no_gpus(triton_subject: Subject) -> None:
    families = triton_subject.scrape().families
    told = [name for name in GPU_FAMILIES if name in families]
    assert not told, f"the server has no GPU, and tells {', '.join(told)}"
