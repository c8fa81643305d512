"""What a test hands to the report."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.errors import Findings, SubjectFault
from pytest_triton.evidence import Evidence
from pytest_triton.probe.types import MalformedAnswer


def test_cases_collect_every_finding() -> None:
    evidence = Evidence("X", None)
    for name in ("a", "b", "c"):
        with evidence.case(name):
            assert name == "b", f"{name} is wrong"
    with evidence.case("d"):
        raise MalformedAnswer("no JSON")
    assert evidence.model == "a"
    assert evidence.found
    with pytest.raises(Findings) as found:
        evidence.close()
    assert str(found.value) == "a: a is wrong\nc: c is wrong\nd: no JSON"


def test_holes_are_told_unless_something_is_found() -> None:
    evidence = Evidence("X", None)
    with evidence.case("a"):
        raise NotAssessed(Reason.NO_INPUTS, "no idea")
    with evidence.case("b"):
        raise NotAssessed(Reason.BLOCKED, "down")
    with pytest.raises(NotAssessed) as hole:
        evidence.close()
    assert hole.value.code is Reason.NO_INPUTS
    assert hole.value.reason == "a: no idea\nb: down"
    with evidence.case("c"):
        raise SubjectFault("wrong")
    with pytest.raises(Findings, match=r"^c: wrong$"):
        evidence.close()


@pytest.mark.parametrize("error", [KeyError("k"), TypeError("t"), RuntimeError("r")])
def test_what_is_our_own_fault_passes_through(error: Exception) -> None:
    evidence = Evidence("X", None)
    with pytest.raises(type(error)), evidence.case("a"):
        raise error
    assert not evidence.found
    evidence.close()


def test_a_finding_without_words_has_a_name() -> None:
    evidence = Evidence("X", None)
    with evidence.case("a"):
        raise AssertionError
    with pytest.raises(Findings, match=r"^a: AssertionError$"):
        evidence.close()


@pytest.mark.parametrize(
    "name", ["a b.json", "../../etc/passwd", "ümlaut.json", "", "...", "x" * 300 + ".json", "a/b", "\ud800"]
)  # fmt: skip
def test_any_name_is_a_file_inside(tmp_path: Path, name: str) -> None:
    evidence = Evidence("X-01", tmp_path)
    path = evidence.attach(name, {"a": float("inf"), 3: Path("p")})
    assert path is not None
    target = tmp_path / path
    assert target.resolve().parent == (tmp_path / "evidence" / "X-01").resolve()
    assert json.loads(target.read_text())["3"] == "p"
    assert evidence.files == [
        {"path": path, "sha256": hashlib.sha256(target.read_bytes()).hexdigest()}
    ]


def test_two_names_never_share_a_file(tmp_path: Path) -> None:
    evidence = Evidence("X", tmp_path)
    names = ["a/b", "a:b", "a_b", "x" * 200 + "1", "x" * 200 + "2"]
    assert len({evidence.attach(name, "t") for name in names}) == len(names)
    evidence.attach("a_b", b"again")  # the same name is the same file
    assert len(evidence.files) == len(names)


def test_numbers_with_their_samples(tmp_path: Path) -> None:
    evidence = Evidence("X", tmp_path)
    evidence.measure("p50", 2, "ms", interval=(1, 3), budget=5, margin=3, samples=[1.0, 2.0])
    (told,) = evidence.measurements
    assert told["samples"] == "evidence/X/p50.samples.json"
    assert told["value"] == 2.0
    assert told["interval"] == [1, 3]
    silent = Evidence("X", None)
    silent.measure("p50", 2, "ms", samples=[1.0])
    assert silent.files == []
    assert "samples" not in silent.measurements[0]


def test_places_are_told_once() -> None:
    evidence = Evidence("X", None)
    for _ in range(2):
        evidence.locate("m/config.pbtxt")
    assert evidence.locations == [{"file": "m/config.pbtxt", "line": 0}]
