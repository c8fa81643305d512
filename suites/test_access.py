"""Access: restricted APIs, TLS, forwarded headers, and ports that stay closed."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import numpy as np
import pytest

from pytest_triton.compare import mismatch
from pytest_triton.evidence import Evidence
from pytest_triton.guarded import (
    GRPC_PREFIX,
    GRPC_REQUESTS,
    HEADERS,
    HOST,
    HTTP_REQUESTS,
    Guarded,
    call,
    connects,
    listening,
    other_addresses,
    send,
    served,
)
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import InferResult
from pytest_triton.probe_set import ADDSUB, ECHO

INPUTS = {
    "INPUT0": np.arange(16, dtype=np.int32).reshape(1, 16),
    "INPUT1": np.full((1, 16), 3, dtype=np.int32),
}
SUMS = {
    "OUTPUT0": INPUTS["INPUT0"] + INPUTS["INPUT1"],
    "OUTPUT1": INPUTS["INPUT0"] - INPUTS["INPUT1"],
}

#: Of a refusal over gRPC: the first was seen, the second would say it better.
STATUSES = ("UNAVAILABLE", "PERMISSION_DENIED")


def _right(answer: InferResult) -> None:
    text = mismatch(answer.outputs, SUMS)
    assert not text, f"inference is open, and its answer is wrong: {text}"


@pytest.mark.clause("SEC-01")
def test_restricted_http(triton_guarded: Guarded, triton_evidence: Evidence) -> None:
    for category, requests in HTTP_REQUESTS.items():
        with triton_evidence.case(category):
            for who, headers in triton_guarded.attempts(category).items():
                with triton_guarded.http(headers) as probe:
                    for request in requests:
                        answer, what = send(probe, request), f"{request[0]} {request[1]} {who}"
                        assert answer.status == 403, f"{what}: {answer.status} {answer.text:.200}"
                        assert HEADERS[category] in (answer.error or ""), (
                            f"{what}: the refusal names no header: {answer.text:.200}"
                        )
            with triton_guarded.http(triton_guarded.right(category)) as probe:
                for request in requests:
                    answer = send(probe, request)
                    assert answer.status == 200, (
                        f"{request[1]} with its key: {answer.status} {answer.text:.200}"
                    )
    with triton_evidence.case("open APIs"), triton_guarded.http() as probe:
        _refuse_unload(triton_guarded, probe)
        for path in ("/v2/health/live", "/v2/health/ready", "/v2", f"/v2/models/{ADDSUB}"):
            status = probe.request("GET", path).status
            assert status == 200, f"GET {path} is not restricted, and answers {status}"
        _right(probe.infer(ADDSUB, INPUTS))


def _refuse_unload(guarded: Guarded, probe: HttpProbe) -> None:
    """A refused request changes nothing."""
    answer = probe.request("POST", f"/v2/repository/models/{ECHO}/unload", body=b"{}")
    assert answer.status == 403, f"an unload without a key answers {answer.status}"
    states = {entry.get("name"): entry.get("state") for entry in guarded.subject.http.index()}
    assert states.get(ECHO) == "READY", f"a refused unload left {ECHO} in state {states.get(ECHO)}"


@pytest.mark.clause("SEC-02")
def test_restricted_grpc(triton_guarded: Guarded, triton_evidence: Evidence) -> None:
    for category, requests in GRPC_REQUESTS.items():
        with triton_evidence.case(category):
            header = GRPC_PREFIX + HEADERS[category]
            for who, headers in triton_guarded.attempts(category, GRPC_PREFIX).items():
                with triton_guarded.grpc(headers) as probe:
                    for request in requests:
                        refusal, what = call(probe, request), f"{request[0]} {who}"
                        assert refusal is not None, f"{what} is answered"
                        assert header in refusal.message, f"{what}: names no header: {refusal}"
                        assert refusal.status in STATUSES, f"{what}: {refusal}"
            with triton_guarded.grpc({header: triton_guarded.keys[HEADERS[category]]}) as probe:
                for request in requests:
                    refusal = call(probe, request)
                    assert refusal is None, f"{request[0]} with its key: {refusal}"
    with triton_evidence.case("open APIs"), triton_guarded.grpc() as probe:
        assert probe.live(), "ServerLive is not restricted, and answers false"
        assert probe.ready(), "ServerReady is not restricted, and answers false"
        assert probe.model_metadata(ADDSUB)["name"] == ADDSUB, "ModelMetadata names no model"
        _right(probe.infer(ADDSUB, INPUTS))


@pytest.mark.clause("SEC-03")
def test_listens_where_told(triton_guarded: Guarded, triton_evidence: Evidence) -> None:
    deployment = triton_guarded.subject.deployment
    told = triton_guarded.addresses()
    assert deployment.pid is not None
    found = listening(deployment.pid)
    triton_evidence.attach("listening.json", sorted(found))
    assert found == told, f"the server listens on {sorted(found)}, it was told {sorted(told)}"
    for _, port in told:
        for address in other_addresses():
            assert not connects(address, port), f"{address}:{port} accepts a connection"
        assert connects(HOST, port), f"{HOST}:{port} accepts no connection"


@pytest.mark.clause("MTR-13")
def test_metrics_are_closed(triton_guarded: Guarded) -> None:
    deployment, port = triton_guarded.subject.deployment, triton_guarded.metrics_port
    open_ = triton_guarded.opens_metrics()
    assert not open_, f"--allow-metrics=false, and {HOST}:{port} is open"
    with triton_guarded.http() as probe:
        status = probe.request("GET", "/metrics").status
        where = urlsplit(deployment.http_url).netloc
        assert status == 404, f"{where}/metrics answers {status}"


@pytest.mark.clause("TLS-01")
def test_grpc_over_tls(triton_guarded: Guarded) -> None:
    http = triton_guarded.subject.http
    with triton_guarded.grpc() as grpc:
        one, two = http.server_metadata(), grpc.server_metadata()
        for key in ("name", "version"):
            assert one.get(key) == two[key], f"{key} over TLS is {two[key]!r}, not {one.get(key)!r}"
        _right(http.infer(ADDSUB, INPUTS))
        for raw in (True, False):
            text = mismatch(grpc.infer(ADDSUB, INPUTS, raw=raw).outputs, SUMS)
            assert not text, f"over TLS: {text}"


@pytest.mark.clause("TLS-02")
def test_strangers_over_grpc(triton_guarded: Guarded, triton_evidence: Evidence) -> None:
    for who, how in triton_guarded.strangers_over_grpc().items():
        with triton_evidence.case(who), triton_guarded.grpc(**how) as probe:
            assert not served(probe), "is served"
    with triton_evidence.case("a client with its certificate"), triton_guarded.grpc() as probe:
        _right(probe.infer(ADDSUB, INPUTS))


@pytest.mark.clause("PAR-04")
def test_forwarded_headers(triton_guarded: Guarded, triton_evidence: Evidence) -> None:
    forwarded = {"x-ptt-one": "a b", "x-ptt-two": str(triton_guarded.subject.settings.seed)}
    headers = {**forwarded, "ptt-other": "c", "not-x-ptt-three": "d"}
    text = {"text_input": np.array(["hi"], dtype=object)}
    with triton_guarded.http(headers) as http, triton_guarded.grpc(headers) as grpc:
        for name, probe in (("HTTP", http), ("gRPC", grpc)):
            with triton_evidence.case(name):
                answer = probe.infer(ECHO, text, parameters={"own": 7})
                assert "PARAMETERS" in answer.outputs, f"outputs {sorted(answer.outputs)}"
                told = json.loads(answer["PARAMETERS"].reshape(-1)[0])
                found = {key.lower(): value for key, value in told.items()}
                assert found == {**forwarded, "own": 7}, (
                    f"headers {headers} and parameter 'own' reach the model as {told}"
                )
