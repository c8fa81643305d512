"""Crowds, padding, lengths and odd rows, on models in miniature: what is seen, and what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_triton import isolating
from pytest_triton.criteria import Inconclusive, NotAssessed
from pytest_triton.isolating import Crowd, alone, in_flight, steady
from pytest_triton.padding import padding_problem
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.codec import as_tensor
from pytest_triton.probe.types import InferResult
from pytest_triton.served_model import ServedModel
from pytest_triton.varying import float_inputs, masked, shortened, strange, variable_axis

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class Subject:
    """One model ``m`` whose answers are those of a function."""

    def __init__(self, config: dict[str, Any], answer: Answer, cases: list[InputCase]) -> None:
        self.models = {"m": ServedModel("m", ("1",), config)}
        self.settings = SimpleNamespace(allow_load=None)
        self.deployment = SimpleNamespace(kind="reference")
        self._answer, self._cases = answer, cases

    def once(self, _: str, make: Callable[[], Any]) -> Any:
        return make()

    def distinct(self, _: str, count: int) -> list[InputCase]:
        return self._cases[:count]

    def cases(self, _: str) -> list[InputCase]:
        return self._cases

    def rounding(self, case: InputCase, outputs: Any) -> tuple[float, float]:
        return case.rtol, case.atol

    def answer(self, model: str, case: InputCase, **_: Any) -> InferResult:
        outputs = self._answer({k: as_tensor(v).array for k, v in case.inputs.items()})
        kinds = {"f": "FP32", "i": "INT64"}
        return InferResult(model, "1", "", outputs,
                           datatypes={k: kinds[v.dtype.kind] for k, v in outputs.items()})  # fmt: skip


def case(**inputs: Any) -> InputCase:
    return InputCase("given", inputs, None, "file", 1)


def rows(count: int) -> list[InputCase]:
    return [case(X=np.full((1, 4), float(n), np.float32)) for n in range(count)]


def double(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"Y": inputs["X"] * 2}


PLAIN = {"max_batch_size": 8, "input": [{"name": "X", "data_type": "TYPE_FP32", "dims": [4]}]}


def test_a_crowd_is_asked_alone_first() -> None:
    asked = alone(Subject(PLAIN, double, rows(20)), "m")  # type: ignore[arg-type]
    assert len(asked) == 20
    assert asked[3].fits(asked[3].answer) is None
    assert asked[3].fits(asked[4].answer)


def test_rounding_in_a_batch_is_no_mix_up() -> None:
    asked = alone(Subject(PLAIN, double, rows(20)), "m")  # type: ignore[arg-type]
    moved = InferResult("m", "1", "", {"Y": asked[5].answer["Y"] * 1.005}, datatypes={"Y": "FP32"})
    assert asked[5].fits(moved) is None
    for other in (0, 4, 6):
        assert asked[5].fits(asked[other].answer)


@pytest.mark.parametrize(
    ("config", "answer", "said"),
    [
        (PLAIN, lambda inputs: {"Y": inputs["X"] * 0}, "differs from the one before"),
        (PLAIN, lambda inputs: {"Y": inputs["X"] + np.float32(np.random.rand())}, "several ways"),
        ({**PLAIN, "response_cache": {"enable": True}}, double, "response cache"),
    ],
)
def test_where_a_mix_up_could_not_be_seen(config: Any, answer: Answer, said: str) -> None:
    with pytest.raises(NotAssessed, match=said):
        alone(Subject(config, answer, rows(20)), "m")  # type: ignore[arg-type]


def test_large_answers_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolating, "ROOM", 100)
    assert len(alone(Subject(PLAIN, double, rows(50)), "m")) == isolating.LEAST  # type: ignore[arg-type]


def test_a_queue_and_a_slow_model_bound_the_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = {"dynamic_batching": {"default_queue_policy": {"max_queue_size": 5}}}
    subject: Any = Subject({**PLAIN, **queue}, double, rows(20))
    asked = alone(subject, "m")
    assert in_flight(subject, "m", asked, 64) == 5
    subject = Subject(PLAIN, double, rows(20))
    assert in_flight(subject, "m", asked, 64) == 64
    times = iter([0.0, 6.0])
    monkeypatch.setattr(isolating, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with pytest.raises(NotAssessed, match=r"takes 6\.0 s"):
        in_flight(subject, "m", asked, 64)


def test_what_a_crowd_tells() -> None:
    assert Crowd(8, 10).told() == ""
    wrong = Crowd(8, 10, Counter({"request 1 got the answer of request 2": 3}))
    assert wrong.told().startswith("3 of 10 concurrent answers are wrong: request 1")
    refused = Crowd(8, 10, refused=Counter({"503 busy": 2}))
    assert refused.told() == "2 concurrent requests got none: 503 busy (2×)"
    with pytest.raises(Inconclusive, match="limits what can be asked"):
        Crowd(8, 10, refused=Counter({"429 slow down": 2})).told()


def test_outputs_that_a_batch_may_pad_are_not_compared() -> None:
    config = {**PLAIN, "output": [{"name": "Y", "dims": [-1, 6]}, {"name": "N", "dims": [1]}]}
    model = ServedModel("m", ("1",), config)
    assert set(steady(model, {"Y": np.zeros(1), "N": np.zeros(1)})) == {"N"}
    with pytest.raises(NotAssessed, match="every output depends on data"):
        steady(model, {"Y": np.zeros(1)})


def test_answers_that_only_rounding_tells_apart() -> None:
    class Coarse(Subject):
        def rounding(self, case: InputCase, outputs: Any) -> tuple[float, float]:
            return 0.5, 0.5

    def near(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"Y": inputs["X"] * np.float32(0.01) + 1}

    assert len(alone(Subject(PLAIN, near, rows(20)), "m")) == 20  # type: ignore[arg-type]
    with pytest.raises(NotAssessed, match="by more than rounding"):
        alone(Coarse(PLAIN, near, rows(20)), "m")  # type: ignore[arg-type]


def _tokens(mask: str = "attention_mask", **more: Any) -> dict[str, Any]:
    entries = [{"name": "ids", "data_type": "TYPE_INT64", "dims": [-1]},
               {"name": mask, "data_type": more.pop("kind", "TYPE_INT64"), "dims": [-1]}]  # fmt: skip
    return {"max_batch_size": 4, "input": entries + more.pop("others", []), **more}


def test_which_masks_are_known() -> None:
    def found(config: dict[str, Any]) -> Any:
        return masked(ServedModel("m", ("1",), config))

    assert found(_tokens()).hidden == ("ids",)
    for name in ("key_padding_mask", "loss_mask", "mask_token_index"):
        assert found(_tokens(name)) is None
    box = {"name": "bbox", "data_type": "TYPE_INT64", "dims": [-1, 4]}
    assert found(_tokens(others=[box])) is None
    assert found(_tokens(others=[{"name": "F", "data_type": "TYPE_FP32", "dims": [768]}])).hidden


def _mean(inputs: dict[str, Any], mask: Any) -> Any:
    seen = mask.astype(np.float32)
    return ((inputs["ids"] * seen).sum(1) / seen.sum(1))[:, None].astype(np.float32)


IDS = np.arange(3, 19, dtype=np.int64)[None]


def _problem(answer: Answer, kind: Any = np.int64) -> str | None:
    known = [case(ids=IDS, attention_mask=np.ones_like(IDS).astype(kind))]
    subject: Any = Subject(_tokens(), answer, known)
    tensors = masked(subject.models["m"])
    assert tensors is not None
    return padding_problem(subject, "m", tensors)


@pytest.mark.parametrize("kind", [np.int64, np.bool_])
def test_a_mask_that_hides(kind: Any) -> None:
    def right(inputs: dict[str, Any]) -> dict[str, Any]:
        assert inputs["attention_mask"].dtype == kind
        return {"Y": _mean(inputs, inputs["attention_mask"])}

    assert _problem(right, kind) is None


def test_a_mask_that_hides_nothing() -> None:
    text = _problem(lambda inputs: {"Y": _mean(inputs, np.ones_like(inputs["ids"]))})
    assert text is not None
    assert "right: " in text
    assert "left: " in text


def test_padding_on_the_left_alone() -> None:
    def last(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"Y": inputs["ids"][:, -1:].astype(np.float32)}

    assert _problem(last) is None


def test_outputs_that_grow_otherwise_are_no_fault() -> None:
    def longer(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"Y": np.concatenate([inputs["ids"], inputs["ids"][:, :5]], 1)}

    with pytest.raises(NotAssessed, match="grows otherwise"):
        _problem(longer)


def test_lengths_of_a_row() -> None:
    model = ServedModel("m", ("1",), _tokens())
    axis, names = variable_axis(model) or (0, ())
    cut = list(shortened(case(ids=IDS, attention_mask=np.ones_like(IDS)), axis, names))
    assert [as_tensor(one.inputs["ids"]).array.shape for one in cut] == [
        (1, n) for n in (1, 2, 3, 9, 15, 16)
    ]
    ragged = case(ids=IDS, attention_mask=np.ones((1, 3), np.int64))
    assert not list(shortened(ragged, axis, names))


def test_odd_rows_of_inputs_that_are_not_sent() -> None:
    optional = {"name": "T", "data_type": "TYPE_FP32", "dims": [1], "optional": True}
    config = {"input": [*PLAIN["input"], optional]}
    floats = float_inputs(ServedModel("m", ("1",), config))
    made = dict(strange(rows(1)[0], floats))
    assert np.isnan(made["NaN"].inputs["X"]).all()
    assert made["the largest number"].inputs["X"].max() == np.finfo(np.float32).max
    assert set(made["NaN"].inputs) == {"X"}
