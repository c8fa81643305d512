"""Through pytest itself: which clauses leave a transcript, what is in it, and how it is shown."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_triton import FakeTriton, fake_triton

from pytest_triton.reports import render

TOKEN = "swordfish-7d1f3c9a"
CHOSEN = ("pytest_triton.suites.test_metadata", "pytest_triton.suites.test_protocol")


@pytest.fixture
def fake() -> Iterator[FakeTriton]:
    with fake_triton() as made:
        yield made


def judge(fake: FakeTriton, directory: Path, *more: str) -> dict[str, Any]:
    """The report of a run on the fake, and its page."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", *CHOSEN,
        "--triton-url", fake.url, "--triton-report", str(directory / "out"), "--triton-header",
        f"Authorization: Bearer {TOKEN}", "--triton-allow-load", "--triton-models", "scale", *more,
    ]  # fmt: skip
    (directory / "pytest.ini").write_text("[pytest]\n")
    made = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120)
    assert made.returncode == 1, made.stdout[-3000:]  # there is no gRPC here
    report: dict[str, Any] = json.loads((directory / "out" / "report.json").read_text())
    return report


def transcripts(report: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Clause -> name of the file -> its SHA-256."""
    return {
        clause["id"]: {
            Path(entry["path"]).name: entry["sha256"]
            for entry in clause["evidence"]
            if "transcript" in entry["path"]
        }
        for clause in report["clauses"]
    }


def wrong_outputs(kind: str, path: str, document: Any) -> Any:
    if kind == "json" and path.endswith("/infer"):
        document["outputs"][0]["shape"] = [7]
    return document


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failing_clause_keeps_what_was_said(
    fake: FakeTriton, tmp_path: Path, workers: int
) -> None:
    if workers:
        pytest.importorskip("xdist")
    fake.edit = wrong_outputs
    report = judge(fake, tmp_path, "-n", str(workers)) if workers else judge(fake, tmp_path)
    failed = {clause["id"] for clause in report["clauses"] if clause["status"] == "fail"}
    assert "INF-01" in failed
    kept = {name: files for name, files in transcripts(report).items() if files}
    assert set(kept) == failed
    assert set(kept["INF-01"]) == {"transcript.json", "transcript.txt"}

    directory = tmp_path / "out" / "evidence" / "INF-01"
    for name, sha256 in kept["INF-01"].items():
        assert hashlib.sha256((directory / name).read_bytes()).hexdigest() == sha256
    entries = json.loads((directory / "transcript.json").read_text())
    (marked,) = [entry for entry in entries if entry["marked"]]
    assert marked["case"] == "scale"
    assert marked["url"] == f"{fake.url}/v2/models/scale/infer"
    assert json.loads(marked["request"]["body"]["text"])["inputs"][0]["name"] == "IN"
    assert json.loads(marked["response"]["body"]["text"])["outputs"][0]["shape"] == [7]
    # What an earlier clause had asked for is part of what this one knew.
    assert f"{fake.url}/v2/models/scale" in {e["url"] for e in entries if e["earlier"]}

    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    for made in (report, None):  # by pytest-html, and out of report.json alone
        page = tmp_path / "out" / "report.html"
        if made is None:
            page.write_text(render.page(report, tmp_path / "out"), "utf-8")
        text = html.unescape(page.read_text("utf-8"))
        assert f"<pre>{marked['curl']}</pre>" in text
    if shutil.which("curl"):
        ran = subprocess.run(
            ["sh", "-c", marked["curl"]], capture_output=True, text=True, timeout=20, check=True,
            env={"PATH": "/usr/bin:/bin", "AUTHORIZATION": f"Bearer {TOKEN}"},
        )  # fmt: skip
        answer = json.loads(ran.stdout.rpartition("\n\n")[2])
        assert answer == json.loads(marked["response"]["body"]["text"])


def test_nothing_is_written_where_nothing_fails(fake: FakeTriton, tmp_path: Path) -> None:
    report = judge(fake, tmp_path)
    assert {clause["status"] for clause in report["clauses"]} <= {"pass", "not_assessed"}
    assert not any(transcripts(report).values())
    assert not list((tmp_path / "out").rglob("transcript*"))


def test_all_keeps_every_clause(fake: FakeTriton, tmp_path: Path) -> None:
    report = judge(fake, tmp_path, "--triton-transcript", "all")
    kept = transcripts(report)
    for clause in report["clauses"]:
        if clause["status"] == "pass":
            assert {"transcript.json", "transcript.txt"} <= set(kept[clause["id"]]), clause["id"]
    path = tmp_path / "out" / "evidence" / "INF-01" / "transcript.json"
    bodies = [entry["response"]["body"] for entry in json.loads(path.read_text())]
    (binary,) = [body for body in bodies if "base64" in body]
    assert len(base64.b64decode(binary["base64"])) == binary["size"]
    assert json.loads(binary["json"])["model_name"] == "scale"
