"""Stage 03: the way to the model, the tail, bursts and overload."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_triton.criteria import Inconclusive, NotAssessed
from pytest_triton.evidence import Evidence
from pytest_triton.factory import ServerFactory
from pytest_triton.load.trust import OCCUPIED
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject
from pytest_triton.timing import runs, stress
from pytest_triton.timing.budgets import MOST_S, budgets_of, measure
from pytest_triton.timing.cold import cold
from pytest_triton.timing.fresh import fresh
from pytest_triton.timing.tail import tail
from pytest_triton.timing.way import Finding, advice, analysed, outside, overhead

#: A light run is repeated so often, while it cannot tell.
LOOKS = 4
_UNITS = {"throughput_rps": "requests/s", "error_rate": "share", "content": "answers"}


@pytest.mark.clause("LAT-03")
def test_the_way_is_short(triton_subject: Subject, triton_evidence: Evidence) -> None:
    timed = runs.alone(triton_subject)
    triton_evidence.model = timed.model
    runs.plain(timed.result)
    network = runs.network_ms(triton_subject)
    found = overhead(timed, network)
    triton_evidence.measure("latency alone", float(np.median(timed.latency_ms)), "ms")
    triton_evidence.measure("by the server's account", timed.inside_ms, "ms")
    triton_evidence.measure("round trip of the network", network, "ms")
    triton_evidence.measure("on the way", found.value, "ms", budget=found.budget,
                            margin=found.budget - found.value)  # fmt: skip
    _settle(found)


@pytest.mark.clause("LAT-04")
def test_nobody_is_late(triton_subject: Subject, triton_evidence: Evidence) -> None:
    seen = None
    for look in range(LOOKS):
        timed = runs.light(triton_subject, look)
        triton_evidence.model = timed.model
        runs.plain(timed.result)
        found = tail(timed)
        seen = found if seen is None else seen + found
        if seen.verdict != "inconclusive" or (not found.quiet and look):
            break
    assert seen is not None
    rate = runs.light_rate(triton_subject)
    triton_evidence.measure("rate", rate, "requests/s")
    triton_evidence.measure("late", 100 * seen.late / max(seen.asked, 1), "%", budget=0.3)
    triton_evidence.measure("worst", seen.worst_ms, "ms")
    if seen.verdict == "inconclusive":
        raise Inconclusive(f"{timed.model}: {seen}")
    assert seen.verdict == "pass", f"{timed.model}: {seen} at {rate:.0f} requests/s"


@pytest.mark.clause("LAT-05")
def test_requests_wait_inside(triton_subject: Subject, triton_evidence: Evidence) -> None:
    timed = runs.busy(triton_subject)
    triton_evidence.model = timed.model
    runs.plain(timed.result)
    found = outside(timed, runs.network_ms(triton_subject))
    triton_evidence.measure("latency", float(timed.latency_ms.mean()), "ms")
    triton_evidence.measure("by the server's account", timed.inside_ms, "ms")
    triton_evidence.measure("outside the server", 100 * found.value, "%",
                            budget=100 * found.budget)  # fmt: skip
    config = triton_subject.models[timed.model].config
    model, levels = analysed(runs.alone(triton_subject), timed, config)
    first, *more = [(f"{one.concurrency} in flight", one.parts_ms) for one in levels]
    triton_evidence.stages(first[1], name="where time goes", rows=dict(more), y_name=first[0])
    triton_evidence.attach("advice.txt", advice(model, levels))
    _settle(found)


@pytest.mark.clause("LAT-06")
def test_the_model_was_measured(triton_subject: Subject, triton_evidence: Evidence) -> None:
    timed = runs.busy(triton_subject)
    triton_evidence.model = timed.model
    result = timed.result
    runs.plain(result)
    whole = result.served_whole
    if whole is None:
        raise Inconclusive(f"the statistics of {timed.model} cannot be used: {result.unread}")
    triton_evidence.measure("good answers", result.good, "requests")
    triton_evidence.measure("counted by the server", whole.success, "requests")
    assert not whole.cache_hits, (
        f"{timed.model}: {whole.cache_hits} of {whole.success} requests were answered by a response "
        "cache that its configuration does not ask for"
    )
    if whole.success < result.good and (several := runs.several_servers(triton_subject)):
        raise Inconclusive(f"{timed.model}: {several}")
    assert whole.success >= result.good, (
        f"{timed.model}: {result.good} good answers, and the model gave {whole.success} of them: "
        "something else answered"
    )
    if (seen := fresh(triton_subject)) is not None:
        triton_evidence.measure("execution of new inputs", seen.new_ms, "ms")
        triton_evidence.measure("execution of known inputs", seen.known_ms, "ms")
        assert not seen.remembered, (
            f"{timed.model}: an input that nobody sent before takes {seen.new_ms:.2f} ms, one that "
            f"comes again {seen.known_ms:.2f} ms: answers are remembered"
        )
    if whole.success > result.good + result.bad:
        raise Inconclusive(
            f"{timed.model}: {result.good} good answers, and the server counts {whole.success} "
            "successful requests: somebody else asks too, or a gateway sends requests twice"
        )


@pytest.mark.clause("LAT-07")
def test_a_burst_is_worked_off(triton_subject: Subject, triton_evidence: Evidence) -> None:
    runs.plain(runs.busy(triton_subject).result)
    found = stress.burst(triton_subject)
    triton_evidence.model = runs.model_of(triton_subject)
    runs.plain(found.result)
    middle = float(np.median(found.drained_ms))
    triton_evidence.measure("worked off", middle, "ms", budget=found.allowed_ms,
                            samples=list(found.drained_ms))  # fmt: skip
    told = (
        f"{stress.BURST} requests at once took {middle:.0f} ms, allowed {found.allowed_ms:.0f} ms"
    )
    if middle > found.allowed_ms and (noise := runs.restless(found.result)):
        raise Inconclusive(f"{told}; {noise}")
    assert middle <= found.allowed_ms, told


@pytest.mark.clause("LAT-08")
def test_overload_is_survived(triton_subject: Subject, triton_evidence: Evidence) -> None:
    runs.plain(runs.alone(triton_subject).result)
    runs.plain(runs.busy(triton_subject).result)
    found = stress.overload(triton_subject)
    triton_evidence.model = name = runs.model_of(triton_subject)
    triton_evidence.measure("rate", found.rate, "requests/s")
    triton_evidence.measure("throughput", found.throughput, "requests/s", budget=found.wanted)
    triton_evidence.measure("refused", found.result.errors, "requests")
    triton_evidence.measure("recovered within", found.recovery_s, "s", budget=stress.WITHIN_S)
    triton_evidence.measure("median behind it", found.after_ms, "ms", budget=found.allowed_ms)
    assert not found.result.wrong, f"wrong answers: {found.result.wrong_texts.most_common(2)}"
    assert not found.unexpected, (
        f"{name}: errors under overload that do not say too busy: {found.unexpected[:2]}"
    )
    runs.plain(found.after)
    noise = runs.restless(found.after) or runs.restless(found.result)
    slow = (
        f"{name}: {found.throughput:.0f} requests/s of {found.rate:.0f} under overload, "
        f"{found.wanted:.0f} had to be kept, {found.unanswered} were neither answered nor refused"
    )
    late = (
        f"{name}: behind the overload a request takes {found.after_ms:.1f} ms, it was "
        f"{found.before_ms:.1f} ms, {found.allowed_ms:.1f} ms are allowed"
    )
    busy = "the client was busy itself" if found.result.client_busy > OCCUPIED else ""
    for broken, told in (
        (found.throughput < found.wanted or found.unanswered > 0, slow),
        (found.after_ms > found.allowed_ms, late),
    ):
        if broken and (doubt := noise or busy or found.result.lateness):
            raise Inconclusive(f"{told}; {doubt}")
        assert not broken, told


@pytest.mark.clause("LAT-09")
def test_warmed_up_is_warm(
    triton_subject: Subject,
    triton_settings: Settings,
    triton_server_factory: ServerFactory,
    triton_evidence: Evidence,
) -> None:
    found = cold(triton_subject, triton_settings, triton_server_factory)
    triton_evidence.model = found.model
    triton_evidence.measure("first request", found.first_ms, "ms", budget=found.limit_ms,
                            margin=found.limit_ms - found.first_ms,
                            samples=[copy.first_ms for copy in found.warmed])  # fmt: skip
    triton_evidence.measure("warm request", found.warm_ms, "ms")
    if found.plain:
        without = [copy.first_ms for copy in found.plain]
        triton_evidence.measure("first request without warm-up", float(np.median(without)), "ms",
                                samples=without)  # fmt: skip
    if found.verdict == "inconclusive":
        raise Inconclusive(str(found))
    assert found.verdict == "pass", str(found)


def _settle(found: Finding) -> None:
    if found.verdict == "inconclusive":
        raise Inconclusive(found.reason)
    assert found.verdict == "pass", found.reason


@pytest.mark.clause("LAT-02")
def test_budgets_are_kept(triton_subject: Subject, triton_evidence: Evidence) -> None:
    broken, doubtful, hole = [], [], None
    for budget in budgets_of(triton_subject):
        triton_evidence.model = budget.model
        try:
            run = measure(triton_subject, budget)
        except NotAssessed as error:  # it hides nothing that another budget shows
            hole = error
            continue
        run, judged = run.settle(max_s=MOST_S, **dict(budget.budgets))
        for found in judged:
            name = f"{budget.model} {found.name} at {budget.load}"
            triton_evidence.measure(name, found.value, _UNITS.get(found.name, "ms"),
                                    budget=found.budget, interval=found.interval)  # fmt: skip
            told = f"{budget.model} at {budget.load}: {found.reason}"
            if found.verdict == "fail":
                broken.append(told)
            elif found.verdict == "inconclusive":
                doubtful.append(told)
        if run.concurrency == 0:
            triton_evidence.latency(run.latency_us / 1e3, ended_s=run.ended_s)
    assert not broken, "\n".join(broken)
    if doubtful:
        raise Inconclusive("\n".join(doubtful))
    if hole is not None:
        raise hole
