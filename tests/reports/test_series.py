"""Samples as they are kept: in report.json or packed beside it, and never believed blindly."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pytest_triton import series
from pytest_triton.reports import render
from pytest_triton.series import Line, NoSamples, Series, packed, read


def test_a_list_and_a_series_in_the_report_itself(tmp_path: Path) -> None:
    assert read([1, 2.5, None], tmp_path, []) == Series((1.0, 2.5), lost=1)
    made = read(
        {"kind": "curve", "x": [1, 2, 4], "y": [9, None, 7], "x_name": "concurrency",
         "more": [{"name": "p95", "unit": "ms", "y": [1, 2, 3]}]},
        tmp_path, [],
    )  # fmt: skip
    assert made == Series(
        (9, 7), "curve", (1, 4), x_name="concurrency", more=(Line("p95", "ms", (1, 3)),), lost=1
    )
    assert read({"kind": "stages", "x": ["a", "b"], "y": [1, 2]}, tmp_path, []).labels == ("a", "b")


def test_a_packed_file(tmp_path: Path) -> None:
    data = packed([1.5, 2.0])
    assert data == packed([1.5, 2.0])
    (tmp_path / "s.json.gz").write_bytes(data)
    known = [{"path": "s.json.gz", "sha256": hashlib.sha256(data).hexdigest()}]
    assert read("s.json.gz", tmp_path, known).y == (1.5, 2.0)
    (tmp_path / "s.json.gz").write_bytes(packed([1.5, 3.0]))
    with pytest.raises(NoSamples, match="not the one"):
        read("s.json.gz", tmp_path, known)


def test_what_unpacks_to_too_much_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "MAX_BYTES", 100_000)
    (tmp_path / "s.json.gz").write_bytes(gzip.compress(b"[" + b"1," * 1_000_000 + b"1]"))
    with pytest.raises(NoSamples, match="unpacks to more"):
        read("s.json.gz", tmp_path, [])


@pytest.mark.parametrize(
    "content",
    [
        {"y": [1]},
        {"kind": "pie", "y": [1]},
        {"kind": "curve", "x": [1, 2], "y": [1]},
        {"kind": "curve", "x": [1], "y": ["1"]},
        {"kind": "curve", "x": [1], "y": [True]},
        {"kind": "curve", "x": [1, "a"], "y": [1, 2]},
        {"kind": "curve", "x": [1], "y": [1], "more": [{"name": "n", "unit": "", "y": []}]},
        {"kind": "curve", "x": [1], "y": [1], "more": [3]},
        {"kind": "curve", "x": 3, "y": [1]},
        {"kind": "curve"},
        3,
        [[1]],
        [10**400],
    ],
    ids=str,
)
def test_what_is_no_series(tmp_path: Path, content: Any) -> None:
    with pytest.raises(NoSamples):
        read(content, tmp_path, [])


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b", b"[1, 2]", packed([1])[:-9]], ids=repr)
def test_a_file_that_is_not_packed(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "s.json.gz").write_bytes(data)
    with pytest.raises(NoSamples):
        read("s.json.gz", tmp_path, [])


def test_numbers_that_are_none_are_null_in_the_report(made: Any) -> None:
    evidence = made.evidence("LAT-01")
    evidence.series("rate", "requests/s", x=[1, 2], y=[float("nan"), 4.0], x_name="concurrency")
    evidence.batches({})
    made.pass_all()
    made.replace("LAT-01", evidence=evidence)
    made.report()
    report = render.read(made.directory)
    entry = next(entry for entry in report["clauses"] if entry["id"] == "LAT-01")
    rate, batches = entry["measurements"]
    assert rate["samples"]["y"] == [None, 4.0]
    assert (batches["value"], batches["samples"]["y"]) == (None, [])
    assert json.loads(json.dumps(report)) == report
