"""What a model's configuration offers: optional inputs, reshape, ragged batches, caches, ensembles."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pytest_triton.counted import asked, at_rest, wrong_rise
from pytest_triton.criteria import Inconclusive
from pytest_triton.evidence import Evidence
from pytest_triton.exactly import altered, differ
from pytest_triton.model_errors import (
    MODEL_ERRORS,
    RAISES,
    code,
    grpc_refusal,
    http_refusal,
    not_zero,
)
from pytest_triton.probe.types import RequestFailed
from pytest_triton.probe_set import (
    ADDSUB,
    BROKEN_CHAIN,
    CACHED,
    CHAIN,
    OPTIONAL,
    RESHAPE,
    WARM,
)
from pytest_triton.ragging import ENOUGH, PATIENCE, one_round, total
from pytest_triton.served import well_formed_tensors
from pytest_triton.subject import Subject

Rng = np.random.Generator
LENGTHS = (1, 2, 3, 5)
#: Requests that the configuration of the model WARM asks for before it is ready.
WARM_UP = 3


# -- optional inputs, reshape, ragged batches, warm-up


def column(rng: Rng, rows: int = 2) -> np.ndarray[Any, Any]:
    return rng.integers(1, 1000, (rows, 1), dtype=np.int32)


@pytest.mark.clause("OPI-01")
def test_optional(triton_probes: Subject, triton_evidence: Evidence, triton_rng: Rng) -> None:
    grpc = triton_probes.grpc
    assert grpc is not None
    one, two = column(triton_rng), column(triton_rng)
    for protocol, probe in (("HTTP", triton_probes.http), ("gRPC", grpc)):
        with triton_evidence.case(protocol):
            given = probe.infer(OPTIONAL, {"A": one, "B": two}, request_id="opi-01")
            text = altered(given, {"OUTPUT": one + two})
            assert not text, f"with B: {text}"
            omitted = probe.infer(OPTIONAL, {"A": one}, request_id="opi-01")
            text = altered(omitted, {"OUTPUT": one + np.int32(100)})
            assert not text, f"without B, for which the model takes 100: {text}"


@pytest.mark.clause("OPI-02")
def test_count_of_inputs(
    triton_probes: Subject, triton_evidence: Evidence, triton_rng: Rng
) -> None:
    one = column(triton_rng, 1)
    for given in ({}, {"A": one, "B": one, "C": one}):
        with triton_evidence.case(f"{len(given)} inputs"):
            over_http = http_refusal(triton_probes, OPTIONAL, given, 400)
            over_grpc = grpc_refusal(triton_probes, OPTIONAL, given, "INVALID_ARGUMENT")
            for reason in (over_http, over_grpc):
                for part in ("between 1 and 2", f"got {len(given)} inputs", OPTIONAL):
                    assert part in reason, f"no {part!r} in the error {reason!r}"


@pytest.mark.clause("OPI-03")
def test_required_left_out(
    triton_probes: Subject, triton_evidence: Evidence, triton_rng: Rng
) -> None:
    grpc, http = triton_probes.grpc, triton_probes.http
    assert grpc is not None
    one = column(triton_rng, 1)
    for protocol, probe in (("HTTP", http), ("gRPC", grpc)):
        with triton_evidence.case(protocol):
            try:
                answer = probe.infer(OPTIONAL, {"B": one}, request_id="opi-03")
            except RequestFailed as error:
                told = error.message
            else:
                got = {name: value.tolist() for name, value in answer.outputs.items()}
                raise AssertionError(
                    f"without A, which it needs, the model answers {got or 'no outputs'}"
                )
            assert told, "the error has no text"
            text = altered(probe.infer(OPTIONAL, {"A": one}), {"OUTPUT": one + np.int32(100)})
            assert not text, f"the next request: {text}"


@pytest.mark.clause("RSH-01")
def test_reshape(triton_probes: Subject, triton_evidence: Evidence, triton_rng: Rng) -> None:
    grpc = triton_probes.grpc
    assert grpc is not None
    metadata = well_formed_tensors(triton_probes.http.model_metadata(RESHAPE))
    tensors = [*metadata["inputs"], *metadata["outputs"]]
    declared = {tensor["name"]: tensor["shape"] for tensor in tensors}
    wanted_shapes = {key: [-1, 1] for key in ("IN", "OUT", "RANK")}
    assert declared == wanted_shapes, f"metadata declare {declared}, expected {wanted_shapes}"
    for rows in (1, 3):
        sent = triton_rng.standard_normal((rows, 1)).astype(np.float32)
        wanted = {"OUT": sent, "RANK": np.ones((rows, 1), np.int32)}
        for protocol, probe in (("HTTP", triton_probes.http), ("gRPC", grpc)):
            with triton_evidence.case(f"{protocol}, batch {rows}"):
                text = altered(probe.infer(RESHAPE, {"IN": sent}, request_id="rsh-01"), wanted)
                assert not text, text


@pytest.mark.clause("RAG-01")
def test_ragged(triton_probes: Subject) -> None:
    for _ in range(3):
        told = one_round(triton_probes, LENGTHS, "rag-01")
        wanted = {length: total(length) for length in LENGTHS}
        assert told.sums == wanted, f"sums by length {told.sums}, expected {wanted}"


@pytest.mark.clause("RAG-02")
def test_ragged_share(triton_probes: Subject, triton_evidence: Evidence) -> None:
    deadline, alone = time.monotonic() + PATIENCE, 0
    while time.monotonic() < deadline and alone < ENOUGH:
        told = one_round(triton_probes, LENGTHS, "rag-02")
        if max(told.shared.values()) > 1:
            triton_evidence.measure(
                "requests in an execution", max(told.shared.values()), "requests"
            )
            return
        alone += told.together
    assert alone < ENOUGH, (
        f"{ENOUGH} times {len(LENGTHS)} requests of different lengths came at the same time, "
        "and each had an execution of its own"
    )
    raise Inconclusive("the requests did not come close enough to one another to share one")


@pytest.mark.clause("WRM-01")
def test_warm_up(triton_probes: Subject, triton_rng: Rng) -> None:
    sent = triton_rng.integers(1, 1000, 1, dtype=np.int32)
    answer = triton_probes.http.infer(WARM, {"IN": sent}, request_id="wrm-01")
    seen = asked(answer)
    text = altered(answer, {"OUT": sent, "ASKED": np.array([seen], np.int32)})
    assert not text, text
    assert seen > WARM_UP, (
        f"with this request the model has seen {seen}: its warm-up of {WARM_UP} is not before"
    )


# -- response cache


def fresh() -> np.ndarray[Any, Any]:
    """An input that no run before has put into the cache: not seeded, of all inputs."""
    return np.array([secrets.randbits(30)], np.int32)


@pytest.mark.clause("CCH-01")
def test_cache_hit(triton_probes: Subject, triton_evidence: Evidence) -> None:
    grpc = triton_probes.grpc
    assert grpc is not None
    before, sent = at_rest(triton_probes, CACHED), {"IN": fresh()}
    first = triton_probes.http.infer(CACHED, sent, request_id="cch-01 1")
    for number, probe in ((2, triton_probes.http), (3, grpc)):
        with triton_evidence.case(f"request {number}"):
            again = probe.infer(CACHED, sent, request_id=f"cch-01 {number}")
            assert again.id == f"cch-01 {number}", f"the answer has the id {again.id!r}"
            text = differ(first, replace(again, id=first.id))
            assert not text, f"the first and the one out of the cache: {text}"
    with triton_evidence.case("statistics"):
        text = wrong_rise(
            triton_probes, CACHED, before, {"cache_miss": 1, "cache_hit": 2, "success": 3}
        )
        assert not text, text


@pytest.mark.clause("CCH-02")
def test_cache_miss(triton_probes: Subject, triton_evidence: Evidence) -> None:
    before, first = at_rest(triton_probes, CACHED), fresh()
    seen: list[int] = []
    with triton_evidence.case("answers"):
        for sent in (first, first ^ 1):
            answer = triton_probes.http.infer(CACHED, {"IN": sent}, request_id="cch-02")
            seen.append(asked(answer))
            text = altered(answer, {"OUT": sent, "ASKED": np.array(seen[-1:], np.int32)})
            assert not text, f"IN = {sent.tolist()}: {text}"
        assert seen[0] < seen[1], f"the model was asked {seen}: not for the second input"
    with triton_evidence.case("statistics"):
        text = wrong_rise(triton_probes, CACHED, before, {"cache_miss": 2, "cache_hit": 0})
        assert not text, text


# -- ensembles


def pair(rng: Rng, rows: int) -> dict[str, np.ndarray[Any, Any]]:
    low, high = -(2**20), 2**20
    return {
        name: rng.integers(low, high, (rows, 16), dtype=np.int32) for name in ("INPUT0", "INPUT1")
    }


@pytest.mark.clause("ENS-02")
def test_composing_counts(
    triton_probes: Subject, triton_evidence: Evidence, triton_rng: Rng
) -> None:
    rows = 3
    before = {name: at_rest(triton_probes, name) for name in (CHAIN, ADDSUB)}
    triton_probes.http.infer(CHAIN, pair(triton_rng, rows), request_id="ens-02")
    for name, times in ((CHAIN, 1), (ADDSUB, 2)):
        with triton_evidence.case(name):
            wanted = {"success": times, "inferences": times * rows, "fail": 0}
            text = wrong_rise(triton_probes, name, before[name], wanted)
            assert not text, text


@pytest.mark.clause("ENS-03")
def test_failing_step(triton_probes: Subject, triton_evidence: Evidence) -> None:
    failures = [
        (error.code, error.http, error.grpc, error.text)
        for error in (MODEL_ERRORS["NOT_FOUND"], MODEL_ERRORS["UNAVAILABLE"])
    ]
    failures.append((RAISES, 500, "INTERNAL", "RuntimeError: this model raises on purpose"))
    for number, status, name, words in failures:
        with triton_evidence.case(f"CODE {number}"):
            status = triton_probes.error_status(status)
            told = {
                "HTTP": http_refusal(triton_probes, BROKEN_CHAIN, code(number), status),
                "gRPC": grpc_refusal(triton_probes, BROKEN_CHAIN, code(number), name),
            }
            for protocol, reason in told.items():
                for part in (f"in ensemble '{BROKEN_CHAIN}'", words):
                    assert part in reason, f"over {protocol}: no {part!r} in {reason!r}"
    with triton_evidence.case("CODE 0"):
        text = not_zero(triton_probes.http.infer(BROKEN_CHAIN, code(0)), "OUT")
        assert not text, text


@pytest.mark.clause("ENS-04")
def test_chain(triton_probes: Subject, triton_evidence: Evidence, triton_rng: Rng) -> None:
    grpc, http = triton_probes.grpc, triton_probes.http
    assert grpc is not None
    for rows in (1, 3):
        sent = pair(triton_rng, rows)
        wanted = {"SUM": 2 * sent["INPUT0"], "DIFFERENCE": 2 * sent["INPUT1"]}
        with triton_evidence.case(f"JSON, batch {rows}"):
            text = altered(http.infer(CHAIN, sent, binary=False, request_id="ens-04"), wanted)
            assert not text, text
        with triton_evidence.case(f"binary, batch {rows}"):
            text = altered(http.infer(CHAIN, sent, request_id="ens-04"), wanted)
            assert not text, text
        with triton_evidence.case(f"gRPC, batch {rows}"):
            text = altered(grpc.infer(CHAIN, sent, request_id="ens-04"), wanted)
            assert not text, text
