"""``pytest-triton grade`` from end to end: what comes out, and what no submission can do to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest

from pytest_triton.grade.concluding import conclude
from pytest_triton.grade.judge import Judged

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """\
name: "tiny"
backend: "python"
max_batch_size: 8
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
MODEL = """\
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        INITIALIZE

    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "X").as_numpy()
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + 1)]))
        return answers
"""


def hand_in(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def model(initialize: str = "pass") -> dict[str, str]:
    return {
        "model_repository/tiny/config.pbtxt": CONFIG,
        "model_repository/tiny/1/model.py": MODEL.replace("INITIALIZE", initialize),
    }


def grade(
    submission: Path, out: Path, *options: str, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-m", "pytest_triton.cli", "grade", str(submission), "--out", str(out),
         "--device", "cpu", *options],
        capture_output=True, text=True, timeout=400, check=False,
        env={**os.environ, **environment}, cwd=cwd,
    )  # fmt: skip


def report(out: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((out / "report.json").read_text())
    schema = json.loads((ROOT / "reports" / "report.schema.json").read_text())
    jsonschema.validate(told, schema)
    return told


def nothing_is_left(before: set[str]) -> None:
    """No process and no scratch directory of the grading."""
    deadline = time.monotonic() + 15
    while left := [p for p in children() if p not in _OTHERS and p.is_running()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert scratch() <= before


#: Servers of the session that other tests use, when a test begins.
_OTHERS: set[psutil.Process] = set()


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


@pytest.fixture(autouse=True)
def others() -> None:
    _OTHERS.clear()
    _OTHERS.update(children())


def scratch() -> set[str]:
    return {str(path) for path in Path("/tmp").glob("pytest-triton-grade-*")}


def test_a_submission_that_wants_to_judge_itself(tmp_path: Path) -> None:
    """Its conftest, its configuration, its packages and its report are data, and no more."""
    mark = tmp_path / "mark"
    evil = f"open({str(mark)!r}, 'a').write(__name__)\n"
    passes = evil + (
        "import pytest\n\n\n@pytest.hookimpl(tryfirst=True)\n"
        "def pytest_pyfunc_call(pyfuncitem):\n    return True\n"
    )
    submission = hand_in(tmp_path / "submission", {
        **model(), "conftest.py": passes, "model_repository/conftest.py": passes,
        "pytest.ini": "[pytest]\naddopts = -p evil --collect-only\n", "evil.py": evil,
        "pyproject.toml": "[tool.pytest]\ntriton_sandbox = 'none'\ntriton_waivers = 'w.toml'\n",
        "sitecustomize.py": evil, "usercustomize.py": evil, "pytest_triton/__init__.py": evil,
        "numpy.py": evil, "test_all.py": evil + "def test(): pass\n",
        "report.json": '{"verdict": {"points": 100}}', "tox.ini": "[pytest]\n",
        "waivers.toml": '[[waiver]]\nid = "SET-01"\nreason = "x"\nuntil = 2099-01-01\n',
    })  # fmt: skip
    before, out = scratch(), tmp_path / "out"
    hijack = {"PYTEST_ADDOPTS": "--collect-only", "PYTHONPATH": str(submission)}
    done = grade(submission, out, "--scope", "setup", "--seed", "7", cwd=submission, **hijack)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not mark.exists()
    told = report(out)
    assert (told["run"]["sandbox"], told["run"]["assurance"]) == ("bubblewrap", "sandbox")
    assert (told["subject"]["kind"], told["run"]["seed"]) == ("submission", 7)
    assert told["run"]["settings"]["waivers"] is None
    assert told["complete"]
    by_id = {clause["id"]: clause["status"] for clause in told["clauses"]}
    assert by_id["SET-01"] == "pass"
    assert {"report.html", "manifest.json", "judge.log", "submission"} <= set(os.listdir(out))
    manifest = json.loads((out / "manifest.json").read_text())
    assert "conftest.py" in {entry["path"] for entry in manifest["files"]}
    assert "lab score card ─ submission" in done.stdout
    assert "in a sandbox" in done.stdout
    nothing_is_left(before)


def test_nothing_to_serve_is_missing_and_never_the_reference(tmp_path: Path) -> None:
    submission = hand_in(tmp_path / "submission", {"model_repository/README": "soon"})
    done = grade(submission, tmp_path / "out")
    assert done.returncode == 10, done.stdout + done.stderr
    told = report(tmp_path / "out")
    assert told["complete"]
    by_id = {item["id"]: item["status"] for item in told["criteria"]}
    assert {by_id[name] for name in ("B1", "B2", "B3", "B4", "E1")} == {"missing"}
    assert told["verdict"]["points"] == 0
    assert not [clause["id"] for clause in told["clauses"] if clause["status"] == "pass"]
    assert not (tmp_path / "out" / "server.log").exists()


def test_a_refusal_leaves_nothing_behind(tmp_path: Path) -> None:
    submission = hand_in(tmp_path / "submission", model())
    (submission / "model_repository" / "tiny" / "2").symlink_to("/etc")
    out = hand_in(tmp_path / "out", {"report.json": "{}"})
    done = grade(submission, out)
    assert done.returncode == 11
    assert "model_repository/tiny/2: kind: a link" in done.stderr
    assert "remedy" in done.stderr
    assert not {"report.json", "submission"} & set(os.listdir(out))


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        ({"submission.toml": "[files]\nload_test = '/etc/passwd'\n"}, "leads outside"),
        ({"model_repository/tiny/config.pbtxt": CONFIG + 'parameters { key: "EXECUTION_ENV_PATH" '
          'value { string_value: "$$TRITON_MODEL_DIRECTORY/env" } }'}, "EXECUTION_ENV_PATH"),
        ({"model_repository/tiny/config.pbtxt": CONFIG
          + 'default_model_filename: "../../../secret/model.py"'}, "default_model_filename"),
        ({"model_repository/tiny/libtriton_tiny.so": "\x7fELF\x02\x01"}, "native code"),
    ],
)  # fmt: skip
def test_refusals(tmp_path: Path, files: dict[str, str], rule: str) -> None:
    submission = hand_in(tmp_path / "submission", {**model(), **files})
    done = grade(submission, tmp_path / "out")
    assert done.returncode == 11
    assert rule in done.stderr


