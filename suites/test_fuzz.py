"""What nobody should send: broken requests by the hundred, and no requests at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_triton.evidence import Evidence

if TYPE_CHECKING:
    from pytest_triton.fuzzed import Fuzzed
    from pytest_triton.fuzzing.hunt import Way


@pytest.mark.clause("FUZ-01")
def test_http(triton_fuzzed: Fuzzed, triton_evidence: Evidence) -> None:
    _hunt(triton_fuzzed, triton_evidence, "http")


@pytest.mark.clause("FUZ-02")
def test_grpc(triton_fuzzed: Fuzzed, triton_evidence: Evidence) -> None:
    _hunt(triton_fuzzed, triton_evidence, "grpc")


def _hunt(fuzzed: Fuzzed, evidence: Evidence, way: Way) -> None:
    before = fuzzed.at_rest()
    caught = fuzzed.hunt(way)
    evidence.measure("broken requests", caught.asked, "requests")
    evidence.measure("refused", caught.refused, "requests")
    evidence.measure("answered", caught.answered.total(), "requests")
    where = None
    if caught.attempt is not None:
        where = evidence.attach(f"{way}-request.json", caught.attempt)
    assert not caught.died, (
        f"server or model is gone after the request in {where}: {caught.complaint}"
    )
    assert not caught.complaint, f"the smallest such request is in {where}: {caught.complaint}"
    wanted = {model: count + caught.answered[model] for model, count in before.items()}
    found = fuzzed.counted(wanted)
    assert found == wanted, f"successes are counted as {found}, {wanted} were seen"
    ailments = fuzzed.ailments(request_id="after-fuzz")
    assert not ailments, f"after {caught.asked} broken requests: {'; '.join(ailments)}"


@pytest.mark.clause("FUZ-03")
def test_garbage(triton_fuzzed: Fuzzed, triton_evidence: Evidence) -> None:
    from pytest_triton.fuzzing.garbage import for_grpc, for_http, hanging, throw

    deployment = triton_fuzzed.subject.deployment
    assert not triton_fuzzed.ailments(), "the server was not well before"
    garbage = {
        deployment.http_url: for_http(triton_fuzzed.seed),
        deployment.grpc_url: for_grpc(triton_fuzzed.seed),
    }
    for url, items in garbage.items():
        if url is None:
            continue
        with triton_evidence.case("HTTP" if url == deployment.http_url else "gRPC"):
            throw(url, items)
            for fresh in (False, True):
                ailments = triton_fuzzed.ailments(request_id="after-garbage", fresh=fresh)
                assert not ailments, f"after garbage: {'; '.join(ailments)}"
    with triton_evidence.case("unfinished requests"), hanging(deployment.http_url):
        ailments = triton_fuzzed.ailments(request_id="beside-garbage", fresh=True)
        assert not ailments, f"while clients hang in the middle: {'; '.join(ailments)}"
