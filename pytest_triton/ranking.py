"""Answers with classification: which classes, in which order, under which labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_triton.asking import parse_class
from pytest_triton.probe.http import model_path
from pytest_triton.probe.message import decode_infer
from pytest_triton.probe.types import InferResult, MalformedAnswer
from pytest_triton.probe_set import CLASSES, DATA
from pytest_triton.subject import Subject

#: Outputs of the probe model: with labels, and without.
LABELLED, PLAIN = "SCORES", "PLAIN"
COUNT = 5


def labels() -> list[str]:
    """The labels of the probe model's classes."""
    return (DATA / CLASSES / "labels.txt").read_text("utf-8").splitlines()


def scores(rng: np.random.Generator, rows: int) -> np.ndarray[Any, Any]:
    """Scores [rows, 5] in FP32: no two alike in a row, and the best class not that of the row before."""
    made = np.stack([rng.permutation(COUNT) for _ in range(rows)]).astype(np.float32)
    for row in range(1, rows):
        if made[row].argmax() == made[row - 1].argmax():
            made[row] = np.roll(made[row], 1)
    shifted: np.ndarray[Any, Any] = made / 4 - np.float32(0.5)
    return shifted


def misranked(answer: InferResult, output: str, values: np.ndarray[Any, Any], count: int) -> str:
    """What is wrong with the ``count`` best classes of scores [rows, classes]; "" for nothing."""
    got = answer.outputs.get(output)
    if got is None or list(answer.outputs) != [output]:
        return f"outputs {sorted(answer.outputs)}, {output} was asked"
    if answer.datatypes.get(output) != "BYTES":
        return f"{output} has datatype {answer.datatypes.get(output)!r}, classes are BYTES"
    if got.shape != (len(values), count):
        return f"{output} has shape {list(got.shape)}, expected {[len(values), count]}"
    for number, (row, wanted) in enumerate(zip(got, values, strict=True)):
        if text := _row(row, wanted, count, labels() if output == LABELLED else None):
            return f"{output}, row {number}: {text}"
    return ""


def _row(
    row: Sequence[Any], values: np.ndarray[Any, Any], count: int, names: list[str] | None
) -> str:
    try:
        told = [parse_class(text, len(values)) for text in row]
    except MalformedAnswer as error:
        return str(error)
    best = [int(at) for at in np.argsort(-values, kind="stable")[:count]]
    indices = [index for _, index, _ in told]
    if indices != best:
        return f"classes {indices}, the highest scores are those of {best}"
    for value, index, label in told:
        if not math.isclose(value, float(values[index]), rel_tol=1e-3, abs_tol=1e-5):
            return f"class {index} has value {value:g}, its score is {values[index]:g}"
        wanted = names[index] if names else ""
        if label != wanted:
            return f"class {index} is labelled {label!r}, expected {wanted!r}"
    return ""


def count_zero(subject: Subject, values: np.ndarray[Any, Any], *, binary: bool) -> InferResult:
    """The answer over HTTP to a request for the SCORES with classification 0."""
    inputs = [
        {
            "name": "IN",
            "shape": list(values.shape),
            "datatype": "FP32",
            "data": [float(value) for value in values.reshape(-1)],
        }
    ]
    wanted = {"classification": 0, **({"binary_data": True} if binary else {})}
    body = {"id": "cls-03", "inputs": inputs, "outputs": [{"name": LABELLED, "parameters": wanted}]}
    answer = subject.post(f"{model_path(CLASSES)}/infer", body)
    if answer.status != 200:
        raise answer.failure
    return decode_infer(answer)
