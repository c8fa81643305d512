"""Stage 04: operations: a server is stopped, restarted, reloaded and limited while it works."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from pytest_triton.criteria import Inconclusive
from pytest_triton.evidence import Evidence
from pytest_triton.factory import ServerFactory
from pytest_triton.operating import broken_start, limiting, logs, reloads, restarting, stopping
from pytest_triton.operating.stopping import EXPIRED, PROTOCOLS, SIGNAL, WAITS, Stopped
from pytest_triton.own_models import BROKEN
from pytest_triton.reloading import readiness
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject
from pytest_triton.telling import tell


@pytest.mark.clause("OPS-01")
def test_shutdown_answers_first(
    triton_server_factory: ServerFactory, triton_evidence: Evidence, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(len(PROTOCOLS)) as pool:
        both = {
            name: pool.submit(stopping.shut_down, triton_server_factory, tmp_path, name)
            for name in PROTOCOLS
        }
    doubts = []
    for name, seen in both.items():
        with triton_evidence.case(name):
            try:
                _stopped(seen.result(), name, triton_evidence)
            except Inconclusive as doubt:
                doubts.append(f"{name}: {doubt.reason}")
    if doubts and not triton_evidence.found:
        raise Inconclusive("; ".join(doubts))


def _stopped(seen: Stopped, protocol: str, evidence: Evidence) -> None:
    evidence.attach(f"stopping-{protocol}.log", seen.log)
    limit = stopping.EXIT_TIMEOUT + stopping.MARGIN
    evidence.measure(f"exit, {protocol}", seen.seconds, "s", budget=limit, better="none")
    unanswered = [f"{one.name} {one.told}" for one in seen.accepted if not one.right]
    assert not unanswered, f"of requests that were there before: {'; '.join(unanswered)}"
    assert seen.status is not None, f"still running {seen.seconds:.0f} s after SIGTERM"
    assert seen.log, f"its log does not say {SIGNAL!r}"
    assert WAITS.search(seen.log), "its log does not say that it waits, and for what"
    taken = [f"{one.name} {one.told}" for one in seen.late if not one.refusal]
    assert not taken, f"of requests that came when it was stopping: {'; '.join(taken)}"
    assert seen.status == 0, f"exit status {seen.status} after SIGTERM"
    assert not seen.left, f"regions stay in /dev/shm: {', '.join(seen.left)}"


@pytest.mark.clause("OPS-06")
def test_exit_timeout(
    triton_server_factory: ServerFactory, triton_evidence: Evidence, tmp_path: Path
) -> None:
    seen = stopping.outlasted(triton_server_factory, tmp_path)
    limit = stopping.SHORT_TIMEOUT + stopping.SHORT_MARGIN
    triton_evidence.attach("stopping.log", seen.log)
    triton_evidence.measure("exit", seen.seconds, "s", budget=limit, better="none")
    assert seen.status is not None, (
        f"still running {seen.seconds:.0f} s after SIGTERM, "
        f"--exit-timeout-secs is {stopping.SHORT_TIMEOUT}"
    )
    # Below 0 too: leaving in a hurry, a server can fall over its own threads.
    assert seen.status != 0, "requests are cut off, and the exit status is 0"
    assert EXPIRED in seen.log, f"its log does not say {EXPIRED!r}"
    assert not seen.held, f"the clients of {', '.join(seen.held)} still wait after its end"


@pytest.mark.clause("OPS-02")
def test_restart_on_the_same_ports(
    triton_subject: Subject, triton_server_factory: ServerFactory, triton_evidence: Evidence
) -> None:
    limit = triton_subject.settings.boot_timeout
    for seen in restarting.restarted(triton_server_factory, triton_subject):
        name = f"after {seen.ended_by}"
        if seen.ready_s is not None:
            triton_evidence.measure(f"ready {name}", seen.ready_s, "s", budget=limit, better="none")
        with triton_evidence.case(name):
            assert seen.status is not None, "the server did not end"
            assert not seen.holders, f"of the server that ended: {', '.join(seen.holders)} listens"
            assert not seen.wrong, "; ".join(seen.wrong)


@pytest.mark.clause("OPS-03")
def test_reload_under_load(
    triton_server_factory: ServerFactory, triton_evidence: Evidence, tmp_path: Path
) -> None:
    seen = reloads.under_load(triton_server_factory, tmp_path)
    for name, load in seen.load.items():
        triton_evidence.measure(f"requests, {name}", load.requests, "requests", better="none")
    for step, (began, ended) in seen.spans.items():
        triton_evidence.measure(step, ended - began, "s", budget=reloads.RELOAD_S, better="none")
    assert not seen.flaws, "; ".join(seen.flaws)
    newest = str(reloads.NEW[0])
    assert seen.ready == (newest,), f"the index has as READY {seen.ready}, not {newest} alone"
    value = str(reloads.CONFIGURED)
    assert seen.value == value, f"the served configuration has VALUE {seen.value!r}, not {value!r}"


@pytest.mark.clause("OPS-04")
def test_shared_resource(
    triton_server_factory: ServerFactory, triton_evidence: Evidence, tmp_path: Path
) -> None:
    seen = limiting.limits(triton_server_factory, tmp_path)
    for name, rounds in (("one for both", seen.sharing), ("one for each", seen.free)):
        seconds = [done[-1].span[1] - done[0].span[0] for done in rounds]
        triton_evidence.measure(name, min(seconds) / 1e9, "s", better="none")
    with triton_evidence.case("one resource for two models"):
        together = [pair for done in seen.sharing for pair in limiting.overlaps(done)]
        assert not together, (
            f"{len(together)} times both execute at once, first {together[0][0].name} and "
            f"{together[0][1].name}"
        )
    with triton_evidence.case("more than there is"):
        assert limiting.SCARCE in seen.refusal, (
            f"a model that needs 2 of {limiting.SCARCE}, of which there is 1, "
            f"{'is refused: ' + seen.refusal if seen.refusal else 'is ready'}"
        )


@pytest.mark.clause("OPS-08")
def test_turns_by_priority(
    triton_server_factory: ServerFactory, triton_evidence: Evidence, tmp_path: Path
) -> None:
    order = limiting.turns(triton_server_factory, tmp_path)
    triton_evidence.attach("order.txt", order)
    meanwhile = order[: order.rindex("1") + 1].count("2")
    least, most = limiting.WAITING // 2 - 1, limiting.WAITING // 2 + 1
    assert least <= meanwhile <= most, (
        f"while both wait, priority 1 executes {limiting.WAITING} times and priority 2 "
        f"{meanwhile} times, not {least} to {most}: {order}"
    )


@pytest.mark.clause("OPS-05")
def test_a_start_that_fails(
    triton_settings: Settings, triton_evidence: Evidence, tmp_path: Path
) -> None:
    for what, seen in broken_start.ended_starts(triton_settings, tmp_path).items():
        with triton_evidence.case(what):
            assert not seen.ended.served, "the server serves, with --exit-on-error=true"
            assert seen.ended.status is not None, (
                f"after {triton_settings.boot_timeout:g} s it neither serves nor has ended"
            )
            # Below 0 too: 2.39 died of SIGSEGV in one of 140 ends, with all of it in its log.
            assert seen.ended.status != 0, "the server ends with status 0"
            assert seen.named, f"no error line of its log names it: {seen.errors}"


@pytest.mark.clause("OPS-09")
def test_a_start_without_a_model(
    triton_settings: Settings,
    triton_server_factory: ServerFactory,
    triton_evidence: Evidence,
    tmp_path: Path,
) -> None:
    start = partial(broken_start.going_on, triton_server_factory, triton_settings, tmp_path)
    for what, flag, ready in (
        ("strict readiness", "--strict-readiness=true", 400),
        ("lenient readiness", "--strict-readiness=false", 200),
    ):
        with triton_evidence.case(what), start(flag) as server:
            _goes_on(server)
            _ready(server, ready, what)
    with triton_evidence.case("nothing to load"), start(loads=False) as server:
        assert server.http.live(), "the server is not live"
        _ready(server, 200, "nothing to load")
        assert not server.http.index(ready=True), "models are ready"
        told, status = tell(server.http, broken_start.WHOLE), server.error_status(404)
        refused = isinstance(told, str) and told.startswith(f"http {status}: ")
        assert refused, f"a request is told {told!r}, not refused with {status}"


def _goes_on(server: Subject) -> None:
    """The whole model serves, and the other one is known to be broken."""
    http, whole = server.http, broken_start.WHOLE
    assert http.live(), "the server is not live"
    told = tell(http, whole)
    assert told == broken_start.TOLD, f"{whole} tells {told}, not {broken_start.TOLD}"
    assert readiness(server, whole) == 200, f"{whole} answers, and is not ready"
    assert readiness(server, BROKEN) != 200, f"{BROKEN} is ready"
    listed = [one for one in http.index() if one.get("name") == BROKEN]
    state = [str(one.get("state")) for one in listed]
    assert state == ["UNAVAILABLE"], f"the index has {BROKEN} as {state}"
    reason = str(listed[0].get("reason"))
    assert broken_start.REASON in reason, f"the index gives the reason {reason!r}"


def _ready(server: Subject, status: int, what: str) -> None:
    """The readiness of the server, over both protocols."""
    found = server.http.request("GET", "/v2/health/ready").status
    assert found == status, f"readiness of the server answers {found}, not {status}"
    assert server.grpc is not None
    assert server.grpc.ready() == (status == 200), f"gRPC says otherwise of readiness ({what})"


@pytest.mark.clause("OPS-07")
def test_log_settings_act(
    triton_server_factory: ServerFactory, triton_evidence: Evidence, tmp_path: Path
) -> None:
    with logs.logging(triton_server_factory, tmp_path) as server:
        for protocol, changes, levels, form in logs.LOADS:
            with triton_evidence.case(f"{protocol}: {changes}"):
                server.protocols[protocol].log({**logs.AS_BOOTED, **changes})
                seen = server.failing_load(until="I" if "I" in levels else "E")
                assert seen.levels == levels, (
                    f"a failing load is logged in levels {sorted(seen.levels)}, not "
                    f"{sorted(levels)}: {list(seen.lines)}"
                )
                assert seen.formats == {form}, (
                    f"it is logged in format {sorted(seen.formats)}, not {form}: {list(seen.lines)}"
                )
        for protocol, one in server.protocols.items():
            with triton_evidence.case(f"{protocol}: log_verbose_level"):
                for level in (0, 1):
                    one.log({"log_verbose_level": level})
                    seen = server.request(wait=level > 0)
                    assert bool(seen.lines) == (level > 0), (
                        f"of a request level {level} logs {list(seen.lines) or 'nothing'}"
                    )
