"""Stage 04: flags that change the metrics, and a model whose process died."""

from __future__ import annotations

import secrets

import numpy as np
import pytest

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.evidence import Evidence
from pytest_triton.flagged import NEVER_MS, Flagged, family_flaws, kill_stub, summary_flaws
from pytest_triton.metered import SUCCESS, Added, failed, require
from pytest_triton.model_errors import code
from pytest_triton.monitor.expected import CACHE_GAUGES
from pytest_triton.probe.http import wait_until
from pytest_triton.probe.types import RequestFailed
from pytest_triton.probe_set import CACHED, FAILING
from pytest_triton.subject import Subject

REQUESTS = 8
POOL, HEAD = "nv_pinned_memory_pool_total_bytes", "nv_cache_num_"
#: Seconds for a count to be in the metrics after its answer, and for two intervals of 2 s.
SETTLES, INTERVALS = 3.0, 5.0


@pytest.mark.clause("MTR-07")
def test_families(
    triton_subject: Subject, triton_flagged: Flagged, triton_evidence: Evidence
) -> None:
    triton_flagged.ask(secrets.randbits(30))
    page = triton_flagged.subject.scrape()
    triton_evidence.attach("page.txt", page.text)
    # Triton through 2.51 counts nothing at all without counter_latencies: server issue 8125.
    counted = page.value(SUCCESS, model=triton_flagged.plain) or 0
    triton_evidence.measure("requests counted without counter_latencies", counted, "requests")
    flaws = family_flaws(page, triton_subject.scrape(), triton_flagged.subject.release)
    assert not flaws, "; ".join(flaws[:5])


@pytest.mark.clause("MTR-12")
def test_quantiles(triton_flagged: Flagged, triton_evidence: Evidence) -> None:
    subject, model = triton_flagged.subject, triton_flagged.plain
    family = "nv_inference_request_summary_us_count"
    before = subject.scrape().value(family, model=model)
    assert before is not None, f"{family} has no series of {model}"
    for _ in range(REQUESTS):
        subject.http.infer(model, code(0))
    wanted = int(before) + REQUESTS
    wait_until(lambda: subject.scrape().value(family, model=model) == wanted, timeout=SETTLES)
    page = subject.scrape()
    triton_evidence.attach("page.txt", page.text)
    flaws = summary_flaws(page, model, wanted)
    assert not flaws, f"{model}: " + "; ".join(flaws[:5])


@pytest.mark.clause("MTR-26")
def test_dead_model(triton_dying: Subject, triton_evidence: Evidence) -> None:
    def act() -> list[Added]:
        assert triton_dying.deployment.pid is not None
        ended = kill_stub(triton_dying.deployment.pid, FAILING)
        assert ended, f"no process executes {FAILING}"
        with pytest.raises(RequestFailed):
            triton_dying.http.infer(FAILING, code(0))
        return [{FAILING: failed(triton_dying, "BACKEND", 1)}]

    triton_dying.http.infer(FAILING, code(0))
    require(triton_dying, triton_evidence, "a model whose process died", [FAILING], act)


@pytest.mark.clause("MTR-27")
def test_intervals(
    triton_subject: Subject, triton_flagged: Flagged, triton_evidence: Evidence
) -> None:
    renewed = wait_until(lambda: triton_subject.scrape().value(POOL), timeout=INTERVALS)
    if not renewed:
        raise NotAssessed(Reason.NOT_APPLICABLE, "the server has no pool of pinned memory")
    # The other one has to be as old as one whose gauges were renewed, had it no interval.
    wait_until(lambda: triton_flagged.age() > INTERVALS, timeout=INTERVALS)
    told = triton_flagged.subject.scrape().value(POOL)
    triton_evidence.measure("age of the server", triton_flagged.age(), "s")
    assert told == 0, (
        f"{POOL} is {told} after {triton_flagged.age():.1f} s, --metrics-interval-ms is {NEVER_MS}"
    )


@pytest.mark.clause("MTR-29")
def test_cache_gauges(triton_probes: Subject, triton_evidence: Evidence) -> None:
    def told() -> dict[str, float]:
        page = triton_probes.scrape()
        missing = [name for name in CACHE_GAUGES if page.value(name) is None]
        assert not missing, f"missing on a server with a cache: {', '.join(sorted(missing))}"
        return {name: page.value(name) or 0.0 for name in sorted(CACHE_GAUGES)}

    before, sent = told(), {"IN": np.array([secrets.randbits(30)], np.int32)}
    for _ in range(2):
        triton_probes.http.infer(CACHED, sent)
    seen: dict[str, float] = {}

    def right() -> bool:
        seen.update(told())
        rose = {what: seen[HEAD + what] - before[HEAD + what] for what in ("hits", "misses")}
        return all(rose.values()) and (
            seen[HEAD + "lookups"] == seen[HEAD + "hits"] + seen[HEAD + "misses"]
        )

    followed = wait_until(right, timeout=INTERVALS)
    triton_evidence.attach("gauges.json", {"before": before, "after": seen})
    assert followed, f"{INTERVALS:g} s after a miss and a hit: {_changes(before, seen)}"
    assert 0 < seen["nv_cache_util"] <= 1, f"nv_cache_util is {seen['nv_cache_util']:g}"


def _changes(before: dict[str, float], after: dict[str, float]) -> str:
    return ", ".join(
        f"{HEAD}{what} from {before[HEAD + what]:g} to {after[HEAD + what]:g}"
        for what in ("lookups", "hits", "misses")
    )
