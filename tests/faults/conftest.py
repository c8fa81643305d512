"""One healthy server and one proxy for all wire faults; a private store for stand-ins."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty.data import DIRECTORY, ON_THE_WIRE, Fault
from faulty.judge import Judged, judge
from faulty.submitted import HANDED_IN, MONITORED, MONITORING, handed_in
from faulty.wire import Proxy

from pytest_triton.criteria import load
from pytest_triton.deployment import Deployment
from pytest_triton.probe_set import SERVER_FLAGS, write_probes

#: Runs of the healthy subject: --healthy-runs, or this variable.
RUNS_VARIABLE = "TRITON_HEALTHY_RUNS"
Baseline = Callable[..., Judged]
#: The fixture of the proxy before the healthy subject of a kind.
PROXIES = {"wire": "proxy", "probes": "probes_proxy", "gpu": "gpu_proxy"}
#: Reference models that stand beside the probe models, as an endpoint's own.
BESIDE_PROBES = ("mlp", "versioned")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--healthy-runs",
        type=int,
        default=int(os.environ.get(RUNS_VARIABLE, "2")),
        help="how often the healthy subject is judged (default: 2)",
    )

    parser.addoption(
        "--faults",
        type=int,
        default=1,
        metavar="N",
        help="every N-th fault, others each day (default: 1, all of them)",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave faults out when a sample was asked for; pytest counts them as deselected."""
    every = config.getoption("--faults")
    if every <= 1:
        return
    turn = dt.datetime.now(dt.timezone.utc).date().toordinal()
    kept, left_out = [], []
    for item in items:
        fault = getattr(item, "callspec", None) and item.callspec.params.get("fault")
        if not isinstance(fault, Fault) or item.path.name != "test_faults.py":
            kept.append(item)
            continue
        turn += 1
        (kept if turn % every == 0 else left_out).append(item)
    items[:] = kept
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "healthy_run" in metafunc.fixturenames:
        runs = metafunc.config.getoption("--healthy-runs")
        metafunc.parametrize("healthy_run", range(1, runs + 1))


@pytest.fixture(scope="session", autouse=True)
def server_installed() -> None:
    """The default release, in the user's cache like everybody else's."""
    from pytest_triton.launch.store import install

    install()


@pytest.fixture(scope="session")
def healthy_repository() -> Path:
    """The reference repository in the cache; never written to."""
    from pytest_triton.repository.reference import reference_repository

    return reference_repository()


@pytest.fixture(scope="session")
def healthy_server(healthy_repository: Path) -> Iterator[Deployment]:
    """The server that all wire faults are put in front of."""
    from pytest_triton.launch.embedded import ServerSpec, embedded

    with embedded(ServerSpec(healthy_repository, device="cpu")) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def proxy(healthy_server: Deployment) -> Iterator[Proxy]:
    """The proxy in front of the healthy server; without rules it changes nothing."""
    server = healthy_server
    with Proxy(server.http_url, server.grpc_url, server.metrics_url) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def gpu_proxy(healthy_repository: Path) -> Iterator[Proxy]:
    """The proxy in front of a healthy server whose models are on a GPU."""
    from pytest_triton.launch.embedded import ServerSpec, embedded
    from pytest_triton.launch.machine import gpu_count

    if not gpu_count():
        pytest.skip("needs a GPU")
    with embedded(ServerSpec(healthy_repository, device="gpu")) as server:
        with Proxy(server.http_url, server.grpc_url, server.metrics_url) as proxy:
            yield proxy


@pytest.fixture(scope="session")
def probes_proxy(
    healthy_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """The proxy in front of a healthy endpoint that serves the probe models and others."""
    from pytest_triton.launch.embedded import ServerSpec, embedded

    repository = write_probes(tmp_path_factory.mktemp("probes"))
    for name in BESIDE_PROBES:
        shutil.copytree(healthy_repository / name, repository / name)
    spec = ServerSpec(repository, device="cpu", auto_complete=False, server_args=SERVER_FLAGS)
    with embedded(spec) as server:
        with Proxy(server.http_url, server.grpc_url, server.metrics_url) as proxy:
            yield proxy


@pytest.fixture(scope="session")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache whose tritonserver is the stand-in."""
    from faulty import servers

    return servers.private_cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Clause -> its tests, as the judge collects them."""
    directory = tmp_path_factory.mktemp("collected")
    (directory / "pytest.ini").write_text("[pytest]\n")  # node ids depend on where it stands
    env = {**os.environ, "PYTHONPATH": str(DIRECTORY)}
    made = subprocess.run(
        [sys.executable, "-m", "faulty.collect"], env=env, cwd=directory, capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    found: dict[str, dict[str, Any]] = json.loads(made.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="session")
def slow(collected: dict[str, dict[str, Any]]) -> Callable[..., list[str]]:
    """Tests of clauses that are measured, that wait, or that boot servers of their own.

    Left out of a run for speed, but for the clause of its fault, and those named in ``run``.
    """
    clauses = load().clauses

    def others(kind: str, wanted: tuple[str, ...] = ()) -> list[str]:
        def left_out(name: str, tests: dict[str, Any]) -> bool:
            boots = tests["boots"] or (tests["probes"] and kind not in ON_THE_WIRE)
            takes = clauses[name].measured or clauses[name].waits
            if kind == "monitoring" and not name.startswith(MONITORED):
                return True
            return (takes or boots) and name not in wanted

        return [node for name, tests in collected.items() if left_out(name, tests)
                for node in tests["nodes"]]  # fmt: skip

    return others


@pytest.fixture(scope="session")
def baseline(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    slow: Callable[..., list[str]],
) -> Baseline:
    """The verdict on the healthy subject of a kind, made once."""
    kept: dict[tuple[str, str], Judged] = {}

    def get(kind: str, models: str = "*") -> Judged:
        if (kind, models) not in kept:
            arguments, environment = ["--triton-device", "cpu", "--triton-models", models], {}
            if kind in ON_THE_WIRE:
                through: Proxy = request.getfixturevalue(PROXIES[kind])
                through.rules([])
                arguments = through.arguments
            elif kind == "repository":
                healthy = request.getfixturevalue("healthy_repository")
                arguments += ["--triton-repository", str(healthy)]
            elif kind == "handed_in":
                arguments = HANDED_IN
            elif kind == "monitoring":
                arguments = MONITORING
                directory = tmp_path_factory.mktemp("handed-in") / "handed_in"
                environment = {"PYTEST_TRITON_HANDED_IN": str(handed_in(directory))}
            else:
                cache = request.getfixturevalue("private_cache")
                environment = {"PYTEST_TRITON_CACHE": str(cache)}
            kept[kind, models] = judge(
                tmp_path_factory.mktemp(f"healthy-{kind}"), arguments, environment=environment,
                deselect=slow(kind),
            )  # fmt: skip
        return kept[kind, models]

    return get
