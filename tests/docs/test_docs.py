"""What a user reads is true: generated pages are fresh, links resolve, names exist."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from pytest_triton.cli import cli
from pytest_triton.criteria import load
from pytest_triton.options import OPTIONS, SETTINGS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    page
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
    if page.is_file()
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
every_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def blocks(page: Path, *languages: str) -> list[str]:
    return [body for language, body in _FENCE.findall(page.read_text("utf-8"))
            if language in languages]  # fmt: skip


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generator", ROOT / "scripts" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_reference_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    stale = generator().main(["--check"])
    assert not stale, f"{capsys.readouterr().out.strip()}: run  make docs"


def test_reference_holds_nothing_else() -> None:
    written = {page.name for page in (ROOT / "docs" / "reference").iterdir()}
    # coverage.json is what the releases were judged to be: kept by scripts/judge_releases.py.
    assert written == {*generator().PAGES, "coverage.json"}


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    text = _FENCE.sub("", page.read_text("utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        for heading in _HEADING.findall(text)
    }


@every_page
def test_links(page: Path) -> None:
    text = _FENCE.sub("", page.read_text("utf-8"))
    broken = []
    for link in _LINK.findall(text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def fixture_names() -> set[str]:
    return {
        node.name
        for path in (ROOT / "fixtures").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


@every_page
def test_names_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    # lint runs without pytest: its release is what will serve, not what is booted.
    flags = {option.flag for option in OPTIONS} | {"--triton-release"}
    variables = {option.env for option in SETTINGS} | set(generator().VARIABLES)
    assert set(re.findall(r"--triton-[a-z][a-z-]*[a-z]", text)) <= flags
    assert set(re.findall(r"\bPYTEST_TRITON_[A-Z][A-Z_]*[A-Z]\b", text)) <= variables
    known = fixture_names() | {option.dest for option in SETTINGS}
    known |= {"triton_python_backend_utils"}  # Triton's own module
    for body in blocks(page, "python", "toml"):
        assert set(re.findall(r"(?<![\w.])triton_[a-z_]+", body)) <= known
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for body in blocks(page, "sh", "console", "yaml"):
        assert set(re.findall(r"^(?:\$ )?make ([a-z]+)", body, re.MULTILINE)) <= targets


@every_page
def test_clauses_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    if page.name == "clauses.md":  # generated; its sources name clauses of other documents
        return
    named = set(re.findall(r"\b[A-Z]{3}-\d{2}\b", text))
    assert named - {"ABC-01"} <= set(load().clauses)


def commands() -> dict[str, set[str]]:
    """Every command of ours with its options."""
    found: dict[str, set[str]] = {}

    def add(command: click.Command, name: str) -> None:
        context = click.Context(command)
        found[name] = {flag for item in command.get_params(context) for flag in item.opts}
        if isinstance(command, click.Group):
            for child in command.list_commands(context):
                if below := command.get_command(context, child):
                    add(below, f"{name} {child}".strip())

    add(cli, "")
    return found


@every_page
def test_commands_exist(page: Path) -> None:
    known = commands()
    text = "\n".join([*blocks(page, "sh", "console", "yaml"), *inline(page)])
    text = re.sub(r"(^| )#.*", "", text, flags=re.MULTILINE)
    for line in re.findall(r"(?:^|[\s/`])pytest-triton ((?:[a-z]|-)[^\n`|&]*)", text):
        before = line.partition(" -- ")[0].split()
        words = [word for word in before if not word.startswith("-")]
        name = " ".join(words[:2]) if " ".join(words[:2]) in known else "".join(words[:1])
        assert name in known, f"pytest-triton {line}"
        for word in before:
            if word.startswith("-"):
                flag = word.partition("=")[0]
                assert flag in known[name] | {"--help", "-h", "--version"}, f"pytest-triton {line}"


def inline(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", _FENCE.sub("", page.read_text("utf-8")))


@every_page
def test_code_can_be_read(page: Path) -> None:
    for body in blocks(page, "python"):
        ast.parse(body)
    for body in blocks(page, "toml"):
        tomllib.loads(body)


def test_the_tests_of_the_readme_pass(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    bodies = blocks(ROOT / "README.md", "python")
    assert bodies
    (tmp_path / "test_readme.py").write_text("\n".join(bodies), "utf-8")
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == 0, found.stdout[-4000:]
    assert " failed" not in found.stdout
    assert not (tmp_path / "triton-report").exists()
