"""Servers that answer nonsense: a clause fails or is blocked, and the judge never crashes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_triton import FakeTriton, fake_triton
from hostile import GONE, NONSENSE, parts, spoiled
from in_process import functions, judge

from pytest_triton import clocked, counting, tallying
from pytest_triton.criteria.catalogue import load
from pytest_triton.deployment import Deployment
from pytest_triton.settings import Settings

#: Nonsense tried for each kind of answer; TRIED * 7 kinds take some 20 s.
TRIED = 12
KINDS = ("server", "index", "config", "metadata", "statistics", "json", "binary")
#: They load the server for seconds, and say nothing that others do not.
MEASURED = {clause.id for clause in load().clauses.values() if clause.measured}


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeTriton]:
    with fake_triton() as fake:
        yield fake


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for a lie to become the truth is for real servers."""
    from pytest_triton.suites import test_metrics, test_statistics

    monkeypatch.setattr(counting, "SETTLE", 0.05)
    monkeypatch.setattr(counting, "QUIET", 0.01)
    monkeypatch.setattr(tallying, "PATIENCE", 0.05)
    monkeypatch.setattr(clocked, "PATIENCE", 0.05)
    monkeypatch.setattr(test_statistics, "CHANGING", 0.05)
    patient = test_metrics.wait_until
    monkeypatch.setattr(
        test_metrics, "wait_until", lambda check, timeout: patient(check, timeout=0.1)
    )


def _judged(fake: FakeTriton) -> dict[str, tuple[str, str]]:
    deployment = Deployment("endpoint", fake.url, metrics_url=fake.metrics_url)
    clauses = [name for name in functions() if name not in MEASURED]
    return judge(deployment, Settings(url=fake.url, allow_load=4), clauses)


@pytest.fixture(scope="module")
def documents(fake: FakeTriton) -> dict[str, dict[str, Any]]:
    """kind -> path -> what a healthy server answers; and a healthy server fails nothing."""
    found: dict[str, dict[str, Any]] = {}

    def remember(kind: str, path: str, document: Any) -> Any:
        found.setdefault(kind, {}).setdefault(path, document)
        return document

    fake.edit = remember
    told = _judged(fake)
    wrong = {name: why for name, (status, why) in told.items() if status in ("fail", "error")}
    assert not wrong
    assert sum(status == "pass" for status, _ in told.values()) > 35
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_nonsense_never_crashes_the_judge(
    fake: FakeTriton, documents: dict[str, dict[str, Any]], kind: str
) -> None:
    tries = [
        (where, part, value)
        for where, document in documents[kind].items()
        for part in parts(document)
        for value in (*NONSENSE, GONE)
    ]
    for where, part, value in random.Random(kind).sample(tries, TRIED):
        fake.edit = lambda k, path, document, where=where, part=part, value=value: (
            spoiled(document, part, value) if k == kind and path == where else document
        )
        told = _judged(fake)
        crashed = {name: why for name, (status, why) in told.items() if status == "error"}
        assert not crashed, f"{where} with {value!r} at {part}"


@pytest.mark.parametrize(
    ("page", "clauses"),
    [
        (lambda text: "", {"MTR-01", "MTR-02", "SET-03"}),
        (lambda text: text.replace(" 0\n", " Nan\n"), {"MTR-01", "MTR-05"}),
        (lambda text: text.replace(" 0\n", " 1e999\n"), {"MTR-05"}),
        (lambda text: text.replace(" 0\n", " x\n"), {"MTR-01", "MTR-02", "MTR-05"}),
        (lambda text: text.replace('"scale"', '"sca"le"'), {"MTR-01", "MTR-04"}),
        (lambda text: text[: len(text) // 2], {"MTR-02"}),
        (lambda text: "\x00\x01{}" * 9, {"MTR-01", "MTR-02"}),
    ],
)
def test_metrics_of_nonsense(
    fake: FakeTriton, documents: dict[str, Any], page: Callable[[str], str], clauses: set[str]
) -> None:
    fake.edit, fake.page = (lambda kind, path, document: document), page
    try:
        told = _judged(fake)
    finally:
        fake.page = lambda text: text
    assert [name for name, (status, _) in told.items() if status == "error"] == []
    assert {name for name, (status, _) in told.items() if status == "fail"} >= clauses
    assert told["STA-02"] == ("pass", "")


@pytest.mark.parametrize(
    ("kind", "path", "part", "value", "clause"),
    [
        ("json", "/v2/models/scale/infer", ("outputs", 0, "data", 1), "5", "INF-01"),
        ("json", "/v2/models/scale/infer", ("outputs", 0, "data", 1), True, "INF-02"),
        ("json", "/v2/models/scale/infer", ("model_name",), "x", "INF-01"),
        ("binary", "/v2/models/scale/infer", ("model_name",), "x", "BIN-02"),
        ("binary", "/v2/models/scale/versions/1/infer", ("outputs", 0, "name"), "x", "VER-02"),
        ("config", "/v2/models/scale/config", ("max_batch_size",), "4", "CFG-01"),
        ("config", "/v2/models/echo/config", ("instance_group", 0, "kind"), "x", "CFG-01"),
        ("metadata", "/v2/models/echo", ("inputs", 0, "shape", 0), "2", "MET-04"),
        ("metadata", "/v2/models/echo", ("platform",), 7, "MET-03"),
        ("statistics", "/v2/models/stats", ("model_stats",), [], "MTR-05"),
        (
            "statistics",
            "/v2/models/scale/stats",
            ("model_stats", 1, "inference_count"),
            "5",
            "STA-02",
        ),
        ("index", "/v2/repository/index", (0, "version"), [1], "REP-01"),
        ("server", "/v2", ("extensions", 0), 5, "MET-02"),
    ],
)
def test_what_the_judge_must_see(
    fake: FakeTriton,
    documents: dict[str, Any],
    kind: str,
    path: str,
    part: Any,
    value: Any,
    clause: str,
) -> None:
    fake.edit = lambda k, p, document: (
        spoiled(document, part, value) if (k, p) == (kind, path) else document
    )
    status, why = _judged(fake)[clause]
    assert status == "fail", why


def test_a_whole_run_on_nonsense(fake: FakeTriton, tmp_path: Path) -> None:
    """Through pytest itself: a report, exit status 1, and no error."""
    everything = (None, "x", [[1]], {"a": None}, float("nan"), 10**30)

    def edit(kind: str, path: str, document: Any) -> Any:
        return everything[len(path) % len(everything)] if kind != "index" else document

    fake.edit = edit
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs",
        "pytest_triton.suites", "--triton-url", fake.url, "--triton-metrics-url", fake.metrics_url,
        "--triton-report", str(tmp_path / "out"),
    ]  # fmt: skip
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert made.returncode == 1, made.stdout[-3000:]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    errors = [entry for entry in report["clauses"] if entry["status"] == "error"]
    assert errors == []
    assert report["complete"]
