"""Small repositories whose models need no torch, and what every launch test asserts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

CONFIG = """\
name: "{name}"
backend: "python"
max_batch_size: 8
input [ {{ name: "X" data_type: TYPE_FP32 dims: [ 4 ] }} ]
output [ {{ name: "Y" data_type: TYPE_FP32 dims: [ 4 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""
MODEL = """\
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + 1)]))
        return answers
"""

MakeModel = Callable[..., Path]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty model repository."""
    path = tmp_path / "repository"
    path.mkdir()
    return path


@pytest.fixture
def model(repository: Path) -> MakeModel:
    """Write one model of the python backend; ``code=None``: without its model.py."""

    def make(name: str = "tiny", *, config: str | None = None, code: str | None = MODEL,
             version: str = "1") -> Path:  # fmt: skip
        directory = repository / name
        (directory / version).mkdir(parents=True)
        text = CONFIG.format(name=name) if config is None else config
        (directory / "config.pbtxt").write_text(text)
        if code is not None:
            (directory / version / "model.py").write_text(code)
        return directory

    return make


@pytest.fixture
def torchscript(model: MakeModel) -> Callable[[str], Path]:
    """Write one TorchScript model."""
    torch = pytest.importorskip("torch")

    def make(name: str) -> Path:
        config = CONFIG.format(name=name).replace('"X"', '"X__0"').replace('"Y"', '"Y__0"')
        directory = model(name, config=config.replace('"python"', '"pytorch"'), code=None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.jit.trace(torch.nn.Linear(4, 4), torch.zeros(1, 4))
            module.save(str(directory / "1" / "model.pt"))
        return directory

    return make


@pytest.fixture(scope="session", autouse=True)
def server_installed() -> None:
    """The default release, in the user's cache like everybody else's."""
    from pytest_triton.launch.store import install

    install()
