"""Words come from intervals, errors from answers; the table and the page show both."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pytest_triton.ablating.accuracy import Accuracy, accuracy
from pytest_triton.ablating.asking import requests_of
from pytest_triton.ablating.concluding import conclude, pooled
from pytest_triton.ablating.found import Ablation, Result, Row
from pytest_triton.ablating.judging import of_arm, of_latency, of_throughput
from pytest_triton.ablating.table import table
from pytest_triton.errors import Misused, ToolError
from pytest_triton.export.interface import Signature
from pytest_triton.load.paired import Side
from pytest_triton.load.stats import ratio_interval
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


def test_an_effect_has_to_leave_the_control_behind() -> None:
    for control, word in (((0.9, 1.2), "no effect shown"), ((0.9, 1.1), "faster")):
        assert of_throughput((1.15, 1.3), control) == word
    for control, word in (((0.8, 1.1), "no effect shown"), ((0.9, 1.1), "faster")):
        assert of_latency((0.7, 0.85), control) == word
    assert of_throughput((0.7, 0.85), (0.9, 1.1)) == "slower"


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
        (["too noisy to tell"], True, "too noisy to tell"),
        (["faster", "too noisy to tell"], True, "an optimisation at some loads"),
        (["others used 0.60 cores: not judged"], True, "too noisy to tell"),
        (["no control", "no control"], True, "no control"),
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


def row(batch: int, throughput: float, latency: float, spread: float = 0.01) -> Row:
    """Six pairs whose geometric means are these; ``spread``: of their logarithms."""
    turns = np.array([-1, 1, -1, 1, -1, 1]) * spread
    return measured(batch, throughput * np.exp(turns), latency * np.exp(turns))


def measured(batch: int, throughput: Any, latency: Any) -> Row:
    speed, *first = ratio_interval(throughput, np.ones(len(throughput)))
    delay, *second = ratio_interval(latency, np.ones(len(latency)))
    return Row(
        batch, 1, SIDE, SIDE, speed, (first[0], first[1]), delay, (second[0], second[1]),
        tuple(throughput), tuple(latency), 0.25,
    )  # fmt: skip


NONE, UP = (1.0, 1.0), (1.7, 0.6)


def made(*control: tuple[float, ...]) -> Ablation:
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
    every = made((1.1, 1.0), NONE)
    assert "too noisy" in every.noise
    assert "batch 1, 1 at once" in every.noise
    assert "batch 2" not in every.noise
    # What frozen gained was gained at the load that judges nobody.
    assert verdicts(every)["frozen"] == "no effect shown"
    assert every.arms[2].rows[0].throughput_word == "too noisy to tell"
    every = made(NONE, (1.0, 0.8))
    assert "batch 2" in every.noise
    assert verdicts(every)["frozen"] == "an optimisation at some loads"
    every = made(UP, UP)
    assert verdicts(every)["frozen"] == "too noisy to tell"
    assert verdicts(every)["float16"] == "wrong answers: no optimisation"


@pytest.mark.parametrize("wide", [(1.0, 1.0, 1.0), (1.04, 0.96, 0.25)])
def test_a_control_too_wide_to_tell_silences_every_word(wide: tuple[float, ...]) -> None:
    """It does not leave 1 out, and says nothing: [0.34, 3.22] is such a one."""
    every = made(wide, wide)
    low, high = every.arms[1].rows[0].throughput_interval
    assert low < 1 < high
    assert high / low > 1.5
    words = {row.throughput_word for arm in every.arms for row in arm.rows}
    words |= {row.latency_word for arm in every.arms for row in arm.rows}
    assert words == {"too noisy to tell"}
    assert verdicts(every)["frozen"] == "too noisy to tell"
    assert "batch 1, 1 at once" in every.noise


def test_the_control_is_measured_at_both_ends() -> None:
    first, second = row(1, 1.0, 1.0), row(1, 1.5, 0.7)
    both = pooled(first, second)
    assert len(both.throughput_pairs) == len(both.latency_pairs) == 12
    assert both.throughput_interval[0] < 1.25 < both.throughput_interval[1]
    every = made(NONE, NONE)
    every.arms[1].rows[0] = both
    conclude(every)
    assert every.arms[2].rows[0].throughput_word == "too noisy to tell"
    # the one that others disturbed gives way
    assert pooled(first, replace(second, foreign_cpu=0.6)) == first
    assert pooled(replace(first, foreign_cpu=0.6), second) == second
    assert len(pooled(*(replace(one, foreign_cpu=0.6) for one in (first, second)))
               .throughput_pairs) == 12  # fmt: skip


def test_rows_that_others_disturbed_are_not_judged() -> None:
    every = made(NONE, NONE)
    assert every.noise == ""
    frozen = every.arms[2]
    frozen.rows[0] = replace(frozen.rows[0], foreign_cpu=0.6)
    conclude(every)
    assert frozen.rows[0].throughput_word == "others used 0.60 cores: not judged"
    assert verdicts(every)["frozen"] == "no effect shown"
    assert every.noise.startswith("Others used up to 0.60 cores while 1 row was")
    for one in every.measured:
        one.rows = [replace(row, foreign_cpu=0.6) for row in one.rows]
    conclude(every)
    assert verdicts(every)["frozen"] == "too noisy to tell"
    assert verdicts(every)["no_inference_mode"] == "too noisy to tell"


def test_a_control_that_others_disturbed_is_none() -> None:
    every = made(NONE, NONE)
    control = every.arms[1]
    control.rows[0] = replace(control.rows[0], foreign_cpu=0.6)
    conclude(every)
    assert [row.throughput_word for row in every.arms[2].rows] == ["no control", "no effect shown"]


def test_a_control_that_was_not_measured() -> None:
    every = made(NONE)
    every.arms[1].refused = "it did not load"
    conclude(every)
    assert every.noise.startswith("There is no control")
    assert every.noise.endswith(": it did not load")
    assert verdicts(every)["frozen"] == "no control"
    assert verdicts(every)["control"] == "refused"


def test_an_arm_that_was_not_measured() -> None:
    every = made(NONE, NONE)
    every.arms[2].unmeasured = "no answer"
    conclude(every)
    assert verdicts(every)["frozen"] == "an optimisation at some loads"  # what is there counts
    every.arms[2].rows = []
    conclude(every)
    assert verdicts(every)["frozen"] == "not measured"
    every.arms[2].accuracy = None
    assert "freeze                not measured: no answer" in table(every.to_json())


def simulated(
    random: Any, *, noise: float, effect: float = 1.0, control: float | None = None
) -> Ablation:
    """Nine arms at two loads, six pairs each; the control has twelve. One arm has the effect."""
    every = Ablation("net", "module", "eager", "y", 8, 1.0, 6, 0, {})
    every.arms = [Result("base", "plain")]
    for name in ("control", *(f"arm_{at}" for at in range(9))):
        count = 12 if name == "control" else 6
        true = effect if name == "arm_0" else 1.0
        rows = []
        for batch in (1, 8):
            spread = control if name == "control" and control is not None else noise
            pairs = true * np.exp(random.normal(0.0, spread, count))
            rows.append(measured(batch, pairs, 1 / pairs))
        every.arms.append(Result(name, name, rows=rows))
    conclude(every)
    return every


@pytest.mark.parametrize(("noise", "control"), [(0.1, 0.1), (0.02, 1e-6)])
def test_pure_noise_is_seldom_an_optimisation(noise: float, control: float) -> None:
    """At 95 % for each row it was every third table."""
    random = np.random.default_rng(0)
    named = 0
    for _ in range(400):
        found = verdicts(simulated(random, noise=noise, control=control)).values()
        named += any("optimisation" in one or "faster" in one for one in found)
    assert named / 400 < 0.05


def test_a_true_effect_is_named() -> None:
    random = np.random.default_rng(0)
    found = [verdicts(simulated(random, noise=0.02, effect=1.3)) for _ in range(40)]
    assert sum(one["arm_0"] == "an optimisation" for one in found) >= 38
    slow = [verdicts(simulated(random, noise=0.02, effect=0.75)) for _ in range(40)]
    assert sum(one["arm_0"] == "slower" for one in slow) >= 38


def test_json_is_json() -> None:
    plain = made(NONE, NONE).to_json()
    text = json.dumps(plain, allow_nan=False)
    assert json.loads(text)["arms"][4]["accuracy"]["max_rel"] is None
    assert plain["foreign_cpu"] == 0.25


def test_the_table() -> None:
    lines = table(made(NONE, (1.15, 1.0)).to_json())
    assert any(re.search(r"^freeze .* faster 1\.70 \[1\.68, 1\.72\]", line) for line in lines)
    assert any(re.search(r"^freeze .* too noisy to tell 1\.00 \[0\.99", line) for line in lines)
    assert any(re.search(r"^INFERENCE_MODE=false .* no effect shown 1\.00 \[0\.99", line)
               for line in lines)  # fmt: skip
    assert any(re.search(r"^half .* not finite +25 % .* wrong answers", line) for line in lines)
    assert "optimize              refused: torch cannot <write> it" in lines
    # three arms at two loads share 5 %
    assert any(line.startswith("intervals are of 95 %; a word follows from one of 99.17 %")
               for line in lines)  # fmt: skip
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
