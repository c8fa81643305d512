"""One server with a model for every row of the table; each is loaded when its row is judged."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from backend_repository import Table

HERE = Path(__file__).resolve().parent
BACKEND = HERE.parent.parent / "pytest_triton" / "backends" / "pytorch"
# The backend's modules import each other by plain names, as Triton lets them.
for folder in (BACKEND, HERE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    """The server of the whole table; ``PYTEST_TRITON_TEST_RELEASE`` names another release."""
    from backend_repository import Table, build
    from backend_table import CASES

    from pytest_triton.launch.embedded import ServerSpec, embedded

    repository = tmp_path_factory.mktemp("backend") / "repository"
    build(repository, CASES)
    log = repository.parent / "server.log"
    release = os.environ.get("PYTEST_TRITON_TEST_RELEASE", "24.10")
    spec = ServerSpec(
        repository=repository,
        models=(),
        release=release,
        device="cpu",
        server_args=("--disable-auto-complete-config",),
        log_path=log,
    )
    with embedded(spec, tolerant=True) as deployment:
        yield Table(deployment.http_url, deployment.grpc_url or "", repository, log, release)
