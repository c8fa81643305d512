"""pytest-xdist: one server for all workers, turns at it, and the same verdict."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.criteria.catalogue import load

pytest.importorskip("xdist")

TEAM = """
import json, os, time
from pathlib import Path
import pytest

@pytest.mark.parametrize("n", range(8))
def test_one_server(n, triton, triton_client):
    import numpy as np
    sent = np.full((1, 4), n, np.float32)
    assert (triton_client.infer("tiny", X=sent)["Y"] == sent + 1).all()
    Path(f"told-{os.environ['PYTEST_XDIST_WORKER']}-{n}.json").write_text(triton.to_json())

@pytest.mark.parametrize("n", range(8))
def test_exact(n, triton, triton_metrics, triton_client):
    import numpy as np
    Path(f"told-{os.environ['PYTEST_XDIST_WORKER']}-x{n}.json").write_text(triton.to_json())
    with triton_metrics.delta("tiny") as d:
        for _ in range(5):
            triton_client.infer("tiny", X=np.zeros((1, 4), np.float32))
            time.sleep(0.01)
    assert (d.success, d.failure, d.inferences) == (5, 0, 5)
"""
CONFIG = """
backend: "python"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
MODEL = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y",
                pb_utils.get_input_tensor_by_name(request, "X").as_numpy() + 1)])
                for request in requests]
"""
HANGING = """
import time
from contextlib import suppress
from pathlib import Path
import pytest

@pytest.mark.parametrize("n", range(2))
def test_it(n, triton):
    Path(f"told-{n}.json").write_text(triton.to_json())
    time.sleep(300)
"""


def repository(project) -> Path:
    project.write("models/tiny/config.pbtxt", CONFIG)
    project.write("models/tiny/1/model.py", MODEL)
    return project.path / "models"


def told(project) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in project.path.glob("told-*.json")]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def left_over(deployment: dict[str, Any], scratch: Path) -> list[str]:
    found = [str(path) for path in scratch.glob("pytest-triton-*")]
    return found + ([f"pid {deployment['pid']}"] if alive(deployment["pid"]) else [])


def test_one_server_and_exact_counters(project, tmp_path, monkeypatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    project.write("test_team.py", TEAM)
    result = project.run("-n2", "--triton-repository", repository(project), "--triton-device",
                         "cpu", "--dist", "worksteal", subprocess=True)  # fmt: skip
    assert result.outcomes == {"passed": 16}, result.output
    servers = {deployment["pid"] for deployment in told(project)}
    workers = {path.name.split("-")[1] for path in project.path.glob("told-*.json")}
    assert len(servers) == 1
    assert workers == {"gw0", "gw1"}
    assert not left_over(told(project)[0], scratch)
    assert result.report is None


def test_killed_it_leaves_nothing(project, tmp_path, monkeypatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    project.write("test_hanging.py", HANGING)
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-n2", "-p", "no:html", "--triton-repository",
             str(repository(project)), "--triton-device", "cpu"],
            cwd=project.path, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while len(told(project)) < 2:
            assert process.poll() is None, (tmp_path / "output").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
        process.wait(20)
        first, second = told(project)
        assert first == second
        deadline = time.monotonic() + 10
        while left := left_over(first, scratch):
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
    finally:
        # Its workers too: without a controller they sleep on in their tests.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


def test_runs_without_triton_write_nothing(project, tmp_path, monkeypatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    project.write("test_it.py", "def test_it(): pass\n")
    project.write(
        "conftest.py",
        """
from pathlib import Path
def pytest_sessionfinish(session):
    import tempfile
    assert not list(Path(tempfile.gettempdir()).glob("pytest-triton-*"))
""",
    )
    assert project.run("-n2", subprocess=True).outcomes == {"passed": 1}


@pytest.mark.parametrize("more", [(), ("--triton-scope", "setup"), ("-k", "not SET-01"), ("--co",)])
def test_the_tiny_suite_gives_the_same(project, more: tuple[str, ...]) -> None:
    project.suite(
        {"INF-01": "fail", "MTR-08": "fail", "PTM-01": "skip", "SET-02": "teardown:error"}
    )
    # Measured clauses apart, which say so.
    alone = project.run("suite", *more)
    together = project.run("suite", "-n2", *more, subprocess=True)
    assert together.status == alone.status
    if alone.report is None:
        assert together.report is None
        return
    assert together.report is not None, together.output
    for ours, theirs in zip(alone.report["clauses"], together.report["clauses"], strict=True):
        if theirs["reason_code"] == "neighbours":
            assert "quiet" in load().clauses[ours["id"]].needs
        else:
            assert {**ours, "duration_s": 0} == {**theirs, "duration_s": 0}
    assert together.report["complete"] == alone.report["complete"]


def test_a_worker_that_dies_leaves_holes(project) -> None:
    project.suite(
        conftest="""
import os, pytest
@pytest.fixture(autouse=True)
def dies(request):
    if "HLT-05" in request.node.nodeid:
        os._exit(3)
"""
    )
    result = project.run("suite", "-n2", "--max-worker-restart", "0", subprocess=True)
    assert result.status != 0
    assert result.report is not None, result.output
    assert not result.report["complete"]
    assert result.clause("HLT-05")["status"] == "not_assessed"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("suite", "--triton-profile", "certificate"), "not built yet"),
        (("suite", "--triton-waivers", "waivers.toml"), "unknown clause 'HLT-99'"),
        (("other",), "there is no clause 'ABC-01'"),
    ],
)
def test_what_is_refused_says_why(project, arguments: tuple[str, ...], text: str) -> None:
    project.suite()
    project.write("waivers.toml", '[[waiver]]\nid="HLT-99"\nreason="x"\nuntil=2999-01-01\n')
    project.write(
        "other/test_x.py", "import pytest\n@pytest.mark.clause('ABC-01')\ndef test(): ...\n"
    )
    refused = project.run("-n2", *arguments, subprocess=True)
    assert text in refused.output
    assert refused.status == 4
    assert "INTERNALERROR" not in refused.output


def test_the_suites_give_the_same_table_twice(project) -> None:
    """All clauses on a real server: with -n2, twice, as with -n0 but for the neighbours."""
    project.write(
        "conftest.py",
        """
import os
from pytest_triton.criteria import load
def pytest_collection_modifyitems(items):
    # What takes long and says "neighbours" with -n2 anyhow.
    quiet = {name for name, clause in load().clauses.items() if "quiet" in clause.needs}
    if "PYTEST_XDIST_WORKER" not in os.environ:
        items[:] = [i for i in items if i.get_closest_marker("clause").args[0] not in quiet]
""",
    )
    # Operations start servers of their own, which takes long and shares nothing.
    scope = "setup,config,accuracy,protocol,batching,latency,metrics"
    arguments = ("--pyargs", "pytest_triton.suites", "--triton-models", "mlp", "--triton-device",
                 "cpu", "--triton-seed", "7", "--triton-scope", scope)  # fmt: skip
    alone = project.run(*arguments, "-n0", subprocess=True)
    table = {clause["id"]: clause["status"] for clause in alone.report["clauses"]}
    for _ in range(2):
        together = project.run(*arguments, "-n2", subprocess=True)
        assert together.report is not None, together.output
        for clause in together.report["clauses"]:
            if clause["reason_code"] != "neighbours":
                assert clause["status"] == table[clause["id"]], clause
