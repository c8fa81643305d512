"""The command: formats, exit status, places, settings, and what a hostile repository may try."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pytest_triton.cli import cli
from pytest_triton.errors import Misused
from pytest_triton.repository.lint import rules

#: An unknown field (CFG003) and an unknown value (CFG004); the last line is correct.
BROKEN = """\
backend: "python"
max_batchsize: 8  # eight
input [ { name: "x" data_type: TYPE_FLOAT32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
CLEAN = """\
backend: "python"
max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
dynamic_batching { }
"""
ONLY = ["--select", "CFG"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a broken and a sound model in ./model_repository."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("classifier", BROKEN), ("sound", CLEAN)):
        write(tmp_path / "model_repository" / name, text)
    return tmp_path


def write(model: Path, text: str) -> Path:
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.py").write_text("class TritonPythonModel:\n    pass\n")
    (model / "config.pbtxt").write_text(text)
    return model


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["lint", *arguments])


def rows(*arguments: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run(*arguments, "--format", "json").stdout)
    return found


def test_text(here: Path) -> None:
    made = run("model_repository", *ONLY)
    assert made.exit_code == 1
    assert made.stdout.splitlines() == [
        "model_repository/classifier/config.pbtxt:2:1  error CFG003  ModelConfig has no field "
        "'max_batchsize': Triton refuses the file",
        " " * 60 + "→ write max_batch_size",
        "model_repository/classifier/config.pbtxt:3:32 error CFG004  DataType has no value "
        "TYPE_FLOAT32: Triton refuses the file",
        " " * 60 + "→ write TYPE_FP32",
        "2 models · 2 errors · explain one with  pytest-triton lint --explain CFG003",
    ]


def test_json_is_the_list_and_nothing_else(here: Path) -> None:
    made = run("--format", "json", *ONLY)
    assert made.exit_code == 1
    assert made.stderr == ""
    assert json.loads(made.stdout)[0] == {
        "rule": "CFG003",
        "severity": "error",
        "file": "model_repository/classifier/config.pbtxt",
        "line": 2,
        "column": 1,
        "message": "ModelConfig has no field 'max_batchsize': Triton refuses the file",
        "fix": "write max_batch_size",
    }
    assert json.loads(run("model_repository/sound", "--format", "json", *ONLY).stdout) == []


def test_nothing_found(here: Path) -> None:
    made = run("model_repository/sound")
    assert (made.exit_code, made.stdout) == (0, "1 model · nothing found\n")


@pytest.mark.parametrize("path", ["model_repository", ".", "model_repository/classifier",
                                  "model_repository/classifier/config.pbtxt"])  # fmt: skip
def test_a_place_is_relative_to_the_current_directory(here: Path, path: str) -> None:
    if path == ".":
        os.chdir(here / "model_repository")
    files = {row["file"] for row in rows(path, *ONLY)}
    prefix = "" if path == "." else "model_repository/"
    assert files == {f"{prefix}classifier/config.pbtxt"}


def test_outside_of_the_current_directory_a_place_is_absolute(here: Path) -> None:
    (here / "elsewhere").mkdir()
    os.chdir(here / "elsewhere")
    files = {row["file"] for row in rows(str(here / "model_repository"), *ONLY)}
    assert files == {str(here / "model_repository" / "classifier" / "config.pbtxt")}


def test_annotations_are_relative_to_the_checkout(here: Path) -> None:
    (here / ".git").mkdir()
    os.chdir(here / "model_repository")
    made = run(".", "--format", "github", *ONLY).stdout.splitlines()
    assert made[0].startswith(
        "::error file=model_repository/classifier/config.pbtxt,line=2,col=1,title=CFG003"
    )
    found = json.loads(run(".", "--format", "sarif", *ONLY).stdout)["runs"][0]["results"][0]
    place = found["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "model_repository/classifier/config.pbtxt"


def test_several_paths_are_one_list(here: Path) -> None:
    one = "model_repository/classifier/config.pbtxt"
    made = run(one, "model_repository/sound/config.pbtxt", "model_repository/classifier", *ONLY)
    assert made.stdout.count("CFG003 ") == 1
    assert made.stdout.splitlines()[-1].startswith("3 models · 2 errors")


def test_nothing_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = subprocess.run(
        [sys.executable, "-m", "pytest_triton.cli", "lint"], capture_output=True, text=True
    )
    assert made.returncode == 2
    assert "there is no ./model_repository" in made.stderr
    assert "pytest-triton lint REPOSITORY" in made.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "No such file"),
        (["--triton-release", "24.99"], "24.99"),
        (["--triton-release", "24.7"], "write 24.07"),
        (["--triton-release", "2.48.0"], "write 24.07"),
        (["--triton-release", "latest"], "releases go from 23.10"),
        (["--select", "CFG999"], "did you mean CFG"),
        (["--ignore", "CGF"], "no lint rule"),
        (["--explain", "CFG03"], "did you mean CFG003"),
        (["--diff", "--format", "json"], "--diff"),
    ],
)
def test_wrong_use_teaches(here: Path, arguments: list[str], said: str) -> None:
    made = run(*arguments)
    assert isinstance(made.exception, Misused)  # cli.main makes it exit status 2
    assert said in str(made.exception)


