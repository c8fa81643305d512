"""What a team sees: three models, two errors and a warning, in a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from lint_corpus import torchscript

from pytest_triton.cli import cli

CLASSIFIER = """\
name: "classifier"
backend: "pytorch"
max_batch_size: 32

# What the tokenizer gives.
input [
  {
    name: "input_ids__0"
    data_type: TYPE_INT64
    dims: [ -1 ]
  },
  {
    name: "attention_mask__1"
    data_type: TYPE_INT64
    dims: [ -1 ]
  },
  {
    name: "token_type__3"
    data_type: TYPE_INT64
    dims: [ -1 ]
  }
]
output [ { name: "logits__0" data_type: TYPE_INT64 dims: [ -1 ] } ]
"""
IMAGES = """\
name: "{name}"
platform: "pytorch_libtorch"
max_batch_size: 8
dynamic_batching {{ }}
input [ {{ name: "INPUT__0" data_type: TYPE_FP32
  dims: [ {dims} ] }} ]
output [ {{ name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 3 ] }} ]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("torch")
    texts = {
        "classifier": CLASSIFIER,
        "resnet": IMAGES.format(name="resnet", dims="-1, 3, 224, 224"),
        "small": IMAGES.format(name="small", dims="3, 8, 8"),
    }
    for name, text in texts.items():
        directory = tmp_path / "model_repository" / name
        (directory / "1").mkdir(parents=True)
        (directory / "config.pbtxt").write_text(text)
        path = directory / "1" / "model.pt"
        path.write_bytes(torchscript("three" if name == "classifier" else "image"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_table(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    made = CliRunner().invoke(cli, ["lint", "model_repository", "--ignore", "WRM,BAT011"])
    assert made.exit_code == 1
    lines = made.stdout.splitlines()
    assert max(map(len, lines)) <= 120
    heads = [line.split()[:3] for line in lines if line.startswith("model_repository/")]
    assert heads == [
        ["model_repository/classifier/config.pbtxt:3:17", "warning", "BAT002"],
        ["model_repository/classifier/config.pbtxt:18:11", "error", "PT003"],
        ["model_repository/resnet/config.pbtxt:6:3", "error", "SHP001"],
    ]
    said = " ".join(made.stdout.split())
    assert 'rename it to "token_type__2"' in said
    assert "add dynamic_batching { }" in said
    assert "dims [-1, 3, 224, 224] already holds the batch" in said
    assert lines[-1] == (
        "3 models · 2 errors · 1 warning · explain one with  pytest-triton lint --explain PT003"
    )


def test_and_mended(here: Path) -> None:
    made = CliRunner().invoke(cli, ["lint", "--fix", "--ignore", "WRM,BAT011"])
    assert made.exit_code == 0, made.stdout
    text = (here / "model_repository" / "classifier" / "config.pbtxt").read_text()
    assert '"token_type__2"' in text
    assert "# What the tokenizer gives.\n" in text
    assert text.endswith("dynamic_batching { }\n")
    text = (here / "model_repository" / "resnet" / "config.pbtxt").read_text()
    assert "  dims: [ 3, 224, 224 ] } ]\n" in text
