"""JSON requests, and answers read strictly."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from pytest_triton.asking import (
    bad_requests,
    in_order,
    json_arrays,
    json_request,
    parse_class,
    round_robin,
)
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.types import MalformedAnswer

CASE = InputCase(
    "c",
    {"F": np.arange(6, dtype=np.float32).reshape(2, 3), "S": np.array([["a", b"\xc3\xa9"]], object)},
    None, "file", 2,
)  # fmt: skip


def _answer(datatype: str = "FP32", data: Any = (1.5, 2), shape: Any = (2,), **more: Any) -> Any:
    tensor = {"name": "O", "datatype": datatype, "shape": list(shape), "data": data} | more
    tensor["data"] = list(data) if isinstance(data, tuple) else data
    return {"outputs": [tensor]}


def test_flat_and_nested_requests() -> None:
    flat, nested = json_request(CASE, request_id="7"), json_request(CASE, nested=True)
    assert flat["id"] == "7"
    assert "id" not in nested
    assert flat["inputs"][0]["data"] == [0, 1, 2, 3, 4, 5]
    assert nested["inputs"][0]["data"] == [[0, 1, 2], [3, 4, 5]]
    assert flat["inputs"][1] == {
        "name": "S",
        "shape": [1, 2],
        "datatype": "BYTES",
        "data": ["a", "é"],
    }
    assert nested["inputs"][1]["data"] == [["a", "é"]]
    empty = InputCase("e", {"S": np.empty((0,), object)}, None, "file", 0)
    assert json_request(empty)["inputs"][0]["data"] == []


@pytest.mark.parametrize(
    ("datatype", "data", "dtype"),
    [
        ("FP32", (1.5, 2), "float32"),
        ("FP64", (float("nan"), float("inf")), "float64"),
        ("INT64", (2**63 - 1, -(2**63)), "int64"),
        ("UINT8", (0, 255), "uint8"),
        ("BOOL", (True, False), "bool"),
        ("BYTES", ("é", ""), "object"),
        ("FP32", [[1], [2]], "float32"),
    ],
)
def test_answers(datatype: str, data: Any, dtype: str) -> None:
    array = json_arrays(_answer(datatype, data))["O"]
    assert array.dtype == dtype
    assert array.shape == (2,)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"outputs": None},
        {"outputs": {"name": "O"}},
        {"outputs": [None]},
        {"outputs": [[]]},
        {"outputs": _answer()["outputs"] * 2},
        _answer(name=None),
        _answer(data="12"),
        _answer(data=None),
        _answer(datatype="FP31"),
        _answer(data=("1.5", "2")),
        _answer(data=(True, False)),
        _answer("INT32", (1.5, 2.5)),
        _answer("INT32", (2**31, 0)),
        _answer("UINT8", (-1, 0)),
        _answer("BOOL", (1, 0)),
        _answer("BYTES", (1, 2)),
        _answer(shape=(3,)),
        _answer(shape=(-2, -1)),
        _answer(shape=("2",)),
        _answer(shape=(2.0,)),
        _answer(data=(), shape=(2**62, 2**62, 0)),
        _answer(data=(), shape=(0,) * 70),
        _answer(data=(1.0, None)),
    ],
)
def test_answers_that_are_none(answer: Any) -> None:
    with pytest.raises(MalformedAnswer):
        json_arrays(answer)


def test_bad_requests_are_all_bad_in_their_own_way() -> None:
    bodies = list(bad_requests(CASE))
    assert len(set(bodies)) == len(bodies) == 11
    good = json.dumps(json_request(CASE)).encode()
    assert good not in bodies
    assert b"" not in list(bad_requests(CASE, empty=False))
    assert b'{"inputs": []}' not in list(bad_requests(CASE, optional=True))
    nothing = InputCase("n", {}, None, "generated", 0)
    assert list(bad_requests(nothing))


def test_round_robin() -> None:
    assert list(round_robin("abc", 5)) == list("abcab")
    assert list(round_robin([], 5)) == []


def test_steps_in_any_order() -> None:
    def step(name: str, source: str, target: str) -> dict[str, Any]:
        return {"model_name": name, "input_map": {"I": source}, "output_map": {"O": target}}

    steps = [step("c", "y", "OUT"), step("a", "IN", "x"), step("b", "x", "y")]
    assert [s["model_name"] for s in in_order(steps)] == ["a", "b", "c"]
    circle = [step("a", "y", "x"), step("b", "x", "y")]
    assert len(list(in_order(circle))) == 2


def test_classes() -> None:
    assert parse_class(b"0.5:2:a:b", 3) == (0.5, 2, "a:b")
    assert parse_class(b"-1e-3:0", 3) == (-0.001, 0, "")


@pytest.mark.parametrize(
    "text",
    [b"", b"x:1", b"0.5", b"0.5:", b"0.5:3", b"0.5:-1", b"0.5:1.0", b"\xff", b"0.5:\xc2\xb2"],
)
def test_classes_that_are_none(text: bytes) -> None:
    with pytest.raises(MalformedAnswer, match="a class is"):
        parse_class(text, 3)
