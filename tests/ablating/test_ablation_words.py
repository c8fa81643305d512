"""Words come from intervals, errors from answers; the table and the page show both."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pytest_triton.ablating.ablate import conclude
from pytest_triton.ablating.accuracy import Accuracy, accuracy
from pytest_triton.ablating.asking import requests_of
from pytest_triton.ablating.found import Ablation, Result, Row
from pytest_triton.ablating.judging import of_arm, of_latency, of_throughput
from pytest_triton.ablating.table import table
from pytest_triton.errors import Misused, ToolError
from pytest_triton.export.interface import Signature
from pytest_triton.load.paired import Side
from pytest_triton.reports.ablation import page, pictures
from pytest_triton.repository.tensors import TensorSpec

SIDE = Side(100.0, 5.0, 9.0)


@pytest.mark.parametrize(
    ("interval", "throughput", "latency"),
    [
        ((1.05, 1.19), "faster", "slower"),
        ((0.80, 0.95), "slower", "faster"),
        ((0.95, 1.05), "no effect shown", "no effect shown"),
        ((1.0, 1.2), "no effect shown", "no effect shown"),
        ((0.8, 1.0), "no effect shown", "no effect shown"),
        ((0.0, 400.0), "no effect shown", "no effect shown"),
    ],
)
def test_words(interval: tuple[float, float], throughput: str, latency: str) -> None:
    assert of_throughput(interval) == throughput
    assert of_latency(interval) == latency


@pytest.mark.parametrize(
    ("words", "near", "verdict"),
    [
        (["faster", "faster"], True, "an optimisation"),
        (["faster", "no effect shown"], True, "an optimisation at some loads"),
        (["faster", "slower"], True, "faster at some loads, slower at others"),
        (["slower"], True, "slower"),
        (["no effect shown", "slower"], True, "slower at some loads"),
        (["no effect shown"], True, "no effect shown"),
        ([], True, "too noisy to tell"),
        (["faster"], False, "wrong answers: no optimisation"),
        ([], False, "wrong answers: no optimisation"),
    ],
)
def test_what_an_arm_comes_to(words: list[str], near: bool, verdict: str) -> None:
    assert of_arm(words, near=near) == verdict


def answers(*values: Any) -> list[dict[str, Any]]:
    return [{"y": np.array(value, np.float32)} for value in values]


def test_errors() -> None:
    wanted = answers([[1.0, 4.0], [3.0, -2.0]], [[0.5, 1.0]])
    found = accuracy(wanted, wanted, allowed=0.0, choice="y")
    assert found == Accuracy(0.0, 0.0, 1.0, 0.0)
    assert found.near
    got = answers([[1.0, 4.0], [3.0, -1.5]], [[1.25, 1.0]])
    found = accuracy(got, wanted, allowed=0.1, choice="y")
    assert found.max_abs == 0.75
    assert found.max_rel == 0.75  # of the second answer, whose largest value is 1
    assert found.top1 == pytest.approx(2 / 3)
    assert not found.near
    assert accuracy(got, wanted, allowed=0.1).top1 is None


@pytest.mark.parametrize("value", [[np.nan, 1.0], [np.inf, 1.0], [1.0, 2.0, 3.0]])
def test_no_number_is_no_rounding(value: list[float]) -> None:
    found = accuracy(answers(value), answers([1.0, 2.0]), allowed=0.1)
    assert found.max_rel == float("inf")
    assert not found.near


def test_the_same_nan_is_no_error() -> None:
    one = answers([np.nan, 1.0])
    assert accuracy(one, one, allowed=0.0).near


def test_an_output_that_is_missing() -> None:
    with pytest.raises(ToolError, match="output 'y' is missing"):
        accuracy([{}], answers([1.0]), allowed=0.0)


def test_large_answers_are_few() -> None:
    ids = TensorSpec("ids", "INT64", ("length",))
    small = Signature((ids,), (TensorSpec("y", "FP32", (3,)),), 8, {"length": (1, 32)}, {})
    requests = requests_of(small, 4, 64, 0)
    assert len(requests) == 16
    assert {one["ids"].shape for one in requests} == {(4, 32)}
    assert len({one["ids"].tobytes() for one in requests}) == 16
    logits = TensorSpec("y", "FP32", ("length", 50000))
    assert len(requests_of(replace(small, outputs=(logits,)), 4, 64, 0)) == 2


def test_strings_cannot_be_drawn() -> None:
    text = Signature((TensorSpec("text", "BYTES", (1,)),), (), 8)
    with pytest.raises(Misused, match="models of numbers"):
        requests_of(text, 1, 8, 0)


def row(batch: int, throughput: tuple[float, float], latency: tuple[float, float]) -> Row:
    middle = (throughput[0] * throughput[1]) ** 0.5
    return Row(
        batch, 1, SIDE, SIDE, middle, throughput, of_throughput(throughput),
        1 / middle, latency, of_latency(latency), throughput, latency, 0.25,
    )  # fmt: skip


NONE, UP = ((0.9, 1.1), (0.9, 1.1)), ((1.5, 2.0), (0.5, 0.7))


def made(*control: tuple[tuple[float, float], tuple[float, float]]) -> Ablation:
    near, wrong = Accuracy(1e-7, 1e-7, 1.0, 1e-3), Accuracy(0.5, float("inf"), 0.25, 1e-3)
    versions = {"torch": "2", "triton": "2.51", "release": "24.10", "device": "CPU", "cores": 2}
    every = Ablation("<net>", "module", "eager", "y", 8, 1.0, 3, 0, versions)
    every.arms = [
        Result("base", "plain", 1 << 20, settings=("Inference Mode is enabled",), accuracy=near),
        Result("control", "A/A", accuracy=near,
               rows=[row(at + 1, *one) for at, one in enumerate(control)]),
        Result("frozen", "freeze", accuracy=near, rows=[row(1, *UP), row(2, *NONE)]),
        Result("no_inference_mode", "INFERENCE_MODE=false", accuracy=near,
               settings=("Inference Mode is disabled",), rows=[row(1, *NONE), row(2, *NONE)]),
        Result("float16", "half", accuracy=wrong, rows=[row(1, *UP), row(2, *UP)]),
        Result("optimized", "optimize", refused="torch cannot <write> it"),
    ]  # fmt: skip
    conclude(every)
    return every


def verdicts(every: Ablation) -> dict[str, str]:
    return {arm.name: arm.verdict for arm in every.arms}


def test_the_verdicts() -> None:
    every = made(NONE, NONE)
    assert every.noise == ""
    assert verdicts(every) == {
        "base": "base", "control": "control", "frozen": "an optimisation at some loads",
        "no_inference_mode": "no effect shown", "float16": "wrong answers: no optimisation",
        "optimized": "refused",
    }  # fmt: skip


def test_a_control_that_reads_as_another_speed() -> None:
    every = made(((1.02, 1.2), (0.9, 1.1)), NONE)
    assert "too noisy" in every.noise
    assert "batch 1, 1 at once" in every.noise
    assert "batch 2" not in every.noise
    # What frozen gained was gained at the load that judges nobody.
    assert verdicts(every)["frozen"] == "no effect shown"
    every = made(NONE, ((0.9, 1.1), (0.7, 0.9)))
    assert "batch 2" in every.noise
    assert verdicts(every)["frozen"] == "an optimisation"
    every = made(UP, UP)
    assert verdicts(every)["frozen"] == "too noisy to tell"
    assert verdicts(every)["float16"] == "wrong answers: no optimisation"


def test_others_on_the_machine() -> None:
    every = made(NONE, NONE)
    assert every.noise == ""
    for one in every.measured:
        one.rows = [replace(row, foreign_cpu=0.6) for row in one.rows]
    conclude(every)
    assert every.noise.startswith("Others used 0.60 cores")
    assert verdicts(every)["frozen"] == "an optimisation at some loads"


def test_a_control_that_was_not_measured() -> None:
    every = made(NONE)
    every.arms[1].refused = "it did not load"
    conclude(every)
    assert every.noise == "There is no control, so that nothing is known of noise: it did not load"


def test_json_is_json() -> None:
    plain = made(NONE, NONE).to_json()
    text = json.dumps(plain, allow_nan=False)
    assert json.loads(text)["arms"][4]["accuracy"]["max_rel"] is None
    assert plain["foreign_cpu"] == 0.25


def test_the_table() -> None:
    lines = table(made(NONE, ((1.1, 1.2), (0.9, 1.1))).to_json())
    assert any(re.search(r"^freeze .* faster 1\.73 \[1\.50, 2\.00\]", line) for line in lines)
    assert any(re.search(r"^INFERENCE_MODE=false .* no effect shown 0\.99 \[0\.90", line)
               for line in lines)  # fmt: skip
    assert any(re.search(r"^half .* not finite +25 % .* wrong answers", line) for line in lines)
    assert "optimize              refused: torch cannot <write> it" in lines
    assert "16 intervals of 95 %: about 1 of them would exclude 1 by chance alone" in lines
    assert lines[-1].startswith("The machine was too noisy")


def test_the_page() -> None:
    plain = made(NONE, NONE).to_json()
    throughput, latency = pictures(plain, (1, 1))
    by_label = {line.label: line for line in throughput.lines}
    assert list(by_label) == ["A/A", "freeze", "INFERENCE_MODE=false", "half"]
    assert by_label["freeze"].low > throughput.one
    assert by_label["A/A"].low < throughput.one < by_label["A/A"].high
    tones = {label: line.tone for label, line in by_label.items()}
    # half is as fast as freeze, and painted as what it is
    assert tones == {"A/A": "dim", "freeze": "good", "INFERENCE_MODE=false": "dim", "half": "bad"}
    assert latency.lines[1].high < latency.one
    text = page(plain)
    assert "&lt;net&gt;" in text
    assert "torch cannot &lt;write&gt; it" in text
    assert "log: Inference Mode is disabled" in text
    assert "log: Inference Mode is enabled" not in text
    assert "too noisy" not in text
    assert text.count("<svg") == 4
    assert "The machine was too noisy" in page(made(UP, NONE).to_json())
