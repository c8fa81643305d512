"""A server for the length of a block: booted, ready, gone."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
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


def test_the_log_is_this_boots_alone(repository: Path, model, tmp_path: Path) -> None:
    model()
    log = tmp_path / "report" / "server.log"
    for _ in range(2):
        with embedded(ServerSpec(repository, device="cpu", log_path=log)) as deployment:
            assert deployment.log_path == log
            assert deployment.log_text().count("Started HTTPService") == 1
    assert log.exists()


def test_flags_of_the_caller_win(repository: Path, model) -> None:
    model()
    flags = ("--model-control-mode=none", "--allow-metrics=false", "--allow-grpc=false")
    with embedded(ServerSpec(repository, device="cpu", server_args=flags)) as deployment:
        assert deployment.grpc_url is None
        assert deployment.metrics_url is None
        assert "MODE_NONE" in deployment.log_text()
        assert deployment.serving == ("tiny",)


def test_several_at_once(repository: Path, model) -> None:
    model()
    spec = ServerSpec(repository, device="cpu")

    def one(_: int) -> str:
        with embedded(spec) as deployment:
            port = int(deployment.http_url.rpartition(":")[2])
            assert request(port, "GET", "/v2/health/ready")[0] == 200
            return deployment.http_url

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(one, range(4)))) == 4


def test_an_error_inside_still_lets_models_finish(repository: Path, model, tmp_path: Path) -> None:
    mark = tmp_path / "finalized"
    source = model() / "1" / "model.py"
    finalize = f"\n    def finalize(self):\n        open({str(mark)!r}, 'w').close()\n"
    source.write_text(source.read_text() + finalize)
    with pytest.raises(ZeroDivisionError), embedded(ServerSpec(repository, device="cpu")):
        _ = 1 / 0
    assert mark.exists()


@pytest.mark.parametrize("release", ["24.10", "23.10"])
def test_torchscript(release: str, repository: Path, torchscript) -> None:
    torchscript("first")
    torchscript("second")
    spec = ServerSpec(repository, device="cpu", release=release)
    with embedded(spec) as deployment:
        assert deployment.serving == ("first", "second")
