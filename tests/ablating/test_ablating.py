"""Arms that are really served and measured: a slow one, a wrong one, and one that fails to load."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_triton.ablating.ablate import ablate
from pytest_triton.ablating.arms import Arm, arms_of, control
from pytest_triton.ablating.found import Ablation, Result
from pytest_triton.ablating.session import Wanted
from pytest_triton.ablating.sources import Module
from pytest_triton.errors import Misused
from pytest_triton.export.interface import Signature

NET = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.head = torch.nn.Linear(16, 32), torch.nn.Linear(32, 4)
    def forward(self, features):
        return self.head(self.inner(features).relu())
class Slowed(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net, self.much = net, torch.nn.Parameter(torch.full((512, 512), 1e-3))
    def forward(self, features):
        work = features.sum() * 0 + self.much
        for _ in range(8):
            work = work @ self.much
        return self.net(features) + 0 * work.sum()
"""
OPTIONS: dict[str, Any] = {
    "inputs": ("features:FP32:16",), "axes": (), "ranges": (), "max_batch_size": 2,
    "method": "trace", "variant": "plain", "seed": 0,
}  # fmt: skip
WANTED = Wanted((2,), (1,), 8, 0.2, 4, 0)
ARMS = (
    control,
    Arm("slowed", "more work", dtype="float32"),
    Arm("wrong", "other weights", dtype="float32"),
    Arm("bfloat16", "half", dtype="bfloat16"),
    Arm("unloadable", "a bad value", parameters={"INFERENCE_MODE": "perhaps"}),
)


class Faulty(Module):
    """Faults are forced where an arm gets its module; everything behind is as ever."""

    def make(self, arm: Arm, directory: Path) -> Signature:
        # Two threads on a busy machine wait for each other: noise that these tests do not need.
        parameters = {**arm.parameters, "INTRA_OP_THREAD_COUNT": "1"}
        return super().make(replace(arm, parameters=parameters), directory)

    def module_for(self, arm: Arm) -> Any:
        if arm.name == "bfloat16":
            return super().module_for(arm)
        module = deepcopy(self.module)
        if arm.name == "slowed":
            kind = sys.modules[type(self.module).__module__].Slowed
            return kind(module)
        if arm.name == "wrong":
            module.head.weight.data[:] = module.head.weight.data.flip(0)
        return module


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ablating") / "net.py"
    path.write_text(NET)
    return path


@pytest.fixture(scope="module")
def made(net: Path, tmp_path_factory: pytest.TempPathFactory) -> Ablation:
    source = Faulty(f"{net}:Net", OPTIONS, "cpu", print)
    said: list[str] = []
    found = ablate(source, ARMS, tmp_path_factory.mktemp("work"), WANTED,
                   device="cpu", release="24.10", say=said.append)  # fmt: skip
    measured = [one.split()[1].strip(",") for one in said if one.startswith("measuring")]
    assert measured == ["control", "slowed", "wrong", "bfloat16", "control"]
    return found


def arm(made: Ablation, name: str) -> Result:
    return next(one for one in made.arms if one.name == name)


def test_every_arm_is_told(made: Ablation) -> None:
    assert [one.name for one in made.arms] == ["base", *(one.name for one in ARMS)]
    assert made.choice == "OUTPUT__0"
    for one in made.arms[:5]:
        assert one.refused == ""
        assert one.bytes > 1000
        assert one.load_s > 0
    for one in made.measured:
        assert [(row.batch, row.concurrency) for row in one.rows] == [(2, 1)]
        for row in one.rows:
            # the control is measured at both ends; one that others disturbed may give way
            counts = (WANTED.pairs, 2 * WANTED.pairs)[: 1 + (one.name == "control")]
            assert len(row.throughput_pairs) in counts
            assert 0 < row.arm.p50_ms <= row.arm.p95_ms
            low, high = row.throughput_interval
            assert low <= row.throughput <= high


def test_the_control_answers_as_the_base(made: Ablation) -> None:
    base, same = arm(made, "base"), arm(made, "control")
    assert base.accuracy is not None
    assert same.accuracy is not None
    assert base.accuracy.near
    assert base.accuracy.top1 == same.accuracy.top1 == 1.0
    assert (base.verdict, same.verdict) == ("base", "control")
    assert made.arms[0].rows == []


