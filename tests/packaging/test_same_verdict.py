"""A wheel, an editable install and a checkout judge alike."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

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
        return [
            pb_utils.InferenceResponse([
                pb_utils.Tensor("Y", pb_utils.get_input_tensor_by_name(request, "X").as_numpy())
            ])
            for request in requests
        ]
"""
PYARGS = ("--pyargs", "pytest_triton.suites")
#: What is judged three times: all but operations, which start, stop and kill servers of their own.
SCOPE = "setup,config,accuracy,protocol,batching,latency,metrics"


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "models"
    (path / "echo" / "1").mkdir(parents=True)
    (path / "echo" / "config.pbtxt").write_text(CONFIG)
    (path / "echo" / "1" / "model.py").write_text(MODEL)
    return path


@pytest.fixture(scope="session", autouse=True)
def server_installed() -> None:
    from pytest_triton.launch.store import install

    install()


def collected(environment: Any, suites: tuple[str, ...]) -> list[str]:
    """Names of the tests, without the path that differs."""
    output = environment.run(
        "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *suites
    )
    return [line.rpartition("/")[2] for line in output.splitlines() if "::" in line]


def table(environment: Any, suites: tuple[str, ...], repository: Path, out: Path) -> Any:
    """Criteria and clauses as they came out."""
    environment.run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", *suites, "--triton-repository",
        str(repository), "--triton-device", "cpu", "--triton-seed", "7", "--triton-scope",
        SCOPE, "--triton-report", str(out), "--triton-server-python", sys.executable,
        check=False, timeout=300,
    )  # fmt: skip
    report = json.loads((out / "report.json").read_text())
    return (
        report["complete"],
        report["verdict"],
        [(c["id"], c["status"], c["points"]) for c in report["criteria"]],
        [(c["id"], c["status"], c["reason_code"]) for c in report["clauses"]],
    )


def test_it_is_the_one_that_was_installed(from_wheel: Any, from_editable: Any, clone: Path) -> None:
    code = "import pytest_triton, sys; print(pytest_triton.__file__, 'torch' in sys.modules)"
    of_wheel, torch = from_wheel.run("-c", code).split()
    assert "site-packages" in of_wheel
    assert str(from_wheel.python.parents[1]) in of_wheel
    assert torch == "False"
    assert from_editable.run("-c", code).startswith(str(clone))


def test_the_same_tests(from_wheel: Any, from_editable: Any, from_checkout: Any) -> None:
    found = collected(from_wheel, PYARGS)
    assert len(found) > 60
    assert collected(from_editable, PYARGS) == found
    assert collected(from_checkout, ("suites",)) == found
    assert collected(from_checkout, ("--pyargs", "suites")) == found


def test_the_same_table(
    from_wheel: Any, from_editable: Any, from_checkout: Any, repository: Path, tmp_path: Path
) -> None:
    first = table(from_wheel, PYARGS, repository, tmp_path / "wheel")
    passed = [entry for entry in first[3] if entry[1] == "pass"]
    assert len(passed) > 25, first
    assert table(from_editable, PYARGS, repository, tmp_path / "editable") == first
    assert table(from_checkout, ("suites",), repository, tmp_path / "checkout") == first


def test_failures_show_what_was_compared(from_wheel: Any, tmp_path: Path) -> None:
    """The installed suites have their assertions rewritten by pytest."""
    output = from_wheel.run(
        "-m", "pytest", *PYARGS, "-p", "no:cacheprovider", "--triton-url", "http://127.0.0.1:9",
        "--triton-report", str(tmp_path), check=False,
    )  # fmt: skip
    assert "Traceback" not in output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"]["level"] == "none"
    assert report["verdict"]["exit_status"] == 1


def test_the_command_of_the_wheel(from_wheel: Any) -> None:
    script = from_wheel.python.with_name("pytest-triton")
    assert script.is_file()
    output = from_wheel.run(str(script), "--help")
    assert "server" in output


def test_the_data_of_the_wheel_is_found(from_wheel: Any) -> None:
    code = (
        "from pytest_triton.repository.reference import reference_models, reference_source\n"
        "from pytest_triton.criteria import load\n"
        "print(reference_source(), *reference_models())\nprint(len(load().clauses))"
    )
    told = from_wheel.run("-c", code).splitlines()
    assert str(from_wheel.python.parents[1]) in told[0]
    assert " mlp" in told[0]
    assert int(told[1]) > 70


#: What the base installation must do without.
WITHOUT = ("torch", "transformers", "pytest_html", "pytest_docker", "promql_parser")
BASE = f"""
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {WITHOUT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""


def test_a_base_installation_works_without_extras(
    from_wheel: Any, repository: Path, tmp_path: Path
) -> None:
    """Plugin, suites and catalogue without torch; no python but the tested one is asked."""
    code = BASE + (
        "import pytest\n"
        f"sys.exit(pytest.main(['--pyargs', 'pytest_triton.suites', '-q', '-p', 'no:html',"
        f"'-p', 'no:html_fixtures', '-p', 'no:cacheprovider', '--triton-scope', 'setup',"
        f"'--triton-repository', {str(repository)!r}, '--triton-device', 'cpu',"
        f"'--triton-server-python', {sys.executable!r}, '--triton-report', {str(tmp_path)!r}]))"
    )
    output = from_wheel.run("-c", code, timeout=300, check=False)
    report = json.loads((tmp_path / "report.json").read_text())
    statuses = {c["id"]: c["status"] for c in report["clauses"] if c["area"] == "setup"}
    assert "error" not in statuses.values(), output
    assert statuses["SET-01"] == "pass", output
