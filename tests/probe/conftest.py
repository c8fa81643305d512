"""A real server with tiny models, one for all tests of the probes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_triton.deployment import Deployment
from pytest_triton.probe.grpc import GrpcProbe
from pytest_triton.probe.http import HttpProbe


@pytest.fixture(scope="session")
def probe_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    from probe_models import write_models

    from pytest_triton.launch.embedded import ServerSpec, embedded
    from pytest_triton.launch.store import install

    install()
    repository = tmp_path_factory.mktemp("probe") / "models"
    repository.mkdir()
    write_models(repository)
    spec = ServerSpec(repository, device="cpu", server_args=("--disable-auto-complete-config",))
    with embedded(spec) as deployment:
        yield deployment


@pytest.fixture
def http_probe(probe_server: Deployment) -> Iterator[HttpProbe]:
    with HttpProbe(probe_server.http_url, timeout=60) as probe:
        yield probe


@pytest.fixture
def grpc_probe(probe_server: Deployment) -> Iterator[GrpcProbe]:
    assert probe_server.grpc_url is not None
    with GrpcProbe(probe_server.grpc_url, timeout=60) as probe:
        yield probe


@pytest.fixture(params=["http", "grpc"])
def probe(request: pytest.FixtureRequest) -> HttpProbe | GrpcProbe:
    """Either protocol: what a test asserts holds for both."""
    found: HttpProbe | GrpcProbe = request.getfixturevalue(f"{request.param}_probe")
    return found
