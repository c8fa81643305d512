"""report.json against its public schema: what is written is valid, what is wrong is not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_triton.criteria import Reason, Status
from pytest_triton.reports import render

SCHEMA = json.loads(render.SCHEMA.read_text("utf-8"))


def errors(report: Any) -> list[str]:
    found = jsonschema.Draft202012Validator(SCHEMA).iter_errors(report)
    return [f"{error.json_path}: {error.message}" for error in found]


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_rich_report_is_valid(rich: Any) -> None:
    report = rich.report()
    assert errors(report) == []
    assert render.read(rich.directory) == json.loads(json.dumps(report))


def test_all_statuses_are_known() -> None:
    assert SCHEMA["$defs"]["status"]["enum"] == [status.value for status in Status]
    then = SCHEMA["$defs"]["clause"]["allOf"][0]["then"]
    assert then["properties"]["reason_code"]["enum"] == [code.value for code in Reason]


def test_an_incomplete_report_is_valid_and_awards_nothing(made: Any) -> None:
    made.pass_all()
    report = made.report(complete=False)
    assert errors(report) == []
    assert report["verdict"]["level"] == "none"
    assert report["verdict"]["exit_status"] == 1
    report["verdict"]["level"] = "basic"
    assert errors(report)


def test_nothing_at_all_is_valid(made: Any) -> None:
    made.card.subject = {}
    made.card.collected = set()
    assert errors(made.report()) == []


def _clause(report: dict[str, Any], status: str) -> dict[str, Any]:
    return next(clause for clause in report["clauses"] if clause["status"] == status)


def _criterion(report: dict[str, Any], status: str) -> dict[str, Any]:
    return next(item for item in report["criteria"] if item["status"] == status)


WRONG: dict[str, Callable[[dict[str, Any]], Any]] = {
    "an unknown status": lambda r: r["clauses"][0].update(status="passed"),
    "an unknown status of a criterion": lambda r: r["criteria"][0].update(status="ok"),
    "a pass that nothing ran": lambda r: _clause(r, "pass").update(nodeids=[]),
    "a pass with a reason code": lambda r: _clause(r, "pass").update(reason_code="blocked"),
    "not assessed without a code": lambda r: _clause(r, "not_assessed").update(reason_code=None),
    "an unknown reason code": lambda r: _clause(r, "not_assessed").update(reason_code="lazy"),
    "a failure without a reason": lambda r: _clause(r, "fail").update(reason=""),
    "points for a failure": lambda r: _criterion(r, "fail").update(points=7.5),
    "a passing criterion of no clause": lambda r: _criterion(r, "pass").update(clauses=[]),
    "exit status 0 with reasons": lambda r: r["verdict"].update(exit_status=0),
    "exit status 1 without one": lambda r: r["verdict"].update(reasons=[]),
    "an unknown level": lambda r: r["verdict"].update(level="master"),
    "a clause more": lambda r: r["clauses"][0].update(verdict="pass"),
    "a path that leads out": lambda r: r["clauses"][0]["evidence"].append(
        {"path": "../secret", "sha256": "0" * 64}
    ),
    "an absolute path": lambda r: r["clauses"][0]["evidence"].append(
        {"path": "/etc/passwd", "sha256": "0" * 64}
    ),
    "a URL as a path": lambda r: r["clauses"][0]["evidence"].append(
        {"path": "javascript:alert(1)", "sha256": "0" * 64}
    ),
    "a measurement without a unit": lambda r: r["clauses"][0]["measurements"].append(
        {"name": "x", "value": 1}
    ),
    "no clauses": lambda r: r.update(clauses=[]),
    "another version": lambda r: r.update(schema_version="2.0"),
    "no seed": lambda r: r["run"].pop("seed"),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_schema_notices(rich: Any, name: str) -> None:
    report = copy.deepcopy(rich.report())
    WRONG[name](report)
    assert errors(report), f"the schema lets {name} through"


def test_numbers_that_are_none_are_null(made: Any) -> None:
    evidence = made.evidence("LAT-01")
    evidence.measurements.append(
        {"name": "p95", "unit": "ms", "value": float("nan"), "interval": [0.0, float("inf")]}
    )
    made.pass_all()
    made.replace("LAT-01", evidence=evidence)
    report = made.report()
    assert errors(report) == []
    (measured,) = next(c for c in report["clauses"] if c["id"] == "LAT-01")["measurements"]
    assert measured == {"name": "p95", "unit": "ms", "value": None}


def test_header_values_stay_out(made: Any) -> None:
    report = made.report(
        command=[
            "pytest",
            "--triton-header",
            "Authorization: Bearer s3cret",
            "--triton-header=X: s3cret",
        ]
    )
    assert "s3cret" not in json.dumps(report)
    assert "Authorization: ***" in report["run"]["command"]


def test_passwords_in_urls_stay_out(make: Any) -> None:
    url = "https://me:s3cret@triton.example:8000/base"
    run = make(url=url)
    run.card.subject = {"subject": {"kind": "endpoint", "urls": {"http": url, "grpc": None}}}
    report = run.report(command=["pytest", f"--triton-url={url}"])
    assert "s3cret" not in json.dumps(report)
    assert report["subject"]["urls"]["http"] == "https://***@triton.example:8000/base"


def test_lone_surrogates_are_written(made: Any) -> None:
    made.pass_all()
    made.replace("SET-02", Status.FAIL, "model \ud800 \x00 \x1b[31m")
    made.report()
    report = json.loads((made.directory / "report.json").read_text("utf-8"))
    reason = next(c for c in report["clauses"] if c["id"] == "SET-02")["reason"]
    assert reason == "model \ud800 \x00 \x1b[31m"


def test_reading_says_what_is_wrong(tmp_path: Path, rich: Any) -> None:
    with pytest.raises(render.BadReport, match=r"report\.json: No such file"):
        render.read(tmp_path)
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(render.BadReport, match="no JSON"):
        render.read(tmp_path / "a.json")
    report = rich.report()
    report["verdict"]["level"] = "master"
    (tmp_path / "a.json").write_text(json.dumps(report))
    with pytest.raises(render.BadReport, match=r"\$\.verdict\.level"):
        render.read(tmp_path / "a.json")
