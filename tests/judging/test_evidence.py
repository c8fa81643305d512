"""What a test hands to the report."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from pytest_triton.charted import INLINE_OF_TEST
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.errors import Findings, SubjectFault
from pytest_triton.evidence import Evidence
from pytest_triton.probe.types import MalformedAnswer
from pytest_triton.series import read


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
    assert told["samples"] == [1.0, 2.0]
    assert told["value"] == 2.0
    assert told["interval"] == [1, 3]
    evidence.measure("p95", 9, "ms", samples=[float(i) for i in range(1000)], statistic="p95")
    long = evidence.measurements[1]
    assert (long["samples"], long["statistic"]) == ("evidence/X/p95.samples.json.gz", "p95")
    kept = gzip.decompress((tmp_path / long["samples"]).read_bytes())
    assert json.loads(kept) == list(range(1000))
    silent = Evidence("X", None)
    silent.measure("p50", 2, "ms", samples=[1.0] * 1000)
    assert silent.files == []
    assert "samples" not in silent.measurements[0]


def test_one_test_carries_a_bounded_number_of_values(tmp_path: Path) -> None:
    evidence = Evidence("X", tmp_path)
    for turn in range(20):
        evidence.series(f"s{turn}", "ms", x=range(100), y=range(100), x_name="turn")
    kept = [entry["samples"] for entry in evidence.measurements]
    assert sum(isinstance(samples, dict) for samples in kept) == INLINE_OF_TEST // 200
    assert {entry["path"] for entry in evidence.files} == {s for s in kept if isinstance(s, str)}
    with pytest.raises(ValueError, match="every row"):
        evidence.series("odd", "ms", x=[1, 2], y=[1])


def test_latency_is_three_numbers_of_the_same_samples_in_order_of_time(tmp_path: Path) -> None:
    evidence = Evidence("X", tmp_path)
    count = 400
    ended = [float(count - at) for at in range(count)]
    evidence.latency([1.0 + at for at in range(count)], ended_s=ended, budgets={"p95": 300})
    p50, p95, p99, windows = evidence.measurements
    assert (p50["value"], p95["value"], p99["value"]) == (200, 380, 396)
    assert (p95["budget"], p95["margin"]) == (300, -80)
    assert p50["interval"][0] < 200 < p50["interval"][1]
    assert "interval" not in p99, "four samples beyond p99 tell nothing of it"
    assert p50["samples"] == p95["samples"] == p99["samples"]
    series = read(p50["samples"], tmp_path, evidence.files)
    assert series.y == tuple(float(count - at) for at in range(count))
    assert windows["samples"]["kind"] == "times"
    assert windows["samples"]["x"] == [40.0 * (at + 1) for at in range(10)]


def test_places_are_told_once() -> None:
    evidence = Evidence("X", None)
    for _ in range(2):
        evidence.locate("m/config.pbtxt")
    assert evidence.locations == [{"file": "m/config.pbtxt", "line": 0}]
