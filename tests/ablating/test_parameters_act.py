"""The parameters that are ablated really act in the process that serves, seen from outside."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pytest_triton.deployment import Deployment
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.probe.http import HttpProbe

_CONFIG = """
name: "{name}"
platform: "pytorch_libtorch"
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ 9, 9 ] }} ]
output [
  {{ name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 9, 9 ] }},
  {{ name: "OUTPUT__1" data_type: TYPE_FP32 dims: [ 1 ] }}
]
"""
ARMS: dict[str, dict[str, str]] = {
    "plain": {},
    "no_inference_mode": {"INFERENCE_MODE": "false"},
    "no_optimized_execution": {"DISABLE_OPTIMIZED_EXECUTION": "true"},
    "intra_1": {"INTRA_OP_THREAD_COUNT": "1"},
    "intra_6": {"INTRA_OP_THREAD_COUNT": "6"},
    "inter_1": {"INTRA_OP_THREAD_COUNT": "1", "INTER_OP_THREAD_COUNT": "1"},
    "inter_6": {"INTRA_OP_THREAD_COUNT": "1", "INTER_OP_THREAD_COUNT": "6"},
}
X = np.random.default_rng(0).standard_normal((9, 9)).astype(np.float32)
Ask = Callable[[str], "tuple[list[dict[str, np.ndarray[Any, Any]]], int]"]


def _write(repository: Path) -> None:
    import torch

    class Tell(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            # The optimised executor joins these products (MMTreeReduce), which rounds otherwise.
            y = torch.mm(x, x) + torch.mm(x, x.t()) + torch.mm(x.t(), x)
            y = y + torch.mm(x.t(), x.t()) + torch.mm(x, x + 1)
            return y, torch.full((1,), float(torch.ones(1).is_inference()))

    class Threads(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            other = torch.jit.fork(torch.relu, x)  # the pool between operations
            big = torch.full((4000000,), 2.0).mul(2.0).sum()  # the pool within one
            return torch.jit.wait(other), big.reshape(1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tell, threads = torch.jit.script(Tell()), torch.jit.script(Threads())
        for name, parameters in ARMS.items():
            module = threads if name.startswith("int") else tell
            (repository / name / "1").mkdir(parents=True)
            torch.jit.save(module, str(repository / name / "1" / "model.pt"))
            text = _CONFIG.format(name=name)
            for key, value in parameters.items():
                text += f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'
            (repository / name / "config.pbtxt").write_text(text)


def _stubs(server: Deployment) -> set[int]:
    """Processes that serve an instance."""
    assert server.pid is not None
    root = psutil.Process(server.pid).parent()
    assert root is not None
    return {p.pid for p in root.children(recursive=True) if p.name().startswith("triton_python_b")}


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Load a model; the answers to five equal requests, and the threads of its process then."""
    repository = tmp_path_factory.mktemp("acting") / "repository"
    _write(repository)
    with embedded(ServerSpec(repository, models=(), device="cpu", auto_complete=False)) as server:
        with closing(HttpProbe(server.http_url, timeout=60.0)) as http:

            def loaded(name: str) -> tuple[list[dict[str, np.ndarray[Any, Any]]], int]:
                before = _stubs(server)
                http.load(name)
                (pid,) = _stubs(server) - before
                answers = [dict(http.infer(name, {"x": X}).outputs) for _ in range(5)]
                threads = psutil.Process(pid).num_threads()
                http.unload(name)
                deadline = time.monotonic() + 30
                while pid in _stubs(server) and time.monotonic() < deadline:
                    time.sleep(0.02)
                return answers, threads

            yield loaded


def test_inference_mode(ask: Ask) -> None:
    for name, wanted in (("plain", 1.0), ("no_inference_mode", 0.0)):
        answers, _ = ask(name)
        assert {float(one["OUTPUT__1"][0]) for one in answers} == {wanted}


def test_optimized_execution(ask: Ask) -> None:
    """Behind its first runs an optimised graph is another one: its rounding changes."""
    for name, changes in (("plain", True), ("no_optimized_execution", False)):
        answers, _ = ask(name)
        different = {one["OUTPUT__0"].tobytes() for one in answers}
        assert (len(different) > 1) == changes, name


def test_threads_within_an_operation(ask: Ask) -> None:
    (_, one), (_, six) = ask("intra_1"), ask("intra_6")
    assert six >= one + 5


def test_threads_between_operations(ask: Ask) -> None:
    (_, one), (_, six) = ask("inter_1"), ask("inter_6")
    assert six >= one + 5
