"""pytest-triton llama from end to end: stored weights with a tokenizer, really served."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.llama.table import table
from pytest_triton.reports.llama import bars, page

_MAKE = """
import sys, torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
torch.manual_seed(1)
config = LlamaConfig(vocab_size=258, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
                     num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
                     initializer_range=0.25)
LlamaForCausalLM(config).save_pretrained(sys.argv[1])
words = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
letters = {letter: at for at, letter in enumerate(words)}
one = Tokenizer(models.BPE(vocab=letters, merges=[]))
one.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
one.decoder = decoders.ByteLevel()
fast = PreTrainedTokenizerFast(tokenizer_object=one, bos_token="<s>", eos_token="</s>")
fast.save_pretrained(sys.argv[1])
"""
RATIO = {"mean": 2.0, "interval": [1.5, 400.0], "rounds": [1.9, 2.1]}
LINE = {"protocol": "grpc", "concurrency": 4, "tps": 200.0, "tps_per_user": 60.0,
        "ttft_p50_ms": 9.0, "ttft_p95_ms": 11.0, "itl_p50_ms": 5.0, "itl_p95_ms": 6.0,
        "against": RATIO, "round_tps": [190.0, 210.0]}  # fmt: skip


def _made(*statuses: str, **more: Any) -> dict[str, Any]:
    made = [{"id": "x", "title": "<b>", "status": status, "reason": "r"} for status in statuses]
    versions = {"torch": "2", "transformers": "5", "threads": 1, "device": "CPU", "triton": "2.51"}
    worst = next((s for s in ("fail", "inconclusive") if s in statuses), "pass")
    return {"model": "<i>L", "parameters": 1234, "dtype": "float32", "device": "cpu", "seed": 0,
            "prompts": [3, 9], "tokens": 8, "rounds": 2, "versions": versions, "in_turn": True,
            "generate_tps": 100.0, "equal": {}, "scaling": {"grpc": RATIO}, "lines": [LINE],
            "checks": made, "status": worst, **more}  # fmt: skip


def test_the_picture_begins_at_zero_and_shows_the_numbers() -> None:
    drawn = bars(_made("pass"))
    (bar,) = drawn.bars
    assert drawn.ticks[0] == (drawn.left, "0")
    # 200 and 100 tokens a second: generate() is half as far.
    assert bar.width == pytest.approx(2 * (drawn.generate - drawn.left), abs=0.05)
    assert bar.dots[0] < drawn.left + bar.width < bar.dots[1]


@pytest.mark.parametrize(
    ("statuses", "headline"),
    [
        (("pass", "pass"), "all 2 checks pass"),
        (("pass", "inconclusive"), "1 of 2 checks cannot tell"),
        (("fail", "inconclusive", "pass"), "1 of 3 checks fail"),
    ],
)
def test_the_headline_is_the_worst(statuses: tuple[str, ...], headline: str) -> None:
    text = page(_made(*statuses))
    assert headline in text
    assert "&lt;i&gt;L" in text
    assert "<b>" not in text


def test_a_page_without_numbers() -> None:
    assert "Tokens a second" not in page(_made("fail", lines=[]))
    assert table(_made("fail", lines=[])) == ["  FAIL  <b>: r"]


def test_the_table() -> None:
    lines = table(_made("inconclusive", lines=[{**LINE, "concurrency": 1}, LINE]))
    assert lines[0] == "  ????  <b>: r"
    assert "2.00 [1.50, >99]" in lines[5]
    assert lines[-1].startswith("4 streams ÷ 1, gRPC: 2.00")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("stored") / "tiny-llama"
    subprocess.run([sys.executable, "-c", _MAKE, str(directory)], check=True, timeout=120,
                   capture_output=True)  # fmt: skip
    return directory


def _llama(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_triton.cli", "llama", "--device", "cpu", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_stored_weights_in_both_forms(stored: Path, tmp_path: Path) -> None:
    out, drawn, kept = tmp_path / "made.json", tmp_path / "made.html", tmp_path / "repository"
    done = _llama(
        str(stored), "--streams", "1,3", "--tokens", "12", "--prompt-tokens", "10",
        "--max-length", "128", "--rounds", "2", "--prompt", "Grüße, 世界", "--repository",
        str(kept), "--json", str(out), "--html", str(drawn),
    )  # fmt: skip
    made = json.loads(out.read_text())
    found = {check["id"]: check["status"] for check in made["checks"]}
    # Two short rounds on a busy machine may not tell how the protocols compare.
    assert found.pop("protocols-agree") != "fail"
    assert set(found) == {"answered", "tokens-grpc", "tokens-http", "counters", "text",
                          "cancel-grpc", "cancel-http", "tokens-logits"}  # fmt: skip
    # Nor whether a stream of a few ms was stopped by whoever left it, or ended by itself.
    for protocol in ("grpc", "http"):
        assert found.pop(f"cancel-{protocol}") != "fail"
    assert set(found.values()) == {"pass"}, done.stdout
    assert done.returncode == {"pass": 0, "inconclusive": 13}[made["status"]]
    assert made["equal"] == {"grpc": 1.0, "http": 1.0, "logits": 1.0}
    assert [(row["protocol"], row["concurrency"]) for row in made["lines"]] == [
        ("grpc", 1), ("http", 1), ("grpc", 3), ("http", 3)
    ]  # fmt: skip
    assert made["generate_tps"] > 0
    assert "tokens over TorchScript logits equal generate()" in done.stdout
    assert drawn.read_text().startswith("<!doctype html>")
    assert (kept / "llama_stream" / "config.pbtxt").is_file()
    assert "text_input" in (kept / "llama_stream" / "config.pbtxt").read_text()
    assert (kept / "llama_logits" / "1" / "model.pt").is_file()
    again = _llama(str(stored), "--max-length", "128", "--repository", str(kept))
    assert again.returncode == 2
    assert "llama_stream exists" in again.stderr


def test_a_repository_alone(tmp_path: Path) -> None:
    done = _llama("--form", "stream", "--build-only", "--repository", str(tmp_path / "models"))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["llama_stream"]
    assert "text_input" not in (tmp_path / "models/llama_stream/config.pbtxt").read_text()
