"""The score card on the terminal, and the words that it shares with the page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from pytest_triton.criteria import CatalogueError, Reason, Status, load
from pytest_triton.criteria.shows import measured, number, quantity
from pytest_triton.reports import card, text


def lines(report: dict[str, Any], width: int = 140) -> list[str]:
    return ["".join(piece for piece, _ in line) for line in card.card(report, width)]


def test_it_reads_like_a_card(rich: Any) -> None:
    report = rich.report()
    told = lines(report)
    statuses = [entry["status"] for entry in report["clauses"]]
    passed, left = statuses.count("pass"), statuses.count("not_assessed")
    assert told[0].split() == [
        *["basic", "B1", "Triton", "installed", "and", "started", "✓", "pass", "15/15"],
        *[
            "ready",
            "in",
            "3.62",
            "s,",
            "HTTP,",
            "gRPC",
            "and",
            "metrics",
            "answer,",
            "clean",
            "log",
        ],
    ]
    assert any(
        re.match(r" advanced +A1 .*\? inconclusive +0/7\.5 +BAT-04: foreign", x) for x in told
    )
    whole = "\n".join(told)
    for word in (
        " ✗ model versioned did not load",
        " ✗ MTR-09 failing requests are counted exactly (A2)",
        "     look at    model_repository/mlp/config.pbtxt:12",
        "     run alone  pytest --pyargs pytest_triton.suites.test_metrics::test_mtr_09 "
        "--triton-seed 362571475",
        "booting 3.2 s",
        "batching 40.0 s",
        f"{passed} pass, {left} not assessed, 1 inconclusive, 1 fail, 1 error",
        f"level none · {report['verdict']['points']:g} of 100 points · 1 min 22 s · Triton 2.51.0 "
        "(24.10), embedded, CPU",
        "exit status 1: criterion B3 not assessed; ",
    ):
        assert word in whole, word


def test_narrow_terminals_get_two_lines(rich: Any) -> None:
    told = lines(rich.report(), 80)
    assert told[1].strip().startswith("ready in 3.62 s")
    assert max(len(line) for line in told[:24]) <= 81


def test_a_good_run_has_no_trouble(make: Callable[..., Any]) -> None:
    run = make(tier="basic")
    run.pass_all()
    run.card.subject = {**run.card.subject, "subject": {"kind": "reference"}}
    told = lines(run.report())
    assert not any("✗" in line or "exit status" in line for line in told)
    assert any(line.startswith(" level expert") for line in told)


def test_scope_and_interruption(make: Callable[..., Any]) -> None:
    run = make(scope=("config",))
    run.pass_all()
    assert any("scope config passes; no level" in line for line in lines(run.report()))
    run = make()
    assert any("incomplete: no verdict" in line for line in lines(run.report(complete=False)))


def test_many_failures_stay_readable(made: Any) -> None:
    for clause in made.card.catalogue.clauses.values():
        if clause.built:
            made.say(clause.id, Status.FAIL, "broken\n" * 50)
    told = lines(made.report())
    assert len(told) < 170
    assert any(line.startswith(" and ") for line in told)
    assert any("clauses fail" in line for line in told)


def test_nothing_on_the_terminal_acts(made: Any) -> None:
    made.pass_all()
    made.replace("SET-02", Status.FAIL, "\x1b[2J\x1b]0;x\x07\x00\u202e" + "y" * 1_000_000)
    whole = "\n".join(lines(made.report(notes=["\x1b[31m\x07"])))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", whole)
    assert len(whole) < 20_000


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (3.62, "3.62"), (3.0, "3"), (4.8e-7, "4.8e-7"), (21.57, "21.6"), (0.42, "0.42"),
        (2960, "2\u202f960"), (-0.5, "-0.5"), (0, "0"), (99.97, "100"), (float("nan"), "no data"),
    ],
)  # fmt: skip
def test_numbers(value: float, told: str) -> None:
    assert number(value) == told


def test_quantities() -> None:
    assert quantity(3.6, "s") == "3.6 s"
    assert quantity(4.1, "×") == "4.1×"
    assert measured({"value": 4.1, "unit": "×", "interval": [3.8, 4.4]}) == "4.1× [3.8, 4.4]"
    assert measured({"value": None, "unit": "ms"}) == "no data"


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0831, "83 ms"), (0.00001, "< 1 ms"), (0, "0 ms"), (3.61, "3.6 s"), (59.96, "1 min 0 s"),
     (82.4, "1 min 22 s"), (7500, "2 h 5 min")],
)  # fmt: skip
def test_seconds(value: float, told: str) -> None:
    assert text.seconds(value) == told


def _summary(run: Any, criterion: str) -> str:
    report = run.report()
    return str(next(item for item in report["criteria"] if item["id"] == criterion)["summary"])


def test_a_summary_claims_only_what_was_seen(made: Any) -> None:
    made.pass_all()
    assert _summary(made, "B1") == "HTTP, gRPC and metrics answer, clean log"
    made.replace("SET-04", Status.FAIL, "an error line")
    assert "clean log" not in _summary(made, "B1")
    made.replace("SET-03", Status.NOT_ASSESSED, "no endpoint", Reason.NO_ENDPOINT)
    assert "metrics answer" not in _summary(made, "B1")
    made.replace("SET-04", Status.WAIVED, "waived")
    assert "clean log" not in _summary(made, "B1")


def test_a_summary_counts_and_takes_the_worst(made: Any) -> None:
    made.pass_all()
    accuracy = made.evidence("ACC-01")
    for error in (1e-7, 3e-6):
        accuracy.measure("max error", error, "")
    made.replace("ACC-01", evidence=accuracy)
    assert "max error 3.0e-6" in _summary(made, "B2")
    assert re.search(r"\d+ kinds of bad request refused", _summary(made, "B3"))


def test_shows_are_checked_when_the_catalogue_is_read() -> None:
    entry = {"id": "T1", "tier": "basic", "title": "t", "points": 1, "shows": ["no clause"]}
    with pytest.raises(CatalogueError, match="T1: shows"):
        load().add({"criterion": [entry]}, origin="team.toml")


def test_where_the_time_went_adds_up(rich: Any) -> None:
    report = rich.report()
    parts = text.where_time_went(report)
    assert sum(spent for _, spent in parts) == pytest.approx(82.4)
    assert dict(parts)["booting"] == 3.2


def test_run_alone_names_the_subject(make: Callable[..., Any]) -> None:
    run = make(url="http://h:8000", device="cpu")
    run.pass_all()
    report = run.report()
    clause = next(clause for clause in report["clauses"] if clause["id"] == "SET-02")
    told = text.alone(report, clause)
    assert told.startswith("pytest --pyargs pytest_triton.suites.test_setup::test_set_02 ")
    assert "--triton-url http://h:8000" in told
    assert "--triton-device cpu" in told
    report["run"]["command"] = ["pytest", "tests"]
    assert text.alone(report, clause).startswith("pytest suites/test_setup.py::test_set_02 ")


def test_what_failed_can_be_repeated(made: Any) -> None:
    kept = made.evidence("BAT-02")
    for name in ("a", "b", "c", "d"):
        kept.attach(f"{name}.json", [])
    for name in ("transcript.json", "transcript.txt"):
        kept.attach(name, "[]")
    made.replace("BAT-02", Status.FAIL, "broken", evidence=kept)
    told = "\n".join(lines(made.report()))
    assert "     repeat     evidence/BAT-02/transcript.txt\n" in told
    assert told.count("     evidence   ") == 3
    assert "transcript.json" not in told
