"""A suite that stands in for ours: one test for each built clause, which does as it is told.

``behaviour.json`` beside it maps clause ids to what their test does; all others pass. It is
copied into a directory of its own, one file for each area.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_triton.criteria import Inconclusive, Manual, Missing, NotAssessed, Reason, load
from pytest_triton.errors import SubjectFault

HERE = Path(__file__)
AREA = HERE.stem.removeprefix("test_")
BEHAVIOUR = json.loads(HERE.with_name("behaviour.json").read_text())


def params() -> list[object]:
    return [
        pytest.param(clause.id, id=clause.id, marks=pytest.mark.clause(clause.id))
        for clause in load().clauses.values()
        if clause.built and clause.area == AREA
    ]


def act(what: str) -> None:
    """Do what is told, as far as it is this phase's part."""
    if what == "fail":
        raise AssertionError("it answers 500")
    if what == "error":
        raise RuntimeError("our own mistake")
    if what == "fault":
        raise SubjectFault("the server hung up")
    if what == "skip":
        pytest.skip("not today")
    if what == "xfail":
        pytest.xfail("known")
    if what == "blocked":
        raise NotAssessed(Reason.BLOCKED, "there is no server")
    if what == "inapplicable":
        raise NotAssessed(Reason.NOT_APPLICABLE, "does not apply")
    if what == "inconclusive":
        raise Inconclusive("too noisy")
    if what == "missing":
        raise Missing("nothing was handed in")
    if what == "manual":
        raise Manual("a person has to read it")
    if what == "interrupt":
        raise KeyboardInterrupt
    if what == "exit":
        pytest.exit("enough", returncode=0)


@pytest.fixture(autouse=True)
def phases(request: pytest.FixtureRequest):
    phase, _, what = BEHAVIOUR.get(request.node.callspec.params["clause"], "").partition(":")
    if phase == "setup":
        act(what)
    yield
    if phase == "teardown":
        act(what)


@pytest.mark.parametrize("clause", params())
def test_clause(clause: str) -> None:
    act(BEHAVIOUR.get(clause, ""))


# This is how the plugin knows a test of ours, wherever it is run from.
test_clause.__module__ = f"pytest_triton.suites.{HERE.stem}"