def test_explain(here: Path) -> None:
    said = run("--explain", "cfg004").stdout
    rule = rules()["CFG004"]
    assert said.startswith(f"CFG004  error  {rule.title}\n")
    for text in (rule.bad, rule.good):
        for line in text.strip().splitlines():
            assert f"      {line}\n" in said
    assert " ".join(rule.explanation.split())[:60] in " ".join(said.split())
    assert f"source    {rule.source}"[:60] in said
    assert "CFG003" in run("--explain", "CFG").stdout


def test_list(here: Path) -> None:
    said = run("--list").stdout
    for rule in rules().values():
        assert f"  {rule.id:<7}{rule.severity:<8}{rule.title}\n" in said


def test_select_ignore_and_fail_on(here: Path) -> None:
    def found(*arguments: str) -> set[object]:
        return {row["rule"] for row in rows(*arguments)}

    assert found("--select", "CFG") == {"CFG003", "CFG004"}
    assert found("--select", "CFG003,SUP") == {"CFG003"}
    assert found("--select", "CFG", "--ignore", "CFG004") == {"CFG003"}
    (here / "pyproject.toml").write_text(
        '[tool.pytest-triton.lint]\nselect = ["CFG"]\nseverities = { CFG = "info", CFG004 = "off" }\n'
    )
    assert [(row["rule"], row["severity"]) for row in rows()] == [("CFG003", "info")]
    assert run().exit_code == 0
    assert run("--fail-on", "info").exit_code == 1
    assert found("--isolated", "--select", "CFG") == {"CFG003", "CFG004"}


def test_comments_are_followed_unless_isolated(here: Path) -> None:
    path = here / "model_repository" / "classifier" / "config.pbtxt"
    path.write_text(f"# triton-lint: disable=CFG\n{BROKEN}")
    assert run(*ONLY).exit_code == 0
    assert run("--isolated", *ONLY).exit_code == 1


def test_wrapped_to_the_terminal(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "110")
    lines = run(*ONLY).stdout.splitlines()
    assert max(map(len, lines)) <= 110
    assert lines[1].startswith(" " * 60 + "refuses the file")
    monkeypatch.setenv("COLUMNS", "70")
    lines = run(*ONLY).stdout.splitlines()
    assert lines[1].startswith("    ModelConfig has no field")


# -- fixes -----------------------------------------------------------------------------


def test_fix_changes_the_file_and_says_so(here: Path) -> None:
    path = here / "model_repository" / "classifier" / "config.pbtxt"
    path.chmod(0o640)
    made = run("--fix", "--format", "json", *ONLY)
    assert (made.exit_code, json.loads(made.stdout)) == (0, [])
    assert path.read_text() == BROKEN.replace("max_batchsize", "max_batch_size").replace(
        "TYPE_FLOAT32", "TYPE_FP32"
    )
    assert path.stat().st_mode & 0o777 == 0o640
    assert made.stderr.splitlines() == [
        "fixed  model_repository/classifier/config.pbtxt:2:1 CFG003  write max_batch_size",
        "fixed  model_repository/classifier/config.pbtxt:3:32 CFG004  write TYPE_FP32",
    ]
    assert sorted(os.listdir(path.parent)) == ["1", "config.pbtxt"]


def test_diff_writes_nothing(here: Path) -> None:
    made = run("--diff", *ONLY)
    assert made.exit_code == 1
    assert "\n-max_batchsize: 8  # eight\n" in made.stdout
    assert "\n+max_batch_size: 8  # eight\n" in made.stdout
    path = here / "model_repository" / "classifier" / "config.pbtxt"
    assert path.read_text() == BROKEN
    subprocess.run(["patch", "-p1"], input=made.stdout, text=True, check=True, cwd=here)
    assert "max_batch_size: 8  # eight" in path.read_text()
    made = run("--diff", *ONLY)
    assert (made.exit_code, made.stdout) == (0, "")


