"""What examples/ci and the pre-commit hooks tell other repositories to run does run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[2]
CI = ROOT / "examples" / "ci"
SOUND = """\
backend: "python"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { kind: KIND_CPU } ]
dynamic_batching { }
"""
MODEL = """\
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        given = [pb_utils.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]) for x in given]
"""


@pytest.fixture(scope="session", autouse=True)
def server_installed() -> None:
    """The default release, in the user's cache like everybody else's."""
    from pytest_triton.launch.store import install

    install()


class Checkout:
    """Somebody else's git repository with one model."""

    def __init__(self, path: Path) -> None:
        self.path = path
        model = path / "model_repository" / "doubler"
        (model / "1").mkdir(parents=True)
        (model / "1" / "model.py").write_text(MODEL)
        self.config = model / "config.pbtxt"
        self.config.write_text(SOUND)
        subprocess.run(["git", "init", "-q", str(path)], check=True)
        subprocess.run(["git", "-C", str(path), "add", "--all"], check=True)

    def break_it(self) -> None:
        self.config.write_text(SOUND.replace("max_batch_size", "max_batchsize"))

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """As a runner does: bash, ending at the first failure."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        if cache := os.environ.get("PYTEST_TRITON_CACHE"):
            env["PYTEST_TRITON_CACHE"] = cache
        env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self.path, env={**env, **variables}, text=True, capture_output=True, timeout=180,
        )  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def read(name: str) -> Any:
    return yaml.safe_load((CI / name).read_text("utf-8"))


def steps(job: str) -> dict[str, str]:
    """The commands of a job of the workflow, by name."""
    found = read("github-workflow.yml")["jobs"][job]["steps"]
    return {step["name"]: step["run"] for step in found if "run" in step}


def test_the_readme_names_every_file() -> None:
    named = set(re.findall(r"^\| `([^`]+)`", (CI / "README.md").read_text("utf-8"), re.MULTILINE))
    assert named == {path.name for path in CI.iterdir()} - {"README.md"}


def test_what_is_installed() -> None:
    workflow, gitlab = read("github-workflow.yml"), read("gitlab-ci.yml")
    assert workflow["env"]["PYTEST_TRITON"] == gitlab["variables"]["PYTEST_TRITON"]
    for lint, suites in (
        (steps("lint")["install"], steps("suites")["install"]),
        (gitlab["triton-lint"]["script"][0], gitlab["triton-suites"]["script"][0]),
    ):
        assert lint == 'pip install "$PYTEST_TRITON"'
        assert suites == 'pip install "$PYTEST_TRITON[torch]"'
    for job in workflow["jobs"].values():
        uses = [step["uses"] for step in job["steps"] if "uses" in step]
        assert uses
        assert all(re.fullmatch(r"[\w-]+(/[\w-]+)+@v\d+", name) for name in uses)
        assert job["timeout-minutes"] <= 30


@pytest.mark.parametrize("broken", [False, True])
def test_lint_of_the_workflow(checkout: Checkout, broken: bool) -> None:
    if broken:
        checkout.break_it()
    env = {"REPOSITORY": read("github-workflow.yml")["env"]["REPOSITORY"]}
    commands = steps("lint")
    made = checkout.run(commands["annotations on the changed lines"], **env)
    assert made.returncode == int(broken), made.stderr
    place = "file=model_repository/doubler/config.pbtxt,line=2,col=1,"
    assert (f"::error {place}" in made.stdout) is broken
    made = checkout.run(commands["the same for code scanning"], **env)
    assert made.returncode == 0, made.stderr
    job = read("github-workflow.yml")["jobs"]["lint"]
    upload = next(s for s in job["steps"] if "upload-sarif" in s.get("uses", ""))
    sarif = json.loads((checkout.path / upload["with"]["sarif_file"]).read_text())
    assert bool(sarif["runs"][0]["results"]) is broken


@pytest.mark.parametrize("job", ["lint", "suites"])
def test_wrong_use_is_not_passed_over(checkout: Checkout, job: str) -> None:
    commands = steps(job)
    last = commands["the same for code scanning" if job == "lint" else "judge"]
    assert checkout.run(last, REPOSITORY="nowhere").returncode != 0


@pytest.mark.parametrize("broken", [False, True])
def test_lint_of_the_template(checkout: Checkout, broken: bool) -> None:
    if broken:
        checkout.break_it()
    template = read("gitlab-ci.yml")
    job = template["triton-lint"]
    made = checkout.run(
        "\n".join(job["script"][1:]), REPOSITORY=template["variables"]["REPOSITORY"]
    )
    assert made.returncode == int(broken), made.stderr
    report = job["artifacts"]["reports"]["codequality"]
    issues = json.loads((checkout.path / report).read_text())
    assert bool(issues) is broken
    if broken:
        assert issues[0]["location"]["path"] == "model_repository/doubler/config.pbtxt"
        assert "max_batchsize" in made.stdout


@pytest.mark.parametrize("of", ["workflow", "template"])
def test_the_suites(checkout: Checkout, of: str) -> None:
    if of == "workflow":
        commands = [steps("suites")["server"], steps("suites")["judge"]]
    else:
        commands = read("gitlab-ci.yml")["triton-suites"]["script"][1:]
    made = checkout.run(
        "\n".join(commands) + " --triton-scope setup", REPOSITORY="model_repository"
    )
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-1000:]
    assert (checkout.path / "triton-report" / "report.json").is_file()


# -- pre-commit ------------------------------------------------------------------------


def hooks() -> dict[str, dict[str, Any]]:
    found = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    return {hook["id"]: hook for hook in found}


def test_the_example_names_a_hook() -> None:
    (repo,) = read("pre-commit-config.yaml")["repos"]
    assert {hook["id"] for hook in repo["hooks"]} <= set(hooks())


@pytest.mark.parametrize(
    ("path", "whole", "alone"),
    [
        ("model_repository/x/config.pbtxt", True, True),
        ("config.pbtxt", True, True),
        ("model_repository/x/1/model.pt", True, False),
        ("model_repository/x/12/nested.json", True, False),
        ("model_repository/x/labels.txt", True, False),
        ("model_repository/x/old_config.pbtxt", False, False),
        ("src/main.py", False, False),
        ("README.md", False, False),
    ],
)
def test_which_files_start_a_hook(path: str, whole: bool, alone: bool) -> None:
    for name, expected in (("triton-lint", whole), ("triton-lint-config", alone)):
        assert bool(re.search(hooks()[name]["files"], path)) is expected, name


@pytest.mark.parametrize("broken", [False, True])
def test_the_hooks(checkout: Checkout, broken: bool) -> None:
    if broken:
        checkout.break_it()
    for hook in hooks().values():
        given = (
            "" if hook.get("pass_filenames") is False else "model_repository/doubler/config.pbtxt"
        )
        made = checkout.run(f"{hook['entry']} {given}")
        assert made.returncode == int(broken), made.stdout


def test_pre_commit_takes_them() -> None:
    for check, path in (
        ("validate-manifest", ROOT / ".pre-commit-hooks.yaml"),
        ("validate-config", CI / "pre-commit-config.yaml"),
    ):
        subprocess.run([sys.executable, "-m", "pre_commit", check, str(path)], check=True)