def test_a_slow_arm_is_slower(made: Ablation) -> None:
    slowed = arm(made, "slowed")
    for row in slowed.rows:
        assert row.throughput_interval[1] < 1, (row.throughput_pairs, row.base, row.arm)
        assert row.throughput_word != "faster"
        assert row.latency_word != "faster"
    assert slowed.accuracy is not None
    assert slowed.accuracy.near
    assert slowed.verdict in ("slower", "slower at some loads", "too noisy to tell")
    assert "optimisation" not in slowed.verdict


def test_a_wrong_arm_shows_its_error_and_is_no_optimisation(made: Ablation) -> None:
    wrong = arm(made, "wrong")
    assert wrong.accuracy is not None
    assert wrong.accuracy.max_rel > 0.01
    assert wrong.accuracy.max_abs > 1e-3
    assert wrong.accuracy.top1 is not None
    assert wrong.accuracy.top1 < 1
    assert wrong.rows
    assert wrong.verdict == "wrong answers: no optimisation"


def test_half_precision_is_coarser_and_near_enough(made: Ablation) -> None:
    base, half = arm(made, "base").accuracy, arm(made, "bfloat16").accuracy
    assert base is not None
    assert half is not None
    assert base.max_rel < 1e-5
    assert 1e-4 < half.max_rel < half.allowed
    assert half.near


def test_an_arm_that_does_not_load_is_a_result(made: Ablation) -> None:
    failed = arm(made, "unloadable")
    assert "failed to convert 'perhaps' to boolean" in failed.refused
    assert failed.rows == []
    assert failed.verdict == "refused"


def test_a_server_that_dies_refuses_no_arm(net: Path, tmp_path: Path) -> None:
    def say(text: str) -> None:
        if text.startswith("measuring no_inference_mode"):
            os.kill(server_below(tmp_path), signal.SIGKILL)

    arms = arms_of(files=True, cores=1, wanted=["no_inference_mode", "threads"])
    made = ablate(Module(f"{net}:Net", OPTIONS, "cpu", print), arms, tmp_path / "work",
                  Wanted((1,), (1,), 8, 0.2, 2, 0), device="cpu", release="24.10", say=say)  # fmt: skip
    assert "tritonserver ended" in made.ended
    assert [one.name for one in made.arms] == ["base", "control", "no_inference_mode", "threads_1"]
    assert [one.refused for one in made.arms] == [""] * 4
    assert arm(made, "control").rows
    assert [one.verdict for one in made.arms[2:]] == ["not measured", "not measured"]


def server_below(place: Path) -> int:
    """The tritonserver whose repository is there."""
    (found,) = (
        one.pid for one in psutil.process_iter(["name", "cmdline"])
        if one.info["name"] == "tritonserver" and str(place) in " ".join(one.info["cmdline"])
    )  # fmt: skip
    return int(found)


def test_more_rows_than_the_model_takes(net: Path, tmp_path: Path) -> None:
    wanted = Wanted((1, 4), (1,), 8, 0.2, 2, 0)
    with pytest.raises(Misused, match="takes 2 rows at most"):
        ablate(Module(f"{net}:Net", OPTIONS, "cpu", print), (), tmp_path, wanted,
               device="cpu", release="24.10", say=print)  # fmt: skip


def test_the_command(net: Path, tmp_path: Path) -> None:
    out, drawn = tmp_path / "made.json", tmp_path / "made.html"
    command = [
        sys.executable, "-m", "pytest_triton.cli", "ablate", "--module", f"{net}:Net",
        "--input", "features:FP32:16", "--arms", "no_inference_mode", "--batch", "1,2",
        "--concurrency", "2", "--seconds", "0.2", "--pairs", "2", "--device", "cpu",
        "--json", str(out), "--html", str(drawn),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    made = json.loads(out.read_text())
    found = {one["name"]: one for one in made["arms"]}
    assert list(found) == ["base", "control", "no_inference_mode"]
    for name in ("control", "no_inference_mode"):
        loads = [(row["batch"], row["concurrency"]) for row in found[name]["rows"]]
        assert loads == [(1, 2), (2, 2)]
    assert "Inference Mode is disabled" in found["no_inference_mode"]["settings"]
    assert "Inference Mode is enabled" in found["base"]["settings"]
    assert re.search(r"\nINFERENCE_MODE=false +2 +2 ", done.stdout)
    assert drawn.read_text().startswith("<!doctype html>")
