"""Real servers whose limit is known: the analysis names it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pytest_triton.bottleneck.causes import EXHAUSTED, OTHERS
from pytest_triton.cli import cli
from pytest_triton.deployment import Deployment
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.store import install

sys.path.append(str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parents[1] / "faults"))
from faulty.wire import Proxy
from known_limits import CORES, FLAGS, write


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    install()
    repository = tmp_path_factory.mktemp("known") / "models"
    write(repository)
    spec = ServerSpec(repository, device="cpu", auto_complete=False, server_args=FLAGS)
    with embedded(spec) as deployment:
        yield deployment


@pytest.fixture
def proxy(known: Deployment) -> Iterator[Proxy]:
    with Proxy(known.http_url, None, known.metrics_url) as made:
        yield made


def _analysed(
    url: str, tmp_path: Path, *models: str, concurrency: str = "1,4", expected: int = 0
) -> dict[str, Any]:
    file = tmp_path / "found.json"
    done = CliRunner().invoke(cli, [
        "bottleneck", *models, "--url", url, "--concurrency", concurrency, "--duration", "1",
        "--json", str(file),
    ])  # fmt: skip
    assert done.exit_code == expected, done.output
    found: dict[str, Any] = json.loads(file.read_text())["models"][0]
    return {**found, "output": done.output}


def _keys(found: dict[str, Any]) -> tuple[str, str]:
    return found["latency"]["key"], found["throughput"]["key"]


def _or_neighbours(key: str, found: dict[str, Any]) -> str:
    """What is found, and on a machine that others use what they do to it."""
    level = found["levels"][-1]
    full = level["machine"] >= EXHAUSTED and level["others"] >= OTHERS
    return "neighbours" if full else key


@pytest.mark.parametrize(
    ("model", "concurrency", "keys"),
    [
        ("lone", "1,4", ("model", "instances")),
        ("roomy", "1,4", ("model", "none")),
        ("single", "1,4", ("model", "batching")),
        ("waits", "2", ("delay", "delay")),
        ("seated", "1,4", ("model", "scheduler")),
        ("cached", "1,2", ("cache", "cache")),
        ("chained", "1", ("steps", "steps")),
    ],
)
def test_the_limit_is_named(
    known: Deployment, tmp_path: Path, model: str, concurrency: str, keys: tuple[str, str]
) -> None:
    found = _analysed(known.http_url, tmp_path, model, concurrency=concurrency)
    assert _keys(found) == keys, found["output"]
    for what in ("latency", "throughput"):
        assert found[what]["title"] in found["output"]


def test_the_processors_are_exhausted(known: Deployment, tmp_path: Path) -> None:
    levels = f"1,{2 * CORES},{4 * CORES}"
    found = _analysed(known.http_url, tmp_path, "spins", concurrency=levels)
    assert found["throughput"]["key"] == _or_neighbours("processor", found), found["output"]


def test_large_answers(known: Deployment, tmp_path: Path) -> None:
    found = _analysed(known.http_url, tmp_path, "large", concurrency="1")
    assert found["latency"]["key"] == _or_neighbours("network", found), found["output"]


def test_other_programs_use_the_machine(known: Deployment, tmp_path: Path) -> None:
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(CORES)]
    try:
        found = _analysed(known.http_url, tmp_path, "spins", concurrency="1")
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    assert found["latency"]["key"] == "neighbours", found["output"]


def test_the_way_is_long(known: Deployment, proxy: Proxy, tmp_path: Path) -> None:
    proxy.rules([{"on": "http", "path": "/infer$", "given": 200, "delay": 0.05}])
    found = _analysed(proxy.http, tmp_path, "roomy", concurrency="1,4")
    assert found["latency"]["key"] == "network", found["output"]


def test_a_gateway_lets_one_in(known: Deployment, proxy: Proxy, tmp_path: Path) -> None:
    proxy.rules([{"on": "http", "path": "/infer$", "serial": True}])
    found = _analysed(proxy.http, tmp_path, "roomy", concurrency="1,8")
    assert _keys(found) == ("model", "gateway"), found["output"]


def test_requests_fail(known: Deployment, proxy: Proxy, tmp_path: Path) -> None:
    proxy.rules([
        {"on": "http", "path": "/infer$", "given": 200, "skip": 64, "every": 3, "status": 500}
    ])  # fmt: skip
    found = _analysed(proxy.http, tmp_path, "roomy", concurrency="1,4")
    assert _keys(found) == ("errors", "errors"), found["output"]


def test_every_ready_model_and_its_picture(known: Deployment, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = CliRunner().invoke(cli, [
        "bottleneck", "lone", "roomy", "--url", known.http_url, "--concurrency", "1,4",
        "--duration", "0.3", "--html", str(page),
    ])  # fmt: skip
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert "every instance is busy" in text
    assert text.count("<figure") == 4
    assert 'data-name="infer"' in text


def test_a_server_that_is_gone() -> None:
    done = CliRunner().invoke(cli, ["bottleneck", "lone", "--url", "http://127.0.0.1:9"])
    assert done.exit_code != 0
    assert "is a Triton there" in str(done.exception)
