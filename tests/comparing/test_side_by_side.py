"""pytest-triton compare: a small model of transformers, really in process and really served."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pytest_triton.cli import cli
from pytest_triton.comparing.side_by_side import table
from pytest_triton.reports.comparison import forest, page

_MAKE = """
import sys, torch
from transformers import BertConfig, BertForSequenceClassification
torch.manual_seed(0)
config = BertConfig(num_labels=3, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                    intermediate_size=64, vocab_size=500)
BertForSequenceClassification(config).save_pretrained(sys.argv[1])
"""
SIDE = {"rps": 100.0, "p50_ms": 5.0, "p95_ms": 9.0}
ROW = {
    "batch": 1, "concurrency": 8, "process": SIDE, "triton": SIDE, "throughput": 2.0,
    "throughput_interval": [1.5, 400.0], "latency": 0.5, "latency_interval": [0.4, 0.6],
    "throughput_pairs": [1.9, 2.1], "latency_pairs": [0.5, 0.5],
}  # fmt: skip


def _made(**more: Any) -> dict[str, Any]:
    versions = {"torch": "2", "transformers": "5", "threads": 2, "device": "CPU", "triton": "2.51"}
    return {"model": "<b>ert", "length": 16, "seconds": 1.0, "pairs": 2, "seed": 0, "rows": [ROW],
            "versions": versions, "memory": {"triton": 1 << 20}, "difference": 0.0, **more}  # fmt: skip


def test_the_picture_shows_the_numbers() -> None:
    drawn = forest(_made(), "throughput", "t", "b")
    (line,) = drawn.lines
    assert drawn.one < line.low < line.x < line.high
    assert line.dots[0] < line.x < line.dots[1]
    assert line.told == "2.00 [1.50, >99]"
    text = page(_made())
    assert "&lt;b&gt;ert" in text
    assert f'cx="{line.x}"' in text


def test_the_table() -> None:
    lines = table(_made())
    assert "2.00 [1.50, >99]" in lines[2]
    assert "0.50 [0.40, 0.60]" in lines[2]
    assert "triton 1 MiB" in lines[3]


@pytest.mark.parametrize("value", ["0", "a", "1,,2", "-3"])
def test_numbers_that_are_none(tmp_path: Path, value: str) -> None:
    result = CliRunner().invoke(cli, ["compare", str(tmp_path), "--batch", value])
    assert result.exit_code == 2
    assert "is not like 1,8,32" in result.output


def test_a_directory_without_a_model(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest_triton.cli", "compare", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode
    assert "Traceback" not in done.stderr
    assert "config.json" in done.stderr


def test_side_by_side(tmp_path: Path) -> None:
    model = tmp_path / "small-bert"
    subprocess.run([sys.executable, "-c", _MAKE, str(model)], check=True, timeout=120,
                   capture_output=True)  # fmt: skip
    out, drawn = tmp_path / "made.json", tmp_path / "made.html"
    command = [
        sys.executable, "-m", "pytest_triton.cli", "compare", str(model), "--batch", "1,2",
        "--concurrency", "2", "--length", "8", "--seconds", "0.4", "--pairs", "2", "--device",
        "cpu", "--json", str(out), "--html", str(drawn),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    made = json.loads(out.read_text())
    assert [(row["batch"], row["concurrency"]) for row in made["rows"]] == [(1, 2), (2, 2)]
    for row in made["rows"]:
        for side in ("process", "triton"):
            assert row[side]["rps"] > 0
            assert 0 < row[side]["p50_ms"] <= row[side]["p95_ms"]
        assert len(row["throughput_pairs"]) == 2
    assert made["memory"]["process"] > 1 << 20
    assert made["memory"]["triton"] > 1 << 20
    assert made["difference"] < 1e-3
    assert re.search(r"\n +1 +2 ", done.stdout)
    assert drawn.read_text().startswith("<!doctype html>")
