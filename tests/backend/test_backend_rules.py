"""Naming, parameters and configuration without a server."""

from __future__ import annotations

from typing import Any

import pytest
import torchscript_naming as naming
from torchscript_config import Config, parse_config
from torchscript_parameters import Parameters, parse_bool, parse_int, parse_parameters
from torchscript_refusal import Refusal, load_error, without_traceback


def made(inputs: str = "x", outputs: str = "y", **more: Any) -> Config:
    raw: dict[str, Any] = {
        "name": "m",
        "max_batch_size": 0,
        "input": [{"name": name, "data_type": "TYPE_FP32", "dims": [1]} for name in inputs.split()],
        "output": [
            {"name": name, "data_type": "TYPE_FP32", "dims": [1]} for name in outputs.split()
        ],
        **more,
    }
    return parse_config(raw)


@pytest.mark.parametrize(
    ("name", "follows", "index"),
    [
        ("x__0", True, 0),
        ("x__12", True, 12),
        ("x__007", True, 7),
        ("x__", True, 0),
        ("__3", True, 3),
        ("x__1a", False, 1),
        ("attention__mask__0", False, 0),
        ("x___1", False, 0),
        ("x_1", False, 0),
        ("x__-1", False, -1),
        ("x__ 1", False, 1),
    ],
)
def test_index_names(name: str, follows: bool, index: int) -> None:
    assert naming.has_index(name) is follows
    assert naming.index_of(name) == index


@pytest.mark.parametrize(
    ("inputs", "arguments", "convention", "warned"),
    [
        ("b a", ("a", "b"), naming.FORWARD_ARGUMENT, False),
        ("a__1 a__0", ("a__1", "a__0"), naming.FORWARD_ARGUMENT, False),
        ("a b__1", ("a", "b"), naming.CONFIG_ORDER, False),
        ("a__0 b__1", ("a", "b"), naming.NAMED_INDEX, False),
        ("a__0 b__x", ("a", "b"), naming.CONFIG_ORDER, True),
        ("one b__x", ("a", "b"), naming.CONFIG_ORDER, False),
    ],
)
def test_convention_of_inputs(
    inputs: str, arguments: tuple[str, ...], convention: str, warned: bool
) -> None:
    lines: list[str] = []
    assert naming.decide(made(inputs), arguments, lines.append) == convention
    assert bool(lines) is warned


def test_a_model_without_arguments_is_judged_by_its_outputs() -> None:
    lines: list[str] = []
    assert naming.decide(made("x__0", "y__q"), (), lines.append) == naming.CONFIG_ORDER
    assert lines[0].startswith("output 'y__q' or previous output(s) of the model 'm' do not follow")


@pytest.mark.parametrize("text", ["true", "TRUE", "On", "1"])
def test_true(text: str) -> None:
    assert parse_bool(text) is True


@pytest.mark.parametrize("text", ["false", "False", "OFF", "0"])
def test_false(text: str) -> None:
    assert parse_bool(text) is False


@pytest.mark.parametrize("text", ["", "yes", "no", " true", "true ", "2", "t"])
def test_no_bool(text: str) -> None:
    with pytest.raises(Refusal, match=r"failed to convert '.*' to boolean") as caught:
        parse_bool(text)
    assert caught.value.code == "INVALID_ARG"


@pytest.mark.parametrize(
    ("text", "value"), [("4", 4), ("1x", 1), (" \t7", 7), ("+3", 3), ("-2", -2), ("3.9", 3)]
)
def test_int(text: str, value: int) -> None:
    assert parse_int(text) == value


@pytest.mark.parametrize("text", ["", "x1", "- 1", "99999999999"])
def test_no_int(text: str) -> None:
    with pytest.raises(Refusal, match="to integral number"):
        parse_int(text)


def test_parameters_are_read_in_a_fixed_order() -> None:
    values = {"INTRA_OP_THREAD_COUNT": "x", "ENABLE_JIT_EXECUTOR": "y", "DISABLE_CUDNN": "z"}
    with pytest.raises(Refusal, match="failed to convert 'z' to boolean"):
        parse_parameters(values, "m", lambda _: None, lambda _, count: count)


def test_without_parameters_four_lines_are_logged() -> None:
    lines: list[str] = []
    assert parse_parameters({}, "m", lines.append, lambda _, count: count) == Parameters()
    assert len(lines) == 4


def test_optional_comes_after_batch_inputs() -> None:
    item = {"name": "x", "data_type": "TYPE_FP32", "dims": [1], "optional": True}
    bad = {"kind": "NOT_A_KIND", "target_name": ["t"], "data_type": "TYPE_FP32"}
    with pytest.raises(Refusal, match="unexpected batch input kind 'NOT_A_KIND'"):
        made(input=[item], batch_input=[bad])
    with pytest.raises(Refusal, match="'optional' is set to true for input 'x'"):
        made(input=[item])


def test_reshape_replaces_dims() -> None:
    item = {"name": "x", "data_type": "TYPE_FP32", "dims": ["2", 3], "reshape": {"shape": [6]}}
    assert made(input=[item]).inputs[0].shape == (6,)


def test_an_error_without_frames() -> None:
    error = load_error(Refusal("UNAVAILABLE", "words"))
    assert type(error).__name__ == "Unavailable"
    with pytest.raises(type(error), match="words") as caught:
        without_traceback(lambda _: error)({})
    assert len(caught.traceback) == 1
    assert without_traceback(lambda _: None)({}) is True
