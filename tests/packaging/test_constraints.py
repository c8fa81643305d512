"""constraints.txt pins everything that make installs, on every Python that is supported."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.10", "3.11", "3.12")
#: What comes with the interpreter, and what Linux on x86-64 does not install.
_NOT_OURS = {"pip", "pytest-triton"}


def environment(python: str, extra: str = "") -> dict[str, str]:
    return {
        "python_version": python, "python_full_version": f"{python}.1", "extra": extra,
        "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix",
        "platform_machine": "x86_64", "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }  # fmt: skip


def pins(python: str) -> dict[str, Requirement]:
    found: dict[str, Requirement] = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        if not (text := line.partition("#")[0].strip()):
            continue
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate(environment(python)):
            continue
        name = canonicalize_name(requirement.name)
        assert name not in found, f"{name} is pinned twice for Python {python}"
        found[name] = requirement
    return found


def wanted(python: str, extras: tuple[str, ...]) -> list[Requirement]:
    """What pyproject.toml asks for, extras of its own resolved."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    lines = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    todo = list(extras)
    while todo:
        for line in project["project"]["optional-dependencies"][todo.pop()]:
            requirement = Requirement(line)
            if canonicalize_name(requirement.name) == "pytest-triton":
                todo += requirement.extras
            else:
                lines.append(line)
    found = map(Requirement, lines)
    return [r for r in found if not r.marker or r.marker.evaluate(environment(python))]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("extra", ["lab", "dev", "monitor", "docker"])
def test_every_requirement_is_pinned_within_its_range(python: str, extra: str) -> None:
    pinned = pins(python)
    for requirement in wanted(python, (extra,)):
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{requirement} is not pinned for Python {python}"
        (version,) = re.findall(r"==(\S+)", str(pinned[name].specifier))
        assert requirement.specifier.contains(version), f"{requirement} against {version}"


def test_what_is_installed_follows() -> None:
    """Everything that the requirements drag in is pinned too, as far as it is installed here."""
    python = "{}.{}".format(*sys.version_info[:2])
    pinned = pins(python)
    todo = [(canonicalize_name(r.name), tuple(r.extras)) for r in wanted(python, ("dev", "lab"))]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    missing = set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen or name in _NOT_OURS:
            continue
        seen.add((name, extras))
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        if name not in pinned:
            missing.add(name)
        for line in requires:
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in (*extras, "")):
                todo.append((canonicalize_name(requirement.name), tuple(requirement.extras)))
    assert not missing, f"constraints.txt does not pin {sorted(missing)}"


def test_torch_is_pinned_and_metadata_keeps_ranges() -> None:
    for python in PYTHONS:
        assert str(pins(python)["torch"].specifier).startswith("==")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    assert not [line for group in groups for line in group if "==" in line]
