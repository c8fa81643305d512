"""One server with the streaming models, for every test of streams."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.store import install

sys.path.append(str(Path(__file__).parent))
from streaming_server import Streaming, write_models


@pytest.fixture(scope="session")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streaming]:
    install()
    repository = tmp_path_factory.mktemp("streaming") / "models"
    write_models(repository)
    with embedded(ServerSpec(repository, device="cpu")) as deployment:
        yield Streaming(deployment, repository)