def test_a_link_is_not_replaced(here: Path) -> None:
    target = here / "shared.pbtxt"
    target.write_text(BROKEN)
    path = here / "model_repository" / "classifier" / "config.pbtxt"
    path.unlink()
    path.symlink_to(target)
    made = run("--fix", *ONLY)
    assert made.exit_code == 1
    assert "not fixed" in made.stderr
    assert path.is_symlink()
    assert target.read_text() == BROKEN


# -- a hostile repository --------------------------------------------------------------


def test_a_hostile_repository_changes_no_terminal(here: Path) -> None:
    name = "evil\x1b[2J\n::set-output name=a::b"
    write(here / "model_repository" / name, BROKEN.replace("max_batchsize", "bad_\x1b]0;t\x07"))
    write(here / "model_repository" / "::warning::y", BROKEN)
    for form in ("text", "json", "github", "sarif"):
        said = run("--format", form).stdout
        assert "\x1b" not in said
        assert "\x07" not in said
        if form in ("json", "sarif"):
            json.loads(said)
            continue
        for line in said.splitlines():
            assert not line.lstrip().startswith("::") or form == "github"
            if form == "github" and line.startswith("::"):
                assert line.split(" ")[0] in ("::error", "::warning", "::notice")
                assert " file=model_repository/" in line
    os.chdir(here / "model_repository")
    for form in ("text", "github"):
        for line in run(".", "--format", form).stdout.splitlines():
            assert not line.lstrip().startswith("::") or " file=" in line


def test_names_that_are_not_utf_8(here: Path) -> None:
    write(here / "model_repository" / os.fsdecode(b"caf\xe9"), BROKEN)
    files = {str(row["file"]) for row in rows()}
    assert "model_repository/caf\\xe9/config.pbtxt" in files
    assert "caf\\xe9/config.pbtxt" in run().stdout
    sarif = json.loads(run("--format", "sarif").stdout)["runs"][0]["results"]
    uris = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in sarif}
    assert "model_repository/caf%E9/config.pbtxt" in uris


# -- processes -------------------------------------------------------------------------


def process(here: Path, *arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", "pytest_triton.cli", "lint", *arguments],
        cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_a_closed_pipe_leaves_no_traceback(here: Path) -> None:
    for number in range(400):
        write(here / "model_repository" / f"m{number}", BROKEN)
    made = process(here)
    assert made.stdout is not None
    assert made.stdout.readline()
    made.stdout.close()
    assert made.stderr is not None
    assert made.stderr.read() == ""
    made.wait(30)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(("output", "status"), [(">&-", 1), (">/dev/full", 3)])
def test_an_output_that_takes_nothing(here: Path, form: str, output: str, status: int) -> None:
    write(here / "model_repository" / "m", BROKEN)
    made = subprocess.run(
        f"'{sys.executable}' -m pytest_triton.cli lint --format {form} {output}", shell=True,
        cwd=here, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert made.returncode == status
    assert "Traceback" not in made.stderr
    assert ("No space left" in made.stderr) == (status == 3)


def test_an_interrupt_is_quiet(here: Path) -> None:
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it\n"
        "import pytest_triton.repository.lint as package\n"
        "def slow(*arguments): os.kill(os.getpid(), signal.SIGINT)\n"
        "package.lint = slow\n"
        "from pytest_triton.cli import main\n"
        "main()\n"
    )
    made = subprocess.run(
        [sys.executable, "-c", code, "lint"], cwd=here, capture_output=True, text=True, timeout=30
    )
    assert (made.returncode, made.stdout, made.stderr) == (130, "", "")


def test_an_error_of_ours_is_not_taken_for_a_finding(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pytest_triton.repository.lint as package

    def broken(*arguments: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(package, "lint", broken)
    assert run().exit_code == 3


def test_torch_is_not_imported(here: Path) -> None:
    code = (
        (
            "import sys\n"
            "from pytest_triton.cli import cli\n"
            "cli(['lint', '--format', 'json'], standalone_mode=False)\n"
        )
        .replace("cli([", "\ntry:\n    cli([")
        .replace("=False)\n", "=False)\nexcept SystemExit: pass\n")
    )
    made = subprocess.run(
        [sys.executable, "-c", code + "print(*[n for n in ('torch', 'transformers', 'rich') "
         "if n in sys.modules], file=sys.stderr)"],
        cwd=here, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert made.stderr.split() == []
