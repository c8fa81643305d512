"""Expert criterion E4: Grafana dashboards, as they were handed in, before a live Prometheus."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_triton.criteria import Inconclusive, NotAssessed, Reason
from pytest_triton.evidence import Evidence
from pytest_triton.monitor.dashboard import Dashboard
from pytest_triton.monitoring import covering, drawing
from pytest_triton.monitoring.dashboards import Dashboards
from pytest_triton.monitoring.queries import Answer
from pytest_triton.monitoring.showing import shown
from pytest_triton.monitoring.totals import undeclared

#: Share of the judged queries that have to return series.
ALIVE = 0.8


@pytest.mark.clause("DSH-01")
def test_the_dashboard_is_alive(triton_dashboards: Dashboards, triton_evidence: Evidence) -> None:
    judged = alive = 0
    for each in triton_dashboards.read():
        with triton_evidence.case(each.path.name):
            if not isinstance(each, Dashboard):
                triton_evidence.locate(each.path.name, each.line)
                raise AssertionError(str(each))
            assert each.targets, "no panel has a query"
            found = triton_dashboards.answers(each)
            triton_evidence.attach(f"{each.path.name}.queries.json",
                                   [answer.to_json() for answer in found])  # fmt: skip
            counted = Counter(answer.verdict for answer in found)
            judged += counted["alive"] + counted["dead"]
            alive += counted["alive"]
            drawing.draw(found, triton_dashboards.watched(), triton_evidence)
            _alive(found, triton_evidence)
    if triton_evidence.found:
        return
    if not judged:
        raise Inconclusive("none of the queries can be judged on this server")
    triton_evidence.measure("queries alive", 100 * alive / judged, "%", budget=100 * ALIVE)


def _alive(found: list[Answer], evidence: Evidence) -> None:
    judged = [answer for answer in found if answer.judged]
    dead = [answer for answer in judged if answer.verdict == "dead"]
    raw = [(answer, told) for answer in judged if (told := undeclared(answer))]
    reasons = []
    if len(judged) - len(dead) < ALIVE * len(judged):
        reasons.append(f"{len(dead)} of {len(judged)} queries return nothing")
        reasons += [f"{answer.place}: {answer.reason}" for answer in dead]
    reasons += [f"{answer.place}: {told}" for answer, told in raw]
    for answer in [*(dead if reasons else ()), *(answer for answer, _ in raw)]:
        evidence.locate(answer.dashboard.path.name, answer.target.line)
    assert not reasons, "; ".join(reasons)


@pytest.mark.clause("DSH-02")
def test_the_dashboard_is_right(triton_dashboards: Dashboards, triton_evidence: Evidence) -> None:
    read, watched, known = (
        triton_dashboards.readable(), triton_dashboards.watched(), triton_dashboards.known
    )  # fmt: skip
    triton_evidence.model = watched.model
    found = [
        one
        for each in read
        for answer in triton_dashboards.answers(each)
        if (one := shown(answer, watched, known)) is not None
    ]
    triton_evidence.attach("shown.json", [one.to_json() for one in found])
    triton_evidence.measure("queries of a known form", len(found), "queries")
    for one in found:
        with triton_evidence.case(one.answer.place):
            if one.wrong:
                triton_evidence.locate(one.answer.dashboard.path.name, one.answer.target.line)
            assert not one.wrong, "; ".join(one.wrong)
    if triton_evidence.found:
        return
    if not found:
        raise NotAssessed(
            Reason.NOT_APPLICABLE,
            "no query that returns something has a form that is known: requests a second, mean "
            "latency, batch size, error ratio",
        )
    if hidden := [one for one in found if one.open]:
        raise Inconclusive("; ".join(dict.fromkeys(one.open for one in hidden)))


@pytest.mark.clause("DSH-03")
def test_the_dashboard_covers_the_signals(
    triton_dashboards: Dashboards, triton_evidence: Evidence
) -> None:
    known = triton_dashboards.known
    found = [
        answer
        for each in triton_dashboards.readable()
        for answer in triton_dashboards.answers(each)
    ]
    by_signal = covering.covered(found, known)
    panels = {(answer.dashboard.path, id(answer.panel)) for answer in covering.there(found)}
    triton_evidence.measure("panels", len(panels), "panels", budget=covering.PANELS)
    triton_evidence.attach(
        "signals.json",
        {signal: sorted({answer.panel.title for answer in told})
         for signal, told in by_signal.items()},
    )  # fmt: skip
    reasons = covering.uncovered(by_signal)
    if len(panels) < covering.PANELS:
        reasons.insert(0, f"{len(panels)} panels return something, {covering.PANELS} are asked for")
    for answer in found:
        wrong = []
        if source := covering.fixed(answer):
            wrong.append(f"data source {source!r} is known to one Grafana: use a variable")
        if covering.unitless(answer, known):
            wrong.append("shows a duration without a unit")
        if wrong:
            triton_evidence.locate(answer.dashboard.path.name, answer.target.line)
            reasons += [f"{answer.place}: {each}" for each in wrong]
    assert not reasons, "; ".join(reasons)
