"""Responses against metadata, and labels against classes."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_triton.honest import other_batch, undeclared, wrong_labels
from pytest_triton.probe.types import InferResult

DECLARED = [
    {"name": "A", "datatype": "FP32", "shape": [-1, 3]},
    {"name": "B", "datatype": "INT64", "shape": [-1]},
]


def _answer(**outputs: np.ndarray) -> InferResult:
    types = {"float32": "FP32", "float64": "FP64", "int64": "INT64"}
    return InferResult(
        model_name="m",
        id="",
        model_version="1",
        outputs=dict(outputs),
        datatypes={name: types[str(value.dtype)] for name, value in outputs.items()},
    )


A, B = np.zeros((2, 3), np.float32), np.zeros(2, np.int64)


def test_an_honest_answer() -> None:
    answer = _answer(A=A, B=B)
    assert undeclared(answer, DECLARED) == ""
    assert other_batch(answer, 2) == ""
    assert undeclared(_answer(A=A), DECLARED, whole=False) == ""


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ({"A": A}, "outputs ['A'], declared are ['A', 'B']"),
        ({"A": A, "B": B, "C": B}, "outputs ['A', 'B', 'C'], declared"),
        ({"A": A.astype(np.float64), "B": B}, "A is FP64, declared is FP32"),
        ({"A": A[:, :2], "B": B}, "A has shape [2, 2], declared is [-1, 3]"),
        ({"A": A[0], "B": B}, "A has shape [3], declared is [-1, 3]"),
    ],
)
def test_a_dishonest_answer(outputs: dict[str, np.ndarray], told: str) -> None:
    assert told in undeclared(_answer(**outputs), DECLARED)


def test_an_output_too_many_in_a_stream() -> None:
    assert "declared are" in undeclared(_answer(C=B), DECLARED, whole=False)


def test_another_batch() -> None:
    assert other_batch(_answer(A=A, B=B[:1]), 2) == "B has shape [1] for a batch of 2"
    scalar = np.zeros((), np.int64)
    assert other_batch(_answer(B=scalar), 1) == "B has shape [] for a batch of 1"


@pytest.mark.parametrize(
    ("labels", "file", "shape", "told"),
    [
        (["a", "b"], ["a", "b"], [-1, 2], ""),
        (["a", "b"], ["a", "b", "", " "], [-1, 2], ""),  # blank lines at the end are no classes
        (["a", "b"], None, [-1, 2], ""),  # an endpoint shows no file
        (["a", "b"], ["a", "b", "c"], [-1, -1], ""),  # the number of classes varies
        (["a", ""], ["a"], [-1, 2], "1 of 2 classes have no label, the first is class 1"),
        (["a", "b"], ["a", "b", "c"], [-1, 2], "3 lines for 2 classes"),
        (["a", "b"], ["a", "b", "c"], [2], "3 lines for 2 classes"),
    ],
)
def test_labels(labels: list[str], file: list[str] | None, shape: list[int], told: str) -> None:
    text = wrong_labels(labels, file, shape)
    assert (told in text) if told else not text
