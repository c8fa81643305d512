"""Budgets by the fixture, on a server of ours whose service times are known."""

from __future__ import annotations

CONFIG = """
backend: "python"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
MODEL = """
import time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        time.sleep(SECONDS)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y",
                pb_utils.get_input_tensor_by_name(request, "X").as_numpy() + 1)])
                for request in requests]
"""
TEAM = """
import pytest

def test_kept(triton_load):
    run = triton_load("slow", duration_s=1)
    assert run.again is not None
    rate, kept = run.require(p50_ms=300, throughput_rps=5)
    assert (kept.verdict, rate.verdict) == ("pass", "pass")
    assert 4 <= kept.at_s <= 60

def test_broken(triton_load):
    triton_load("slow", duration_s=1).require(p50_ms=2)  # five times less than it sleeps

def test_times(triton_load):
    pair = triton_load.beside("slow", "fast", turn_s=0.5, pairs=4)
    kept, = pair.require(p50_times=100, max_s=4)
    assert kept.value > 1
    with pytest.raises(AssertionError, match="that of the calibration"):
        pair.require(p50_times=0.1, max_s=4)

def test_unknown(triton_load):
    triton_load.beside("slow", "absent")
"""


def test_budgets_on_a_server(project) -> None:
    for name, seconds in (("slow", 0.010), ("fast", 0.001)):
        project.write(f"repository/{name}/config.pbtxt", CONFIG)
        project.write(f"repository/{name}/1/model.py", MODEL.replace("SECONDS", str(seconds)))
    project.write("pyproject.toml", '[tool.pytest]\ntriton_repository = "repository"\n')
    project.write("test_team.py", TEAM)
    result = project.run(subprocess=True)
    assert result.outcomes == {"passed": 2, "failed": 2}, result.output
    assert "p50 is" in result.output
    assert "the budget 2 ms" in result.output
    assert "model 'absent' is not ready" in result.output
