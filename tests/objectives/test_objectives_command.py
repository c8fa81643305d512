"""pytest-triton objectives on a real server, straight and behind a gateway that fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pytest_triton.cli import cli
from pytest_triton.deployment import Deployment
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.store import install
from pytest_triton.repository.reference import reference_repository

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from faulty.wire import Proxy


@pytest.fixture(scope="module")
def served() -> Iterator[Deployment]:
    install()
    spec = ServerSpec(reference_repository(), models=("mlp", "generator"), device="cpu")
    with embedded(spec) as deployment:
        yield deployment


def _objectives(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["objectives", "--url", url, *arguments])


def test_kept_by_both_accounts(served: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "seen.json"
    done = _objectives(
        served.http_url, "mlp", "--availability", "95", "--window", "3", "--json", str(file)
    )
    assert done.exit_code == 0, done.output
    assert done.output.count("✓") == 2
    (seen,) = json.loads(file.read_text())
    accounts = seen["accounts"]
    assert accounts["good"] == accounts["success"] > 90
    assert accounts["bad"] == accounts["failure"] == 0


def test_what_a_gateway_hides_from_the_server(served: Deployment) -> None:
    with Proxy(served.http_url, None, None) as proxy:
        proxy.rules([{"on": "http", "path": "/infer$", "given": 200, "skip": 64, "every": 5,
                      "status": 503}])  # fmt: skip
        done = _objectives(proxy.http, "mlp", "--availability", "95", "--window", "3")
    assert done.exit_code == 1, done.output
    assert "✗" in done.output
    assert "a gateway's error" in done.output


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_streams(served: Deployment, protocol: str) -> None:
    done = _objectives(
        served.http_url, "generator", "--protocol", protocol, "--grpc-url", str(served.grpc_url),
        "--availability", "90", "--ttft-p50-ms", "1000", "--itl-p50-ms", "500", "--window", "4.5",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "TTFT p50" in done.output
    assert "ITL p50" in done.output


def test_a_short_window_cannot_tell(served: Deployment) -> None:
    done = _objectives(served.http_url, "mlp", "--availability", "99.99", "--window", "0.5")
    assert done.exit_code == 13, done.output
    assert "a longer window would tell" in done.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "name a MODEL"),
        (("mlp", "--ttft-p95-ms", "5"), "does not stream"),
        (("mlp", "--request-rate", "5", "--concurrency", "2"), "one of --request-rate"),
        (("nothing",), "nothing"),
    ],
)
def test_what_is_misused(served: Deployment, arguments: tuple[str, ...], told: str) -> None:
    done = _objectives(served.http_url, *arguments)
    assert done.exit_code != 0
    assert told in done.output + str(done.exception)
