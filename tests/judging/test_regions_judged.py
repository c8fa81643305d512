"""Shared memory: bit for bit for an exact model, near for another; regions of others stay."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_triton import foreign_regions
from pytest_triton.criteria import NotAssessed
from pytest_triton.foreign_regions import nobody_else, watch
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.codec import encode_raw
from pytest_triton.probe.shared import Place
from pytest_triton.probe.types import InferResult, Tensor
from pytest_triton.sharing import BLANK, Exchange, Layout
from pytest_triton.steady import region_flaw

VALUES = np.array([1.0, 2.0, 3.0], np.float32)
LAST_BIT = np.nextafter(VALUES, np.float32(9))


class Target:
    """A region in this process."""

    size, name = 64, "target"

    def __init__(self) -> None:
        self.memory = bytearray(self.size)

    def write(self, data: bytes, offset: int = 0) -> None:
        self.memory[offset : offset + len(data)] = data

    def read(self, size: int, offset: int = 0) -> bytes:
        return bytes(self.memory[offset : offset + size])


def _judge(placed: list[Any], plain: list[Any], *, beside: bool = False) -> str | None:
    """Of a model whose answers through regions, and without them, are these in turn."""
    regions, others = itertools.cycle(placed), itertools.cycle(plain)

    def answer(*_: Any) -> InferResult:
        return InferResult("m", "1", "", {"Y": next(others)}, datatypes={"Y": "FP32"})

    data = encode_raw(Tensor(VALUES, "FP32"))
    layout = Layout({}, {"Y": Place("target", 12, 16)}, {"Y": ("FP32", [3], data)})
    target: Any = Target()
    subject: Any = SimpleNamespace(answer=answer)
    case = InputCase("drawn", {}, None, "generated", 1)
    made = Exchange(subject, "m", layout, case, target, target)
    made.blank()

    def send() -> dict[str, tuple[str, list[int]]]:
        target.write(encode_raw(Tensor(next(regions), "FP32")), 16)
        if beside:
            target.write(bytes([BLANK ^ 1]), 40)
        return {"Y": ("FP32", [3])}

    return region_flaw(made, send)


def test_an_exact_model_is_judged_bit_for_bit() -> None:
    assert _judge([VALUES], [VALUES]) is None
    assert "differs at byte" in str(_judge([LAST_BIT], [VALUES]))
    assert "differs at byte" in str(_judge([VALUES + 1, VALUES], [VALUES]))  # once is enough
    assert "beside the outputs" in str(_judge([VALUES], [VALUES], beside=True))


def test_a_model_that_is_not_exact_has_to_be_near() -> None:
    assert _judge([LAST_BIT], [VALUES, LAST_BIT]) is None
    assert _judge([LAST_BIT, VALUES], [VALUES]) is None  # seldom other bits
    assert "not exact" in str(_judge([VALUES + 1], [LAST_BIT]))
    assert "beside the outputs" in str(_judge([LAST_BIT], [LAST_BIT], beside=True))


def test_a_model_that_answers_anything_shows_nothing() -> None:
    with pytest.raises(NotAssessed, match="in several ways"):
        _judge([VALUES + 1], [VALUES * 3])


class Listed:
    """The extension; ``looks``: what each look at the status shows."""

    def __init__(self, *looks: list[str]) -> None:
        self.looks = iter(looks)
        self.seen = 0

    def status(self) -> dict[str, Any]:
        self.seen += 1
        return {name: {} for name in next(self.looks, [])}


def test_regions_of_others_are_seen() -> None:
    mine: Any = Listed(["b", "a"])
    assert nobody_else(mine, ("a", "b")) == ["a", "b"]
    theirs: Any = Listed(["a", "theirs"])
    with pytest.raises(NotAssessed, match="'theirs', and would lose it"):
        nobody_else(theirs, ("a",))


@pytest.mark.parametrize("owned", [True, False])
def test_a_client_that_comes_and_goes_is_seen(monkeypatch: pytest.MonkeyPatch, owned: bool) -> None:
    monkeypatch.setattr(foreign_regions, "WATCH", 0.2)
    regions = Listed([], [], ["theirs"])
    monkeypatch.setattr(foreign_regions, "both", lambda _: [regions])
    subject: Any = SimpleNamespace(deployment=SimpleNamespace(owned=owned))
    if owned:  # nobody else has a server of ours
        watch(subject)
        assert regions.seen == 1
    else:
        with pytest.raises(NotAssessed):
            watch(subject)
