"""What a project says about lint, in pyproject.toml.

    [tool.pytest-triton.lint]
    release = "24.07"
    latency-budget = 50          # milliseconds
    gpus = 2
    severities = { BAT002 = "off", SEQ = "info" }
    select = ["CFG", "SHP"]
    ignore = ["WRM"]
    fail-on = "warning"

The file is looked for from the current directory upwards, never in what is linted: settings
belong to whoever runs the lint.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_triton.errors import Misused
from pytest_triton.repository.lint.catalogue import matching, rules
from pytest_triton.repository.lint.finding import SEVERITIES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLE = "tool.pytest-triton.lint"
_KEYS = ("release", "latency-budget", "gpus", "severities", "select", "ignore", "fail-on")


@dataclass(frozen=True, slots=True)
class Project:
    """The table as it is written; empty when there is none."""

    release: str = ""
    latency_budget_ms: float = 0.0
    gpus: int | None = None
    severities: Mapping[str, str] = field(default_factory=dict)
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    fail_on: str = ""


def find(directory: Path) -> Project:
    """The settings of the nearest pyproject.toml that has some. Raises Misused."""
    for parent in (directory, *directory.parents):
        path = parent / "pyproject.toml"
        if not path.is_file():
            continue
        try:
            table: Any = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise Misused(f"{path}: {error}", "correct the file, or use --isolated") from None
        for name in TABLE.split("."):
            table = table.get(name, {}) if isinstance(table, dict) else {}
        if table:
            return _read(table, path)
    return Project()


def severities(
    base: Mapping[str, str], select: Iterable[str] = (), ignore: Iterable[str] = ()
) -> dict[str, str]:
    """Rule -> severity: families spread over their rules, what is not selected is off."""
    found: dict[str, str] = {}
    # A rule says more than its family.
    for name in sorted(base, key=lambda name: name.strip().upper() in rules()):
        found.update(dict.fromkeys(matching(name), base[name]))
    wanted = {one for name in select for one in matching(name)}
    unwanted = {one for name in ignore for one in matching(name)}
    for identity in rules():
        if (wanted and identity not in wanted) or identity in unwanted:
            found[identity] = "off"
    return found


def _read(table: Any, path: Path) -> Project:
    if not isinstance(table, dict):
        raise _bad(path, "it is no table")
    for key in table:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            raise _bad(path, f"unknown key {key!r}", f"did you mean {near[0]}?" if near else "")
    told = table.get("severities", {})
    if not isinstance(told, dict):
        raise _bad(path, "severities is no table")
    for name, severity in told.items():
        matching(name)
        if severity not in (*SEVERITIES, "off"):
            raise _bad(path, f"{name} = {severity!r}", "error, warning, info or off")
    fail_on = table.get("fail-on", "")
    if fail_on not in ("", *SEVERITIES):
        raise _bad(path, f"fail-on = {fail_on!r}", "error, warning or info")
    budget, gpus = table.get("latency-budget", 0), table.get("gpus")
    if isinstance(budget, bool) or not isinstance(budget, (int, float)) or budget < 0:
        raise _bad(path, f"latency-budget = {budget!r}", "a number of milliseconds")
    if gpus is not None and (type(gpus) is not int or gpus < 0):
        raise _bad(path, f"gpus = {gpus!r}", "a number of GPUs")
    return Project(
        release=str(table.get("release", "")),
        latency_budget_ms=float(budget),
        gpus=gpus,
        severities=dict(told),
        select=_names(table, "select", path),
        ignore=_names(table, "ignore", path),
        fail_on=fail_on,
    )


def _names(table: Mapping[str, Any], key: str, path: Path) -> tuple[str, ...]:
    given = table.get(key, [])
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise _bad(path, f"{key} is no list of rules")
    for name in given:
        matching(name)
    return tuple(given)


def _bad(path: Path, what: str, remedy: str = "") -> Misused:
    return Misused(f"{path}, [{TABLE}]: {what}", remedy or f"keys are {', '.join(_KEYS)}")
