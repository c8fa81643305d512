"""Stage 01: health checks that tell up, not ready and down apart."""

from __future__ import annotations

import pytest

from pytest_triton.evidence import Evidence
from pytest_triton.factory import Disposable
from pytest_triton.reloading import cycle, readiness
from pytest_triton.subject import Subject

NOBODY = "pytest_triton_no_such_model"
NO_VERSION = "987654"


@pytest.mark.clause("HLT-05")
def test_model_ready(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name in triton_subject.models:
        with triton_evidence.case(name):
            status = readiness(triton_subject, name)
            assert status == 200, f"readiness answers {status}, the index says READY"
    status = readiness(triton_subject, NOBODY)
    assert status == 400, f"readiness of an unknown model answers {status}, 400 was expected"


@pytest.mark.clause("HLT-06")
def test_version_ready(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.models.items():
        with triton_evidence.case(name):
            for version in model.versions:
                status = readiness(triton_subject, name, version)
                assert status == 200, f"readiness of version {version} answers {status}"
            status = readiness(triton_subject, name, NO_VERSION)
            assert status == 400, f"readiness of an absent version answers {status}, not 400"


@pytest.mark.clause("HLT-07")
def test_model_ready_grpc(triton_subject: Subject, triton_evidence: Evidence) -> None:
    grpc = triton_subject.grpc
    assert grpc is not None
    for name, model in triton_subject.models.items():
        with triton_evidence.case(name):
            for version in ("", *model.versions):
                assert grpc.model_ready(name, version) is True, f"version {version!r}: not ready"
    assert grpc.model_ready(NOBODY) is False, "an unknown model is ready"


@pytest.mark.clause("HLT-09")
def test_grpc_health(triton_subject: Subject) -> None:
    assert triton_subject.grpc is not None
    serving = triton_subject.grpc.health_check()
    ready = triton_subject.grpc.ready()
    assert serving == (1 if ready else 2), f"Check answers {serving} while ready is {ready}"


@pytest.mark.clause("HLT-11")
def test_protocols_agree(triton_subject: Subject, triton_evidence: Evidence) -> None:
    grpc, http = triton_subject.grpc, triton_subject.http
    assert grpc is not None
    assert http.live() == grpc.live(), "HTTP and gRPC disagree on live"
    assert http.ready() == grpc.ready(), "HTTP and gRPC disagree on ready"
    for name, model in triton_subject.models.items():
        with triton_evidence.case(name):
            for version in ("", *model.versions, NO_VERSION):
                over_http, over_grpc = (
                    http.model_ready(name, version),
                    grpc.model_ready(name, version),
                )
                assert over_http == over_grpc, (
                    f"version {version!r}: ready is {over_http} over HTTP, {over_grpc} over gRPC"
                )


@pytest.mark.clause("HLT-03")
def test_failed_load_is_not_ready(triton_disposable: Disposable) -> None:
    http = triton_disposable.subject.http
    live, ready = http.request("GET", "/v2/health/live"), http.request("GET", "/v2/health/ready")
    assert live.status == 200, f"live answers {live.status} beside a model that failed to load"
    assert ready.status == 400, f"ready answers {ready.status} although a model failed to load"
    status = readiness(triton_disposable.subject, triton_disposable.broken)
    assert status == 400, f"readiness of the failed model answers {status}"


@pytest.mark.clause("HLT-12")
def test_unloaded_is_not_ready(triton_disposable: Disposable) -> None:
    seen = cycle(triton_disposable)
    assert seen.before == 200, f"readiness answers {seen.before} to begin with"
    assert seen.unloaded == 400, f"readiness answers {seen.unloaded} after the unload"
    assert seen.live_when_unloaded, "not live after the unload"
    assert seen.after == 200, f"readiness answers {seen.after} after loading again"
