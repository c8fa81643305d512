"""Imports run one way (the order is data here), and heavy ones wait until they are needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: A stage imports from itself and from those before it.
STAGES: tuple[frozenset[str], ...] = tuple(
    frozenset(stage.split())
    for stage in (
        "__version__ errors releases wording",
        "options",
        "settings",
        "criteria",
        "repository",
        "export",
        "sandbox",
        "probe",
        "load",
        "monitor",
        "backends",
        "deployment",
        "launch",
        # Every other module: the subject, and what clauses ask of it.
        "*",
        "grade explaining",
        "hooks keys",
        "booted gate progress",
        "items",
        "run",
        "plugin cli commands",
    )
)
ROOTS = ("fixtures", "suites", "reports")
#: Slow or not part of a base installation: never at the top of a module ...
LAZY = {"torch", "transformers", "pytest_docker", "pytest_html", "promql_parser"}
#: ... except in modules that nothing imports at its top: they run in processes of their own.
PROCESSES = ("pytest_triton/backends/", "pytest_triton/export/reference/",
             "pytest_triton/llama/served/")  # fmt: skip
#: What a run that has nothing to do with Triton must not pay for.
HEAVY = (
    "torch", "numpy", "grpc", "google.protobuf", "tritonclient", "urllib3", "jinja2", "rich",
    "click", "transformers", "prometheus_client", "filelock", "psutil", "jsonschema",
    "pytest_html", "pytest_docker", "hypothesis", "trustme", "cryptography",
    "pytest_triton.criteria", "pytest_triton.launch",
    "pytest_triton.probe", "pytest_triton.grade", "pytest_triton.subject",
)  # fmt: skip


def files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def imports(path: Path) -> tuple[tuple[str, int, bool], ...]:
    """Absolute name, line, and whether the import is run when the module is loaded."""
    tree = ast.parse(path.read_text("utf-8"))
    return tuple(_walk(tree, path, True))


def _walk(node: ast.AST, path: Path, at_load: bool) -> Iterator[tuple[str, int, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, child.lineno, at_load) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from ((name, child.lineno, at_load) for name in _names(child, path))
        elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) or _types_only(child):
            yield from _walk(child, path, False)
        else:
            yield from _walk(child, path, at_load)


def _types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _names(node: ast.ImportFrom, path: Path) -> list[str]:
    package = list(path.relative_to(ROOT).parts[:-1])
    if package[0] != "pytest_triton":
        package.insert(0, "pytest_triton")
    if node.level:
        above = package[: len(package) - node.level + 1]
        base = ".".join([*above, *filter(None, [node.module])])
    else:
        base = str(node.module)
    # "from pytest_triton import keys" imports a module, "from x.y import Z" a name of one.
    return [f"{base}.{alias.name}" for alias in node.names]


def part(name: str) -> str | None:
    """``repository`` of ``pytest_triton.repository.layout``; None outside of us."""
    words = name.split(".")
    return words[1] if words[0] == "pytest_triton" and len(words) > 1 else None


def stage(name: str) -> int:
    found = [at for at, names in enumerate(STAGES) if name in names]
    return found[0] if found else STAGES.index(frozenset("*"))


def test_imports_run_one_way() -> None:
    wrong = []
    for path in files("pytest_triton"):
        words = path.relative_to(ROOT / "pytest_triton").with_suffix("").parts
        if words == ("__init__",):
            continue
        here = stage(words[0])
        for name, line, _ in imports(path):
            there = part(name)
            if there is None or (there in ROOTS and words[0] == "commands"):
                continue
            if stage(there) > here:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_no_module_waits_for_itself() -> None:
    """No cycle among the imports that are run when a module is loaded."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path
               for path in files("pytest_triton")}  # fmt: skip
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}

    def needs(name: str) -> Iterator[str]:
        for found, _, at_load in imports(modules[name]):
            target = found if found in modules else found.rpartition(".")[0]
            if at_load and target in modules and target != name:
                yield target

    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for target in needs(name):
                visit(target, (*trail, name))
            done.add(name)

    for name in modules:
        visit(name, ())


@pytest.mark.parametrize("folder", ROOTS)
def test_folders_at_the_root_import_the_engine_alone(folder: str) -> None:
    wrong = []
    for path in files(folder):
        for name, line, _ in imports(path):
            if part(name) in set(ROOTS) - {folder} or name.split(".")[0] in ROOTS:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_nothing_imports_the_suites() -> None:
    for path in files("pytest_triton", "fixtures", "reports"):
        for name, line, _ in imports(path):
            assert part(name) != "suites", f"{path}:{line}"


def test_the_plugin_names_fixtures_and_reports_as_strings() -> None:
    from pytest_triton.plugin import MODULES

    named = {name for name in MODULES if part(name) in ROOTS}
    assert {f"pytest_triton.fixtures.{path.stem}" for path in files("fixtures")
            if path.stem != "__init__"} <= named  # fmt: skip
    plugin = ROOT / "pytest_triton" / "plugin.py"
    assert not [name for name, _, _ in imports(plugin) if part(name) in ROOTS]


def test_heavy_packages_are_imported_in_functions() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files("pytest_triton", *ROOTS)
        if not str(path.relative_to(ROOT)).startswith(PROCESSES)
        for name, line, at_load in imports(path)
        if at_load and name.split(".")[0] in LAZY
    ]
    assert not wrong, "\n".join(wrong)


def loaded(arguments: list[str], cwd: Path) -> set[str]:
    """Which heavy modules are there after a run of pytest, in a process of its own."""
    code = (
        f"import pytest, sys; pytest.main({arguments!r})\n"
        f"print('LOADED', *[n for n in {HEAVY!r} if n in sys.modules])"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=cwd,
    )  # fmt: skip
    line = next(line for line in made.stdout.splitlines() if line.startswith("LOADED"))
    return set(line.split()[1:])


@pytest.mark.parametrize("arguments", [["-q", "test_it.py"], ["--help"], ["--fixtures"]])
def test_an_unrelated_run_pays_for_nothing(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    others = loaded([*arguments, "-p", "no:triton"], tmp_path)  # other plugins may be heavy
    assert loaded(arguments, tmp_path) == others