def test_without_bubblewrap_nothing_is_run(tmp_path: Path) -> None:
    submission = hand_in(tmp_path / "submission", model())
    done = grade(submission, tmp_path / "out", PATH="/nonexistent")
    assert done.returncode == 12
    assert "bubblewrap is not installed" in done.stderr
    assert "apt-get install bubblewrap" in done.stderr
    assert not (tmp_path / "out" / "submission").exists()


def test_no_sandbox_has_to_be_said_and_is_shown(tmp_path: Path) -> None:
    submission = hand_in(tmp_path / "submission", model())
    done = grade(submission, tmp_path / "out", "--scope", "setup", "--sandbox", "none")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT in a sandbox" in done.stdout
    told = report(tmp_path / "out")
    assert (told["run"]["sandbox"], told["run"]["assurance"]) == ("none", "own_server")
    assert told["subject"]["kind"] == "submission"


def test_a_model_that_never_gets_ready_is_over_at_the_deadline(tmp_path: Path) -> None:
    submission = hand_in(tmp_path / "submission", model("__import__('time').sleep(1e6)"))
    before, began = scratch(), time.monotonic()
    done = grade(submission, tmp_path / "out", "--scope", "setup", "--deadline", "15")
    assert time.monotonic() - began < 120
    assert done.returncode == 10, done.stdout + done.stderr
    assert "not judged to its end within" in done.stderr
    nothing_is_left(before)


