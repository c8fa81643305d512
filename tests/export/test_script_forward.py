"""Which array of a request is which argument of ``forward``, and back: as NVIDIA's backend does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pytest_triton
from pytest_triton.export.script_forward import Forward, Refused, Unsteady

torch = pytest.importorskip("torch")
modules = pytest.importorskip("stranger_modules")

ONE, OTHER = np.full((2, 3), 5, np.float32), np.ones((2, 3), np.float32)
Make = Callable[..., Forward]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Make:
    """A module of ``stranger_modules`` behind a configuration: ``("name", "type", dims, more)``."""
    backend = Path(pytest_triton.__file__).parent / "backends" / "pytorch"
    monkeypatch.setattr(sys, "path", [*sys.path, str(backend)])

    def entry(name: str, kind: str = "FP32", dims: Any = (3,), **more: Any) -> dict[str, Any]:
        return {"name": name, "data_type": f"TYPE_{kind}", "dims": list(dims), **more}

    def build(module: str, inputs: Any, outputs: Any, batch: int = 4) -> Forward:
        config = {
            "name": "m",
            "max_batch_size": batch,
            "input": [entry(*item[:3], **(item[3] if len(item) > 3 else {})) for item in inputs],
            "output": [entry(*item[:3], **(item[3] if len(item) > 3 else {})) for item in outputs],
        }
        scripted = torch.jit.script(getattr(modules, module)())
        return Forward(scripted.eval(), config)

    return build


@pytest.mark.parametrize(
    ("names", "difference"),
    [
        (("one", "other"), 4.0),  # arguments, in their order
        (("other", "one"), -4.0),  # arguments, whatever the order of the configuration
        (("a__1", "b__0"), -4.0),  # the index in the name
        (("a__0", "other"), 4.0),  # one name out of line: the order of the configuration
        (("z", "a"), 4.0),
    ],
)
def test_inputs(make: Make, names: tuple[str, str], difference: float) -> None:
    forward = make("Difference", [(name,) for name in names], [("D__0",), ("E__1", "FP64")])
    outputs = forward(dict(zip(names, (ONE, OTHER), strict=True)))
    assert (outputs["D__0"] == difference).all()
    assert outputs["E__1"].dtype == np.float64


def test_a_dictionary_goes_in(make: Make) -> None:
    forward = make("Named", [("other",), ("one",)], [("OUT",)])
    assert (forward({"one": ONE, "other": OTHER})["OUT"] == 4).all()


@pytest.mark.parametrize(
    ("outputs", "first"),
    [
        ([("a__1", "FP64"), ("b__0",)], {"a__1": 1.0, "b__0": 4.0}),
        ([("x",), ("y", "FP64")], {"x": 4.0, "y": 1.0}),
        ([("E__1", "FP64")], {"E__1": 1.0}),
    ],
)
def test_outputs_of_a_tuple(make: Make, outputs: Any, first: dict[str, float]) -> None:
    forward = make("Difference", [("one",), ("other",)], outputs)
    found = forward({"one": ONE, "other": OTHER})
    assert {name: value.flat[0] for name, value in found.items()} == first


@pytest.mark.parametrize(
    ("module", "outputs", "told"),
    [
        ("Answers", [("Y__0",)], "should not be a List / Dictionary of Tensors"),
        ("Double", [("Y__1",)], "'Y__1' is element 1 of 1"),
        ("Double", [("Y__0", "INT32")], "torch.float32, its configuration says TYPE_INT32"),
    ],
)
def test_what_the_server_does_not_send(make: Make, module: str, outputs: Any, told: str) -> None:
    forward = make(module, [("x",)], outputs)
    with pytest.raises(Exception, match=told):
        forward({"x": ONE})


def test_a_count_that_the_server_does_not_load(make: Make) -> None:
    with pytest.raises(Exception, match="configuration expects 1 inputs, model provides 2"):
        make("Difference", [("one",)], [("D__0",)])


@pytest.mark.parametrize("batch", [0, 4])
def test_reshape(make: Make, batch: int) -> None:
    """Variable dimensions keep their order, and the batch stays in front."""
    inner = {"reshape": {"shape": [-1]}}
    forward = make(
        "Double", [("x", "FP32", (1, -1), inner)], [("Y", "FP32", (-1, 1), inner)], batch
    )
    lead = (2,) if batch else ()
    outputs = forward({"x": np.ones((*lead, 1, 5), np.float32)})
    assert outputs["Y"].shape == (*lead, 5, 1)
    with pytest.raises(Refused, match="has the shape"):
        forward({"x": np.ones((*lead, 5), np.float32)})


def test_rows_that_nobody_asked_for_are_dropped(make: Make) -> None:
    forward = make("TwiceTheRows", [("x",)], [("Y",)])
    assert forward({"x": ONE})["Y"].shape == (2, 3)
    unbatched = make("TwiceTheRows", [("x",)], [("Y",)], 0)
    assert unbatched({"x": ONE})["Y"].shape == (4, 3)


def test_an_input_that_forward_changes(make: Make) -> None:
    forward = make("Writing", [("x",)], [("Y",)])
    kept = ONE.copy()
    assert (forward.steady({"x": kept}, {"Y": (1e-3, 1e-5)}, time.monotonic)["Y"] == 6).all()
    assert (kept == ONE).all()


def test_what_is_random_is_told(make: Make) -> None:
    forward = make("Random", [("x",)], [("Y",)])
    with pytest.raises(Unsteady, match="output 'Y' differs from call to call"):
        forward.steady({"x": ONE}, {"Y": (1e-3, 1e-5)}, time.monotonic)


def test_the_module_answers_as_in_service(make: Make) -> None:
    """A file that was saved while its module was trained is asked in eval mode."""
    assert (make("Training", [("x",)], [("Y",)])({"x": ONE})["Y"] == ONE).all()
    assert (make("Forks", [("x",)], [("Y",)])({"x": ONE})["Y"] == -ONE).all()
