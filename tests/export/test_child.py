"""A model in a process of its own that ends, hangs, talks nonsense or refuses."""

from __future__ import annotations

import sys

import psutil
import pytest

from pytest_triton.errors import ToolError
from pytest_triton.export.child import Child

_ANSWERS = """
from pytest_triton.errors import ToolError
from pytest_triton.export.child import answer_with
def handle(order, inputs):
    print("noise of a library")
    if order["do"] == "load":
        return {"torch": "2"}, {}
    if order["do"] == "refuse":
        raise ToolError("no such thing", "ask another")
    if order["do"] == "raise":
        raise RuntimeError("out of memory")
    return {}, {"twice": 2 * inputs["x"]}
answer_with(handle)
"""


def _child(code: str, *, loading: float = 30.0) -> Child:
    return Child((sys.executable, "-c", code), {}, loading=loading, name="the model", late="wait")


def test_it_answers_and_ends_with_its_owner() -> None:
    import numpy as np

    with _child(_ANSWERS) as child:
        assert child.told == {"torch": "2"}
        assert child.ask({"do": "x"}, {"x": np.array([1, 2])}, 10)[1]["twice"].tolist() == [2, 4]
        pid = child.pid
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("refuse", "the model: no such thing\n.*ask another"),
        ("raise", "the model: RuntimeError: out of memory\n.*memory that is left"),
    ],
)
def test_what_it_refuses_is_told_and_it_goes_on(order: str, said: str) -> None:
    with _child(_ANSWERS) as child:
        for _ in range(2):
            with pytest.raises(ToolError, match=said):
                child.ask({"do": order}, {}, 10)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit('no memory left')", "(?s)the model ended.*no memory left"),
        ("import os; os.abort()", "the process of the model ended"),
        ("print('not a frame, and long enough to be taken for one', flush=True); input()",
         "the process of the model ended"),
    ],
)  # fmt: skip
def test_one_that_ends_or_talks_nonsense(code: str, said: str) -> None:
    with pytest.raises(ToolError, match=said), _child(code):
        pass


def test_one_that_hangs_is_ended() -> None:
    child = _child("import time; time.sleep(600)", loading=1.0)
    with pytest.raises(ToolError, match=r"the model did not answer within 1 s(?s:.*)wait"):
        child.__enter__()
    assert child._process is None
