"""Stage 04: Prometheus and its alerts, as they were handed in, at work."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pytest_triton.criteria import Inconclusive
from pytest_triton.evidence import Evidence
from pytest_triton.factory import ServerFactory
from pytest_triton.measuring import heaviest_of
from pytest_triton.monitor import scraping
from pytest_triton.monitor.promql import Unparsable, is_condition, parse, selectors
from pytest_triton.monitor.rules import Rule, lacks
from pytest_triton.monitor.yamls import Unreadable
from pytest_triton.monitoring import alerts, delivery, promtool
from pytest_triton.monitoring.liveness import faults, narrow
from pytest_triton.monitoring.process import NoProgram
from pytest_triton.monitoring.rig import Monitored, blocked
from pytest_triton.subject import Subject

#: Requests that have to arrive in Prometheus.
SENT = 20
#: Seconds until they have to.
ARRIVES_S = 10.0


def _unreadable(error: Unreadable, evidence: Evidence) -> AssertionError:
    evidence.locate(error.path.name, error.line)
    return AssertionError(str(error))


@pytest.mark.clause("PRM-01")
def test_prometheus_scrapes(
    triton_monitored: Monitored, triton_subject: Subject, triton_evidence: Evidence
) -> None:
    try:
        given = triton_monitored.scraping
        job = given.triton()
        complaint = promtool.check_config(given.path)
    except Unreadable as error:
        raise _unreadable(error, triton_evidence) from None
    except NoProgram as error:
        raise blocked(error) from None
    triton_evidence.locate(given.path.name, job.line)
    assert not complaint, f"{given.path.name}: {complaint}"
    problems = scraping.problems(job)
    if triton_monitored.handed.rules and not given.rule_files:
        problems.append("rules were handed in, and rule_files names none: nobody evaluates them")
    assert not problems, f"{given.path.name}: {'; '.join(problems)}"
    triton_evidence.measure("scrape interval", job.interval_s, "s", budget=30.0)
    prometheus = triton_monitored.prometheus()
    dropped = triton_monitored.drops_every_target(prometheus)
    assert not dropped, f"job {job.name}: its relabelling drops every target"
    target = prometheus.targets()[0]
    assert target["health"] == "up", f"job {job.name}: {target['lastError'] or target['health']}"
    name = heaviest_of(triton_subject, triton_subject.pytorch or triton_subject.unary)[0]
    asked = f'sum(nv_inference_request_success{{model="{name}"}})'
    before = prometheus.query(asked)
    assert before, (
        f"job {job.name}: {asked} returns nothing: {job.path} is another page, or a rule drops it"
    )
    case = triton_subject.case(name)
    for _ in range(SENT):
        triton_subject.answer(name, case)
    arrived = _arrived(triton_monitored, asked, before[0].last + SENT)
    triton_evidence.measure("requests sent", SENT, "requests")
    triton_evidence.measure("requests in Prometheus", arrived - before[0].last, "requests")
    assert arrived - before[0].last == SENT, (
        f"job {job.name}: {SENT} requests to {name} were sent, {asked} rose by "
        f"{arrived - before[0].last:g}"
    )


def _arrived(monitored: Monitored, asked: str, wanted: float) -> float:
    """The value once it is what it has to be, or after :data:`ARRIVES_S`."""
    deadline = time.monotonic() + ARRIVES_S
    prometheus = monitored.prometheus()
    while True:
        found = prometheus.query(asked)
        value = found[0].last if found else 0.0
        if value >= wanted or time.monotonic() > deadline:
            return value
        prometheus.scraped(time.time())


def _alerts(monitored: Monitored, evidence: Evidence) -> list[Rule]:
    try:
        rules = monitored.rules()
    except Unreadable as error:
        raise _unreadable(error, evidence) from None
    found = [rule for rule in rules if rule.alert]
    assert found, f"{', '.join(path.name for path in monitored.handed.rules)}: no alert in it"
    return found


@pytest.mark.clause("ALR-01")
def test_alerts_are_whole(triton_monitored: Monitored, triton_evidence: Evidence) -> None:
    found = _alerts(triton_monitored, triton_evidence)
    triton_evidence.measure("alerts", len(found), "alerts")
    for path in triton_monitored.handed.rules:
        with triton_evidence.case(path.name):
            try:
                complaint = promtool.check_rules(path)
            except promtool.TooSlow as error:
                raise AssertionError(str(error)) from None
            except NoProgram as error:
                raise blocked(error) from None
            assert not complaint, complaint
    for rule in found:
        with triton_evidence.case(str(rule)):
            missing = lacks(rule)
            if missing:
                triton_evidence.locate(rule.path.name, rule.line)
            assert not missing, "; ".join(missing)


@pytest.mark.clause("ALR-02")
def test_rules_ask_for_what_exists(triton_monitored: Monitored, triton_evidence: Evidence) -> None:
    _alerts(triton_monitored, triton_evidence)
    rules = triton_monitored.rules()
    recorded = {rule.name for rule in rules if not rule.alert}
    prometheus = triton_monitored.brought()
    interval = triton_monitored.job.interval_s
    for rule in rules:
        with triton_evidence.case(str(rule)):
            try:
                tree = parse(rule.expr)
            except Unparsable as error:
                triton_evidence.locate(rule.path.name, rule.line)
                raise AssertionError(str(error)) from None
            wrong = [*faults(tree, prometheus, recorded), *narrow(selectors(tree), interval)]
            if rule.alert and not is_condition(tree):
                wrong.append("it compares nothing, so that it always fires")
            if wrong:
                triton_evidence.locate(rule.path.name, rule.line)
            assert not wrong, "; ".join(wrong)


@pytest.mark.clause("ALR-03")
def test_alerts_notice_their_faults(
    triton_monitored: Monitored,
    triton_subject: Subject,
    triton_server_factory: ServerFactory,
    triton_evidence: Evidence,
    tmp_path: Path,
) -> None:
    _alerts(triton_monitored, triton_evidence)
    watched = alerts.watched(triton_monitored.rules())
    files = triton_monitored.rule_files()
    assert watched, "no alert can be parsed"
    assert files, "promtool accepts no file of rules"
    models = alerts.models_of(watched, heaviest_of(triton_subject, triton_subject.pytorch))
    flags = ("--metrics-config=summary_latencies=true",) if _summaries(watched) else ()
    job = triton_monitored.job
    try:
        made = alerts.recordings(triton_server_factory, tmp_path / "servers", models, flags)
        seen = alerts.fired(
            made, files, watched, job=job.name, interval_s=job.interval_s,
            directory=tmp_path / "timelines", labels=scraping.labels(job),
        )  # fmt: skip
    except promtool.TooSlow as error:
        raise AssertionError(str(error)) from None
    except NoProgram as error:
        raise blocked(error) from None
    found = [alerts.judged(each, seen) for each in watched]
    triton_evidence.attach("alerts.json", [each.to_json() for each in found])
    columns = ["all is well", *seen, "repaired"]
    noticing = sum(bool(one.noticed) for one in found)
    triton_evidence.matrix(
        columns, alerts.table(found, seen), "alerts that notice", noticing, "alerts"
    )
    for each in found:
        with triton_evidence.case(str(each.alert.rule)):
            if each.wrong:
                triton_evidence.locate(each.alert.rule.path.name, each.alert.rule.line)
            assert not each.wrong, "; ".join(each.wrong)
    if any(each.wrong for each in found):
        return
    reached = [each for each in found if each.noticed and not each.open]
    doubtful = [each for each in found if each.doubtful]
    if doubtful or not reached:
        told = doubtful or found
        raise Inconclusive("; ".join(f"{each.alert.rule.name}: {each.open}" for each in told))


def _summaries(watched: list[alerts.Watched]) -> bool:
    return any("_summary_" in each.name for alert in watched for each in alert.selected)


@pytest.mark.clause("ALR-04")
def test_an_alert_is_delivered(
    triton_monitored: Monitored,
    triton_subject: Subject,
    triton_server_factory: ServerFactory,
    triton_evidence: Evidence,
    tmp_path: Path,
) -> None:
    _alerts(triton_monitored, triton_evidence)
    watched = alerts.watched(triton_monitored.rules())
    assert triton_monitored.rule_files(), "promtool accepts no file of rules"
    choice = delivery.chosen(watched)
    assert choice is not None, "no alert looks at up or at errors"
    alert, fault = choice
    routes = triton_monitored.handed.alertmanager
    models = alerts.models_of([alert], heaviest_of(triton_subject, triton_subject.pytorch))
    try:
        document = delivery.readable(routes)
        found = delivery.deliver(
            triton_server_factory, triton_monitored.rules(), alert, fault,
            job=triton_monitored.job, models=models, routes=document, directory=tmp_path,
        )  # fmt: skip
    except Unreadable as error:
        raise _unreadable(error, triton_evidence) from None
    except NoProgram as error:
        raise blocked(error) from None
    triton_evidence.attach("delivered.json", found.to_json())
    if found.fired_s is not None:
        triton_evidence.measure("from the fault to the receiver", found.fired_s, "s",
                                budget=delivery.WITHIN_S)  # fmt: skip
    if found.resolved_s is not None:
        triton_evidence.measure("from the repair to the receiver", found.resolved_s, "s",
                                budget=delivery.WITHIN_S)  # fmt: skip
    triton_evidence.measure("whole cycle", found.seconds, "s")
    wrong = delivery.wrong(found, document)
    if wrong:
        triton_evidence.locate(alert.rule.path.name, alert.rule.line)
    assert not wrong, f"{alert.rule.name}: {'; '.join(wrong)}"


@pytest.mark.clause("ALR-05")
def test_alerts_cover_the_signals(triton_monitored: Monitored, triton_evidence: Evidence) -> None:
    _alerts(triton_monitored, triton_evidence)
    missing = alerts.uncovered(alerts.watched(triton_monitored.rules()))
    assert not missing, f"no alert looks at {', nor at '.join(missing)}"