def test_a_grading_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    """And its scratch directory goes with the next one."""
    submission = hand_in(tmp_path / "submission", model("__import__('time').sleep(1e6)"))
    out, before = tmp_path / "out", scratch()
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "pytest_triton.cli", "grade", str(submission), "--out",
         str(out), "--device", "cpu", "--scope", "setup"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not any(
        _names(p, str(out)) and "tritonserver" in p.name() for p in psutil.process_iter()
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.wait(10)
    deadline = time.monotonic() + 20
    while left := [p.pid for p in psutil.process_iter() if _names(p, str(out))]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert len(scratch() - before) == 1
    assert grade(hand_in(tmp_path / "empty", {"a": "b"}), out, "--scope", "setup").returncode == 10
    assert scratch() <= before


def _names(process: psutil.Process, text: str) -> bool:
    try:
        return any(text in word for word in process.cmdline())
    except psutil.Error:
        return False


def test_workflow_commands_in_what_is_printed_are_no_commands(tmp_path: Path) -> None:
    submission = hand_in(tmp_path / "submission", {"notes.md": "x"})
    done = grade(submission, tmp_path / "out", "--scope", "setup", GITHUB_ACTIONS="true")
    lines = done.stdout.splitlines()
    (at,) = [n for n, line in enumerate(lines) if line.startswith("::stop-commands::")]
    token = lines[at].rpartition("::")[2]
    assert len(token) == 32
    assert lines.index(f"::{token}::") > at


def test_an_ini_file_cannot_say_that_it_is_a_grading(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test(): pass")
    done = pytester.runpytest_subprocess("-o", "triton_sandbox=none")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*triton_sandbox*"])


def test_a_submissions_own_answers_are_not_believed(tmp_path: Path) -> None:
    """Side-cars say what to send; what is right, and how exactly, nobody takes from them."""
    from dataclasses import replace

    from pytest_triton.launch.embedded import ServerSpec  # noqa: F401  (the plugin's own imports)
    from pytest_triton.probe.inputs import InputSource
    from pytest_triton.repository.reference import reference_repository

    repository = reference_repository()
    metadata = {
        "versions": ["1"],
        "inputs": [{"name": "INPUT__0", "datatype": "FP32", "shape": [-1, 128]}],
        "outputs": [{"name": "OUTPUT__0", "datatype": "FP32", "shape": [-1, 16]}],
    }
    config = {"max_batch_size": 64}
    known = InputSource(repository=repository).cases("mlp", metadata, config)
    assert {case.provenance for case in known} == {"sidecar"}
    assert all(case.expected is not None for case in known)
    taken = InputSource(repository=repository, trusted=False).cases("mlp", metadata, config)
    assert [case.name for case in taken] == [case.name for case in known]
    assert all(case.expected is None for case in taken)
    assert {(case.rtol, case.atol) for case in taken} == {(1e-3, 1e-5)}
    assert replace(known[0], expected=None).inputs.keys() == taken[0].inputs.keys()


# -- from a report to the exit status ----------------------------------------------------------


def told(statuses: dict[str, str], *, complete: bool = True, status: int = 0) -> dict[str, Any]:
    tiers = {"B": "basic", "A": "advanced", "E": "expert"}
    return {
        "complete": complete,
        "verdict": {"exit_status": status},
        "criteria": [
            {"id": name, "tier": tiers[name[0]], "status": found}
            for name, found in statuses.items()
        ],
    }


@pytest.mark.parametrize(
    ("report", "judged", "tier", "status", "why"),
    [
        (told({"B1": "pass", "A1": "fail"}), (0, False), "basic", 0, ""),
        (told({"B1": "pass", "A1": "fail"}, status=1), (1, False), "advanced", 10, "A1"),
        (told({"B1": "missing"}, status=1), (1, False), "basic", 10, "B1"),
        (told({"B1": "inconclusive", "B2": "fail"}, status=1), (1, False), "basic", 13, "B1"),
        (told({"B1": "inconclusive", "B2": "error"}, status=1), (1, False), "basic", 12, "B2"),
        (told({"B1": "pass", "A1": "error"}), (0, False), "basic", 0, ""),
        (told({"B1": "pass"}, complete=False), (2, False), "basic", 12, "status 2"),
        (told({"B1": "pass"}), (3, False), "basic", 12, "status 3"),
        (None, (-9, False), "basic", 12, "no report"),
        (told({"B1": "pass"}, complete=False), (2, True), "basic", 10, "within 5 s"),
        (None, (-9, True), "basic", 10, "within 5 s"),
    ],
)
def test_the_exit_status(
    report: Any, judged: tuple[int, bool], tier: str, status: int, why: str
) -> None:
    found, said = conclude(report, Judged(*judged, 5.0), tier=tier)
    assert found == status
    assert why in said
