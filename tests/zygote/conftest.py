"""A backend directory with the launcher in it, and small TorchScript models with known answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from pytest_triton.backends.zygote.install import STUB, install
from pytest_triton.deployment import Deployment
from pytest_triton.launch import store
from pytest_triton.launch.backends import backend_directory
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.overlay import overlay

CONFIG = """\
name: "{name}"
platform: "pytorch_libtorch"
max_batch_size: 8
input [ {{ name: "INPUT__0" data_type: TYPE_FP32 dims: [ 6 ] }} ]
output [ {{ name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 3 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""
MODELS = 8
FEW = ("tiny_0", "tiny_1")
X = np.arange(6, dtype=np.float32).reshape(1, 6)
RELEASES = ("24.10", "24.07", "23.10")


@pytest.fixture(scope="session")
def releases() -> tuple[str, ...]:
    for release in RELEASES:
        store.install(release)
    return RELEASES


@dataclass(frozen=True)
class Models:
    """A repository of ``MODELS`` models, and the right answer of each to ``X``."""

    repository: Path
    answers: dict[str, np.ndarray]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    import torch

    root = tmp_path_factory.mktemp("zygote") / "repository"
    answers = {}
    for number in range(MODELS):
        torch.manual_seed(number)
        name, module = f"tiny_{number}", torch.nn.Linear(6, 3).eval()
        (root / name / "1").mkdir(parents=True)
        (root / name / "config.pbtxt").write_text(CONFIG.format(name=name))
        torch.jit.script(module).save(str(root / name / "1" / "model.pt"))
        with torch.inference_mode():
            answers[name] = module(torch.from_numpy(X)).numpy()
    return Models(root, answers)


def ordinary(release: str, target: Path) -> Path:
    """A backend directory with Triton's own stub in its place."""
    shutil.copytree(backend_directory(store.find_server(release), overlay()), target)
    stub, home = target / "python" / STUB, target / "python" / "zygote"
    if (home / STUB).is_file():
        shutil.move(home / STUB, stub)
        shutil.rmtree(home)
    return target


def with_zygote(release: str, target: Path) -> Path:
    ordinary(release, target)
    root = store.find_server(release).path / "pytriton" / "tritonserver"
    assert install(target, root, overlay().bin / "python3").active
    return target


Boot = Callable[..., AbstractContextManager[Deployment]]


@pytest.fixture
def boot(models: Models, tmp_path: Path, releases: tuple[str, ...]) -> Boot:
    """Boot all models, or a few, with the launcher in place; logs to ``server.log``."""

    @contextmanager
    def run(
        release: str = "24.10",
        *,
        backends: Path | None = None,
        few: bool = False,
        **environment: str,
    ) -> Iterator[Deployment]:
        backends = backends or with_zygote(release, tmp_path / "backends")
        spec = ServerSpec(
            models.repository,
            models=FEW if few else None,
            release=release,
            device="cpu",
            server_args=(f"--backend-directory={backends}",),
            environment=environment,
            log_path=tmp_path / "server.log",
        )
        with embedded(spec) as deployment:
            yield deployment

    return run


def family(deployment: Deployment) -> list[psutil.Process]:
    """Every process of a server: the supervisor is told of orphans, so they are below it."""
    assert deployment.pid is not None
    supervisor = psutil.Process(deployment.pid).parent()
    assert supervisor is not None
    return supervisor.children(recursive=True)


def named(deployment: Deployment, name: str) -> list[psutil.Process]:
    """By the name that ps shows."""
    found = []
    for process in family(deployment):
        try:
            if process.name() == name and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def stubs(deployment: Deployment) -> list[psutil.Process]:
    """Stubs that were forked: their program is the interpreter beside the stub."""
    return [
        process
        for process in named(deployment, "triton_python_b")
        if Path(process.exe()).name == "interpreter"
    ]
