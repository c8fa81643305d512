"""The errors of a model reach the client, each with its status, and harm nobody else."""

from __future__ import annotations

import pytest

from pytest_triton.evidence import Evidence
from pytest_triton.model_errors import (
    MODEL_ERRORS,
    RAISES,
    code,
    grpc_refusal,
    http_refusal,
    not_zero,
    require_error,
    together,
)
from pytest_triton.probe_set import FAILING
from pytest_triton.subject import Subject


@pytest.mark.clause("ERR-01")
def test_internal(triton_probes: Subject) -> None:
    require_error(triton_probes, "INTERNAL")


@pytest.mark.clause("ERR-02")
def test_not_found(triton_probes: Subject) -> None:
    require_error(triton_probes, "NOT_FOUND")


@pytest.mark.clause("ERR-03")
def test_unavailable(triton_probes: Subject) -> None:
    require_error(triton_probes, "UNAVAILABLE")


@pytest.mark.clause("ERR-04")
def test_unsupported(triton_probes: Subject) -> None:
    require_error(triton_probes, "UNSUPPORTED")


@pytest.mark.clause("ERR-05")
def test_invalid_argument(triton_probes: Subject) -> None:
    require_error(triton_probes, "INVALID_ARG")


@pytest.mark.clause("ERR-11")
def test_unknown(triton_probes: Subject) -> None:
    require_error(triton_probes, "UNKNOWN")


@pytest.mark.clause("ERR-12")
def test_already_exists(triton_probes: Subject) -> None:
    require_error(triton_probes, "ALREADY_EXISTS")


@pytest.mark.clause("ERR-13")
def test_cancelled(triton_probes: Subject) -> None:
    require_error(triton_probes, "CANCELLED")


@pytest.mark.clause("ERR-08")
def test_exception(triton_probes: Subject) -> None:
    status = triton_probes.error_status(500)
    told = {
        "HTTP": http_refusal(triton_probes, FAILING, code(RAISES), status),
        "gRPC": grpc_refusal(triton_probes, FAILING, code(RAISES), "INTERNAL"),
    }
    for protocol, reason in told.items():
        for part in ("RuntimeError", "this model raises on purpose", FAILING):
            assert part in reason, f"over {protocol}: no {part!r} in the error {reason!r}"


@pytest.mark.clause("ERR-14")
def test_others_unharmed(triton_probes: Subject, triton_evidence: Evidence) -> None:
    grpc, http = triton_probes.grpc, triton_probes.http
    assert grpc is not None
    for number in (RAISES, MODEL_ERRORS["INTERNAL"].code):
        with triton_evidence.case(f"after CODE {number}"):
            http_refusal(triton_probes, FAILING, code(number), triton_probes.error_status(500))
            text = not_zero(http.infer(FAILING, code(0)), "VALUE")
            assert not text, f"over HTTP: {text}"
            grpc_refusal(triton_probes, FAILING, code(number), "INTERNAL")
            text = not_zero(grpc.infer(FAILING, code(0)), "VALUE")
            assert not text, f"over gRPC: {text}"
    with triton_evidence.case("at the same time"):
        found = together(triton_probes, [0, RAISES, 0, 3, 0, RAISES, 0, 4])
        assert not found, "; ".join(found)
