"""Stage 02 and 03: dynamic batching happens, gains, and mixes no answers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pytest_triton.counting import Counts, as_json, observe, statistics
from pytest_triton.criteria import Inconclusive
from pytest_triton.evidence import Evidence
from pytest_triton.factory import ServerFactory
from pytest_triton.gaining import ArmsServer, best_gain
from pytest_triton.measuring import drive, heaviest, prepare
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

MIN_BATCH = 2.0
#: Requests in flight without which nothing can be batched.
FILLED = 4
MIN_GAIN, MIN_LOW = 1.3, 1.1
#: Requests whose answers are all read.
READ = 600


@pytest.mark.clause("BAT-01")
def test_configured(triton_subject: Subject) -> None:
    configured = [name for name, m in triton_subject.pytorch.items() if m.dynamic_batching]
    assert configured, (
        "no ready PyTorch model has dynamic_batching and max_batch_size above 1: "
        + (
            ", ".join(
                f"{name} (max_batch_size {model.max_batch_size})"
                for name, model in triton_subject.pytorch.items()
            )
        )
    )


@pytest.mark.clause("BAT-02")
def test_batches_are_formed(triton_subject: Subject, triton_evidence: Evidence) -> None:
    means: dict[str, float] = {}
    sizes: dict[str, Mapping[int, int]] = {}
    for name in heaviest(triton_subject):
        triton_subject.permit(FILLED)
        _, before = statistics(triton_subject, name)
        run = drive(triton_subject, name, prepare(triton_subject, name), duration_s=1.0)
        _, after = statistics(triton_subject, name)
        batches = after - before
        triton_evidence.attach(f"{name}.batches.json", batches.executions)
        assert not run.errors, f"{name}: {run.errors} errors: {run.error_texts.most_common(2)}"
        means[name], sizes[name] = batches.mean, batches.executions
        if batches.mean >= MIN_BATCH:
            break
    best = max(means, key=lambda name: means[name])
    triton_evidence.batches(sizes[best], budget=MIN_BATCH)
    assert means[best] >= MIN_BATCH, "; ".join(
        f"{name}: mean executed batch {mean:.2f}, at least {MIN_BATCH:g} was expected"
        for name, mean in means.items()
    )


@pytest.mark.clause("BAT-03")
def test_gain(
    triton_subject: Subject,
    triton_settings: Settings,
    triton_server_factory: ServerFactory,
    triton_evidence: Evidence,
    triton_progress: object,
) -> None:
    arms = ArmsServer(triton_subject, triton_settings, triton_server_factory)
    found = best_gain(arms, at_least=MIN_GAIN, low_above=MIN_LOW, progress=triton_progress)
    for result in found:
        triton_evidence.attach(f"{result.model}.gain.json", result.to_json())
    best = max(found, key=lambda result: (not result.objection, result.gain.median))
    triton_evidence.model = best.model
    triton_evidence.pairs(
        "gain",
        best.gain.values,
        best.gain.median,
        interval=best.gain.interval,
        budget=MIN_GAIN,
        margin=best.gain.median - MIN_GAIN,
    )
    verdict = best.gain.judge(at_least=MIN_GAIN, low_above=MIN_LOW)
    told = "; ".join(f"{result.model}: gain {result.gain}" for result in found)
    if verdict == "inconclusive":
        raise Inconclusive(f"{told}: too near {MIN_GAIN}× to tell on this machine")
    assert verdict == "pass", f"{told}; {MIN_GAIN}× was asked for"
    assert not best.objection, f"gain {best.gain}, but {best.objection}"


@pytest.mark.clause("BAT-04")
def test_answers_stay_right(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name in heaviest(triton_subject):
        with triton_evidence.case(name):
            requests = prepare(triton_subject, name)
            run = drive(triton_subject, name, requests, count=READ, check_every=1)
            triton_evidence.measure(f"{name} answers read", run.checked, "answers")
            assert not run.errors, f"{run.errors} errors: {run.error_texts.most_common(2)}"
            assert run.checked >= READ * 0.9, f"only {run.checked} of {READ} answers could be read"
            assert not run.wrong, (
                f"{run.wrong} of {run.checked} answers are wrong: {run.wrong_texts.most_common(2)}"
            )


@pytest.mark.clause("STA-02")
def test_statistics_account(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.pytorch.items():
        with triton_evidence.case(name):
            batch = 2 if model.max_batch_size > 1 else None
            case = triton_subject.case(name, batch=batch)
            triton_subject.answer(name, case)

            def send(name: str = name, case: object = case, batch: int | None = batch) -> Counts:
                for _ in range(5):
                    triton_subject.answer(name, case)  # type: ignore[arg-type]
                return Counts(success=5, inferences=5 * (batch or 1))

            seen = observe(triton_subject, name, send)
            triton_evidence.attach(f"{name}.counts.json", as_json(seen))
            seen.require(triton_subject, "statistics")
            assert seen.batches.rows == seen.by_statistics.inferences, (
                f"batch_stats add up to {seen.batches.rows} inferences, "
                f"inference_count says {seen.by_statistics.inferences}"
            )
            assert seen.batches.count == seen.by_statistics.executions, (
                f"batch_stats add up to {seen.batches.count} executions, "
                f"execution_count says {seen.by_statistics.executions}"
            )
