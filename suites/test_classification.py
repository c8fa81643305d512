"""Classification: the best classes instead of a tensor, however they travel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_triton.exactly import altered, differ
from pytest_triton.model_errors import grpc_refusal
from pytest_triton.probe_set import CLASSES
from pytest_triton.ranking import COUNT, LABELLED, PLAIN, count_zero, misranked, scores
from pytest_triton.subject import Subject

Rng = np.random.Generator


def plainly(subject: Subject, values: np.ndarray[Any, Any]) -> None:
    """Ask without classification first: a server that cannot answer that dies of the other."""
    answer = subject.http.infer(CLASSES, {"IN": values})
    text = altered(answer, {LABELLED: values, PLAIN: values})
    assert not text, f"without classification: {text}"


@pytest.mark.clause("CLS-02")
def test_more_than_there_are(triton_probes: Subject, triton_rng: Rng) -> None:
    values = scores(triton_rng, 1)
    plainly(triton_probes, values)
    for count in (COUNT + 1, 1000):
        answer = triton_probes.http.infer(
            CLASSES, {"IN": values}, outputs=[LABELLED], classification=count, request_id="cls-02"
        )
        text = misranked(answer, LABELLED, values, COUNT)
        assert not text, f"{count} asked of {COUNT}: {text}"


@pytest.mark.clause("CLS-03")
def test_no_classes(triton_probes: Subject, triton_rng: Rng) -> None:
    values = scores(triton_rng, 2)
    plainly(triton_probes, values)
    for binary in (False, True):
        text = altered(count_zero(triton_probes, values, binary=binary), {LABELLED: values})
        assert not text, f"{'binary' if binary else 'JSON'}: {text}"


@pytest.mark.clause("CLS-04")
def test_each_row(triton_probes: Subject, triton_rng: Rng) -> None:
    values = scores(triton_rng, 4)
    plainly(triton_probes, values)
    for output in (LABELLED, PLAIN):
        for count in (1, 3):
            answer = triton_probes.http.infer(
                CLASSES, {"IN": values}, outputs=[output], classification=count, request_id="cls-04"
            )
            text = misranked(answer, output, values, count)
            assert not text, f"{count} asked for each of 4 rows: {text}"


@pytest.mark.clause("CLS-05")
def test_binary_and_grpc(triton_probes: Subject, triton_rng: Rng) -> None:
    grpc = triton_probes.grpc
    assert grpc is not None
    values = scores(triton_rng, 3)
    plainly(triton_probes, values)
    asked: dict[str, Any] = {"outputs": [LABELLED], "classification": 3, "request_id": "cls-05"}
    over_http = triton_probes.http.infer(CLASSES, {"IN": values}, **asked)
    assert LABELLED in over_http.raw_sizes, "the classes did not come as binary data"
    text = misranked(over_http, LABELLED, values, 3)
    assert not text, f"binary data: {text}"
    over_grpc = grpc.infer(CLASSES, {"IN": values}, **asked)
    text = misranked(over_grpc, LABELLED, values, 3)
    assert not text, f"gRPC: {text}"
    text = differ(over_http, over_grpc)
    assert not text, f"binary data and gRPC: {text}"


@pytest.mark.clause("CLS-07")
def test_negative_count(triton_probes: Subject, triton_rng: Rng) -> None:
    values = scores(triton_rng, 1)
    plainly(triton_probes, values)
    reason = grpc_refusal(
        triton_probes,
        CLASSES,
        {"IN": values},
        "INVALID_ARGUMENT",
        outputs=[LABELLED],
        classification=-1,
        request_id="cls-07",
    )
    assert "classification" in reason, f"the error does not name 'classification': {reason!r}"


@pytest.mark.clause("CLS-08")
def test_classes_in_json(triton_probes: Subject, triton_rng: Rng) -> None:
    values = scores(triton_rng, 2)
    plainly(triton_probes, values)
    asked: dict[str, Any] = {"outputs": [LABELLED], "classification": 2, "request_id": "cls-08"}
    as_json = triton_probes.http.infer(CLASSES, {"IN": values}, binary=False, **asked)
    assert LABELLED not in as_json.raw_sizes, "JSON was asked, binary data came"
    text = misranked(as_json, LABELLED, values, 2)
    assert not text, f"JSON: {text}"
    text = differ(triton_probes.http.infer(CLASSES, {"IN": values}, **asked), as_json)
    assert not text, f"binary data and JSON: {text}"
