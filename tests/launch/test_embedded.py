"""A server for the length of a block: booted, ready, gone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pytest_triton.deployment import Deployment
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.ready import listens, request

COMPLETE = ("--disable-auto-complete-config",)


def test_boots_serves_and_leaves_nothing(repository: Path, model) -> None:
    model()
    with embedded(ServerSpec(repository, device="cpu")) as deployment:
        port = int(deployment.http_url.rpartition(":")[2])
        identity = deployment.log_path.parent.name.rpartition("-")[2]
        assert request(port, "GET", "/v2/health/ready")[0] == 200
        assert json.loads(request(port, "GET", "/v2")[1])["version"] == "2.51.0"
        assert deployment.models == deployment.serving == ("tiny",)
        assert deployment.failed == {}
        assert Path(f"/proc/{deployment.pid}").exists()
        assert [name for name in os.listdir("/dev/shm") if identity in name]
        assert Deployment.from_json(deployment.to_json()) == deployment
        assert "READY" in deployment.log_text()
    assert not Path(f"/proc/{deployment.pid}").exists()
    assert not listens(port)
    assert not [name for name in os.listdir("/dev/shm") if identity in name]
    assert not deployment.log_path.parent.exists()


def test_writes_nothing_into_the_repository(repository: Path, model) -> None:
    model()
    before = sorted(repository.rglob("*"))
    with embedded(ServerSpec(repository, device="cpu", server_args=COMPLETE)):
        pass
    assert sorted(repository.rglob("*")) == before


@pytest.mark.parametrize("release", ["24.07", "23.10"])
def test_older_releases(release: str, repository: Path, model) -> None:
    from pytest_triton.launch.store import RELEASES, install

    install(release)
    model()
    with embedded(ServerSpec(repository, release=release, device="cpu")) as deployment:
        port = int(deployment.http_url.rpartition(":")[2])
        assert json.loads(request(port, "GET", "/v2")[1])["version"] == RELEASES[release].version
        assert deployment.release == release
