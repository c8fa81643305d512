"""Stage 01: the server boots, says who it is, answers on every port, and ends cleanly."""

from __future__ import annotations

import pytest

from pytest_triton.booted import Booted
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.evidence import Evidence
from pytest_triton.factory import ServerFactory
from pytest_triton.serverlog import errors_until_ready
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

#: Listed by every release since 23.10.
EXTENSIONS = {
    "binary_tensor_data",
    "classification",
    "logging",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "sequence",
    "statistics",
    "system_shared_memory",
    "trace",
}
#: Seconds: --exit-timeout-secs (30) and 10 more.
EXIT_TIMEOUT = 40.0


@pytest.mark.clause("SET-01")
def test_boots(triton_booted: Booted, triton_settings: Settings, triton_evidence: Evidence) -> None:
    if triton_settings.kind == "endpoint":
        raise NotAssessed(Reason.NOT_APPLICABLE, "the server was there before us")
    if triton_booted.error is not None:
        raise triton_booted.error
    deployment = triton_booted.deployed()
    ready, limit = deployment.boot["ready"], triton_settings.boot_timeout
    triton_evidence.measure("ready", ready, "s", budget=limit, margin=limit - ready)
    assert ready <= limit, f"ready after {ready:.1f} s, {limit:g} s were allowed"


@pytest.mark.clause("SET-02")
def test_grpc(triton_subject: Subject) -> None:
    grpc = triton_subject.grpc
    assert grpc is not None
    assert grpc.live(), "ServerLive answers false"
    if triton_subject.was_ready:  # else one broken model would fail this clause too
        assert grpc.ready(), "ServerReady answers false, over HTTP the server is ready"
    over_grpc, over_http = grpc.server_metadata(), triton_subject.http.server_metadata()
    for key in ("name", "version"):
        assert over_grpc.get(key) == over_http.get(key), f"{key} differs between gRPC and HTTP"
    one, two = over_grpc["extensions"], over_http.get("extensions")
    assert isinstance(two, list), f"/v2 has no list of extensions: {two!r:.200}"
    assert sorted(one) == sorted(map(str, two)), "extensions differ between gRPC and HTTP"


@pytest.mark.clause("SET-03")
def test_metrics_port(triton_subject: Subject) -> None:
    answer = triton_subject.metrics_page()
    assert answer.status == 200, f"GET /metrics answers {answer.status}{answer.speaker}"
    assert answer.text.strip(), "the metrics page is empty"


@pytest.mark.clause("SET-04")
def test_clean_log(triton_subject: Subject, triton_evidence: Evidence) -> None:
    text = triton_subject.deployment.log_text()
    assert text, "the server wrote no log"
    errors = errors_until_ready(text)
    triton_evidence.attach("server-start.log", text[:200_000])
    triton_evidence.measure("error lines", len(errors), "lines", budget=0)
    assert not errors, "the log has error lines:\n" + "\n".join(errors[:5])


@pytest.mark.clause("SET-05")
def test_sigterm(
    triton_subject: Subject, triton_server_factory: ServerFactory, triton_evidence: Evidence
) -> None:
    server = triton_server_factory.smallest(triton_subject.deployment)
    status, seconds = triton_server_factory.terminate(server, timeout=EXIT_TIMEOUT)
    triton_evidence.measure("exit", seconds, "s", budget=EXIT_TIMEOUT)
    assert status is not None, f"still running {EXIT_TIMEOUT:g} s after SIGTERM"
    assert status == 0, f"exit status {status} after SIGTERM\n{server.log_tail(5)}"


@pytest.mark.clause("HLT-01")
def test_live(triton_subject: Subject) -> None:
    answer = triton_subject.http.request("GET", "/v2/health/live")
    assert answer.status == 200, (
        f"GET /v2/health/live answers {answer.status}: {answer.text}{answer.speaker}"
    )


@pytest.mark.clause("HLT-02")
def test_ready(triton_subject: Subject) -> None:
    answer = triton_subject.http.request("GET", "/v2/health/ready")
    broken = triton_subject.deployment.failed
    assert answer.status == 200, f"GET /v2/health/ready answers {answer.status}" + "".join(
        f"\n{model}: {reason}" for model, reason in broken.items()
    )


@pytest.mark.clause("MET-01")
def test_identity(triton_subject: Subject) -> None:
    server = triton_subject.http.server_metadata()
    deployment = triton_subject.deployment
    assert isinstance(server.get("name"), str), f"/v2 has no name: {server}"
    if deployment.owned:
        assert server["name"] == "triton", f"the server is called {server['name']!r}"
    version = server.get("version")
    assert isinstance(version, str), f"/v2 has no version: {server}"
    assert version.count(".") >= 1, f"{version!r} is no version"
    assert version.replace(".", "").split("-")[0].split("dev")[0].isdigit(), (
        f"{version!r} is no version"
    )
    expected = triton_subject.expected_version
    if expected:
        assert version == expected, f"version {version}, {expected} was booted"


@pytest.mark.clause("MET-02")
def test_extensions(triton_subject: Subject) -> None:
    found = triton_subject.http.server_metadata().get("extensions")
    assert isinstance(found, list), f"/v2 has no list of extensions: {found!r:.200}"
    nameless = [name for name in found if not isinstance(name, str)]
    assert not nameless, f"/v2 has extensions that are no strings: {nameless!r:.200}"
    missing = EXTENSIONS - set(found)
    assert not missing, f"missing: {', '.join(sorted(missing))}"
