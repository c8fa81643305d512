"""``pytest-triton diff`` on reports as runs write them."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pytest_triton.cli import cli
from pytest_triton.criteria import Status


def latencies(seed: int, slower: float = 1.0) -> list[float]:
    rng = random.Random(seed)
    return [slower * (10 + rng.gauss(0, 1)) for _ in range(1000)]


@pytest.fixture
def reports(make: Any, tmp_path: Path) -> Any:
    """Writes a report with latencies (a seed, how much slower) and returns its directory."""

    def write(name: str, seed: int = 1, slower: float = 1.0, broken: str = "", **more: Any) -> Path:
        made = make()
        made.directory = tmp_path / name
        made.pass_all()
        evidence = made.evidence("LAT-01")
        evidence.latency(latencies(seed, slower))
        made.replace("LAT-01", evidence=evidence, model="mlp")
        if broken:
            made.replace(broken, Status.FAIL, "it answers 500")
        made.report(**more)
        return made.directory

    return write


def diff(*words: object) -> Result:
    return CliRunner().invoke(cli, ["diff", *map(str, words)])


def test_a_report_and_itself(reports: Any) -> None:
    one = reports("a")
    ran = diff(one, one / "report.json")
    assert ran.exit_code == 0, ran.output
    assert " no difference\n" in ran.output


def test_another_run_of_the_same(reports: Any) -> None:
    ran = diff(reports("a"), reports("b", seed=2))
    assert ran.exit_code == 0, ran.output
    assert " no difference\n" in ran.output
    assert "no difference shown LAT-01  p50: " in ran.output


def test_a_slower_one(reports: Any, tmp_path: Path) -> None:
    target = tmp_path / "d.json"
    ran = diff(reports("a"), reports("b", seed=2, slower=1.25), "--json", target)
    assert ran.exit_code == 1, ran.output
    assert "worse               LAT-01  p50: 9.99 ms, now 12.5 ms (×1.25 [" in ran.output
    found = json.loads(target.read_text("utf-8"))
    assert found["verdict"] == "worse"
    number = next(number for number in found["numbers"] if number["name"] == "p50")
    low, high = number["interval"]
    assert low < 1.25 < high
    ran = diff(tmp_path / "b", tmp_path / "a")
    assert ran.exit_code == 0, ran.output
    assert " better; nothing is worse\n" in ran.output


def test_report_json_alone_is_enough_to_find_it(reports: Any, tmp_path: Path) -> None:
    one, two = reports("a"), reports("b", seed=2, slower=1.5)
    for directory in (one, two):
        shutil.rmtree(directory / "evidence")
    ran = diff(one, two)
    assert ran.exit_code == 1, ran.output
    assert "lower is better – intervals" in ran.output


def test_samples_that_were_changed_are_not_taken(reports: Any) -> None:
    one, two = reports("a"), reports("b", seed=2, slower=1.5)
    (file,) = (two / "evidence" / "LAT-01").iterdir()
    shutil.copy(one / "evidence" / "LAT-01" / file.name, file)
    ran = diff(one, two)
    assert ran.exit_code == 1, "what the report itself says still counts"
    assert "intervals" in ran.output


def test_a_clause_that_broke(reports: Any) -> None:
    ran = diff(reports("a"), reports("b", seed=2, broken="HLT-05"))
    assert ran.exit_code == 1, ran.output
    assert "HLT-05  pass → fail" in ran.output
    assert "it answers 500" in ran.output
    assert "worse: HLT-05: pass, now fail" in ran.output


def test_json_on_standard_output(reports: Any) -> None:
    one = reports("a")
    ran = diff(one, one, "--json", "-")
    assert ran.exit_code == 0
    assert json.loads(ran.output)["verdict"] == "no difference"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": "1.9"}, "version 1.9 of the schema"),
        ({"schema_version": "2.0"}, "use the pytest-triton that wrote it, or a later one"),
        ({"complete": False, "verdict": {}}, "is a required property"),
        ({"clauses": 3}, "is not of type 'array'"),
    ],
)
def test_what_is_no_report_that_can_be_read(reports: Any, change: Any, words: str) -> None:
    one = reports("a")
    file = one / "report.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | change), "utf-8")
    for sides in ((one, reports("b")), (reports("c"), one)):
        ran = diff(*sides)
        assert ran.exit_code == 2, ran.output
        assert words in ran.output


def test_an_incomplete_report(reports: Any) -> None:
    ran = diff(reports("a"), reports("b", complete=False))
    assert ran.exit_code == 2, ran.output
    assert "the run did not end" in ran.output
    assert diff("/nowhere/report.json", reports("c")).exit_code == 2


def test_a_report_of_the_first_schema_is_read(reports: Any) -> None:
    one = reports("a")
    file = one / "report.json"
    old = json.loads(file.read_text("utf-8"))
    old["schema_version"] = "1.0"
    for clause in old["clauses"]:
        clause["measurements"] = [
            {key: entry[key] for key in ("name", "unit", "value")}
            for entry in clause["measurements"]
        ]
    file.write_text(json.dumps(old), "utf-8")
    ran = diff(one, reports("b", seed=2))
    assert ran.exit_code == 0, ran.output
    assert "cannot tell         LAT-01  p50" in ran.output


def test_hostile_names_do_nothing_to_the_terminal(reports: Any) -> None:
    one, two = reports("a"), reports("b", seed=2, slower=2)
    for directory in (one, two):
        file = directory / "report.json"
        report = json.loads(file.read_text("utf-8"))
        for clause in report["clauses"]:
            clause["model"] = "\x1b[31m\u202eevil\x07"
        file.write_text(json.dumps(report), "utf-8")
    ran = diff(one, two)
    assert ran.exit_code == 1
    assert not {"\x1b", "\x07", "\u202e"} & set(ran.output)
