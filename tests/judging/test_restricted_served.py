"""A real server whose APIs are restricted: open without its header, and passing with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_triton.criteria import NotAssessed
from pytest_triton.deployment import Deployment
from pytest_triton.errors import SubjectFault
from pytest_triton.evidence import Evidence
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.store import install
from pytest_triton.probe_set import SERVER_FLAGS, write_probes
from pytest_triton.repository.reference import reference_repository
from pytest_triton.restricted import restriction

APIS = "model-repository,shared-memory,trace,logging"
#: Suites that ask nothing but restricted APIs, or need them.
SUITES = ("trace_settings", "log_settings", "shared_memory", "cuda_memory", "repository_api")
HTTP, GRPC = "admin-key", "triton-grpc-protocol-admin-key"
REFUSAL = "403: This API is restricted, expecting header 'admin-key'"
LIMIT = 120.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    install()
    repository = write_probes(tmp_path_factory.mktemp("restricted") / "models")
    shutil.copytree(reference_repository() / "mlp", repository / "mlp")
    keys = [f"--{flag}={APIS}:{HTTP}=s3cret"
            for flag in ("http-restricted-api", "grpc-restricted-protocol")]  # fmt: skip
    spec = ServerSpec(
        repository, device="cpu", auto_complete=False, server_args=(*SERVER_FLAGS, *keys),
        headers=((HTTP, "s3cret"), (GRPC, "s3cret")),
    )  # fmt: skip
    with embedded(spec) as deployment:
        yield deployment


def _judged(
    server: Deployment, directory: Path, *more: str, control: bool = True
) -> dict[str, tuple[str, str, str]]:
    """Clause -> (status, code, reason) of the clauses that were run."""
    (directory / "pytest.ini").write_text("[pytest]\n")
    report = directory / "report"
    names = [f"pytest_triton.suites.test_{name}" for name in SUITES]
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", *names,
        "pytest_triton.suites.test_config", "--triton-report", str(report),
        *(["--triton-allow-control"] if control else []),
        "--triton-url", server.http_url, "--triton-grpc-url", str(server.grpc_url), *more,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=LIMIT, check=False,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    assert (report / "report.json").exists(), done.stdout[-2000:] + done.stderr[-2000:]
    told = json.loads((report / "report.json").read_text("utf-8"))
    return {
        clause["id"]: (clause["status"], clause["reason_code"] or "", clause["reason"])
        for clause in told["clauses"]
        if clause["nodeids"]
    }


def test_without_the_header_nothing_is_blamed(server: Deployment, tmp_path: Path) -> None:
    judged = _judged(server, tmp_path)
    assert {status for status, _, _ in judged.values()} <= {"pass", "not_assessed"}
    blocked = {name: reason for name, (_, code, reason) in judged.items() if code == "blocked"}
    assert set(blocked) >= {"TRC-01", "TRC-03", "LOG-01", "LOG-07", "SHM-01", "SHM-07", "CSH-01",
                            "REP-06", "REP-18", "PTM-02"}  # fmt: skip
    for name, reason in blocked.items():
        assert "the server restricts this API" in reason, (name, reason)
        assert "give --triton-header 'admin-key: VALUE'" in reason, (name, reason)
    assert f"'{GRPC}: VALUE'" in blocked["TRC-02"]
    # Configurations are not restricted: the models are known by the statistics.
    assert judged["CFG-01"][0] == "pass"


def test_with_the_header_everything_passes(server: Deployment, tmp_path: Path) -> None:
    judged = _judged(
        server, tmp_path, "--triton-header", f"{HTTP}: s3cret", "--triton-header", f"{GRPC}: s3cret"
    )
    assert not {name: told for name, told in judged.items() if told[0] == "fail"}
    assert not {name: told for name, told in judged.items() if told[1] == "blocked"}
    assert {"TRC-03", "LOG-02", "SHM-01", "REP-06", "PTM-02"} <= {
        name for name, told in judged.items() if told[0] == "pass"
    }


def test_settings_are_read_without_control(server: Deployment, tmp_path: Path) -> None:
    keys = ("--triton-header", f"{HTTP}: s3cret", "--triton-header", f"{GRPC}: s3cret")
    judged = _judged(server, tmp_path, *keys, control=False)
    for name in ("TRC-01", "LOG-01", "LOG-07", "CSH-01"):
        assert judged[name][0] == "pass", (name, judged[name])
    for name in ("TRC-02", "LOG-02", "CSH-02", "SHM-01"):
        assert judged[name][1] == "needs_control", (name, judged[name])


def test_a_finding_behind_a_restricted_api_is_open_for_an_endpoint_alone() -> None:
    for endpoint in (True, False):
        evidence = Evidence("TST-01", None)
        evidence.endpoint = endpoint
        with evidence.case("HTTP"):
            raise SubjectFault(f"is refused with {REFUSAL}")
        expected = NotAssessed if endpoint else AssertionError
        with pytest.raises(expected, match="restrict"):
            evidence.close()
        with pytest.raises(NotAssessed if endpoint else SubjectFault), evidence.assessed():
            raise SubjectFault(f"is refused with {REFUSAL}")


def test_another_finding_stays() -> None:
    evidence = Evidence("TST-01", None)
    evidence.endpoint = True
    with evidence.case("one"):
        raise SubjectFault(REFUSAL)
    with evidence.case("two"):
        raise SubjectFault("403: forbidden")
    with pytest.raises(AssertionError, match="two: 403: forbidden"), evidence.assessed():
        evidence.close()


@pytest.mark.parametrize("text", ["403: forbidden", "restricted, expecting header 'x'", ""])
def test_other_refusals_are_none(text: str) -> None:
    assert restriction(text) == ""
