"""``submission.toml``: what is called otherwise, read strictly. Nothing outside can be named."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_triton.errors import Refused

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MANIFEST = "submission.toml"
#: Bytes of a manifest that are read; files that one key may name.
MOST_MANIFEST, MOST_FILES = 64 << 10, 200
SEE = "see docs/reference/submission.md"
#: Keys of ``[files]``, and whether they may name several.
FILES: Mapping[str, bool] = {
    "model_repository": False,
    "compose": False,
    "prometheus": False,
    "alertmanager": False,
    "rules": True,
    "dashboards": True,
    "benchmark": True,
    "load_test": False,
    "client": False,
    "health_checks": True,
    "diagnose": False,
    "runbook": False,
    "notebooks": True,
}
#: The other tables: key -> its type.
TABLES: Mapping[str, Mapping[str, type]] = {
    "benchmark": {"model": str, "batch": int},
    "load_test": {"model": str},
}
MOST_BATCH = 1 << 16


class NotAllowed(Refused):
    """A manifest or a file that is not as it has to be; the fault of who handed it in."""


def read(root: Path) -> Mapping[str, Mapping[str, Any]]:
    """The tables of ``root``'s manifest, every key and type checked; empty without one.

    ``root`` is resolved. Paths in ``[files]`` are lists of those inside, which are there.
    Raises NotAllowed.
    """
    path = root / MANIFEST
    if not os.path.lexists(path):
        return {}
    found = _parsed(root, path)
    for table, told in found.items():
        keys = FILES if table == "files" else TABLES.get(table)
        if keys is None:
            names = ", ".join(f"[{name}]" for name in ("files", *TABLES))
            raise NotAllowed(
                f"{MANIFEST}: there is no table [{table:.40}]; tables are {names}", SEE
            )
        if not isinstance(told, dict) or told.keys() - keys.keys():
            raise NotAllowed(f"{MANIFEST}: [{table}] may say {', '.join(sorted(keys))}", SEE)
        if table != "files":
            for key, value in told.items():
                _check(table, key, value)
    files = {key: _files(root, key, value) for key, value in found.get("files", {}).items()}
    return {**found, "files": files}


def _parsed(root: Path, path: Path) -> dict[str, Any]:
    if not contained(root, path).is_file():
        raise NotAllowed(f"{MANIFEST} is no file", "hand in a file")
    with path.open("rb") as file:
        data = file.read(MOST_MANIFEST + 1)
    if len(data) > MOST_MANIFEST:
        raise NotAllowed(f"{MANIFEST} is over {MOST_MANIFEST >> 10} KiB", "name files in it only")
    try:
        found: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise NotAllowed(f"{MANIFEST}: {error}", SEE) from None
    return found


def _check(table: str, key: str, value: Any) -> None:
    kind = TABLES[table][key]
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_BATCH:
            raise NotAllowed(f"{MANIFEST}: {table}.{key} is {value!r:.40}", f"write  {key} = 8")
    elif not isinstance(value, str):
        raise NotAllowed(f"{MANIFEST}: {key} is {value!r:.40}", f'write  {key} = "NAME"')


def _files(root: Path, key: str, value: Any) -> list[Path]:
    if not isinstance(value, list):
        return [inside(root, value)]
    if not FILES[key]:
        raise NotAllowed(f"{MANIFEST}: {key} names one path, not a list", f'write  {key} = "PATH"')
    if len(value) > MOST_FILES:
        raise NotAllowed(
            f"{MANIFEST}: {key} names over {MOST_FILES} files", "name those that count"
        )
    return [inside(root, name) for name in value]


def inside(root: Path, name: Any) -> Path:
    """A path of the manifest. Raises NotAllowed for one that leads outside, or to nothing."""
    if not isinstance(name, str) or not name or "\x00" in name:
        raise NotAllowed(f"{MANIFEST}: {name!r:.60} names no file", "name files inside")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise NotAllowed(f"{MANIFEST}: {name!r:.200} leads outside", "name files inside")
    path = root / name
    try:
        there = os.path.lexists(path)
    except ValueError:
        there = False
    if not there:
        raise NotAllowed(f"{MANIFEST}: there is no {name!r:.200}", "name files inside")
    return contained(root, path)


def contained(root: Path, path: Path) -> Path:
    """The path, if no link in it leads out of ``root``. Raises NotAllowed."""
    try:
        within = path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a loop of links
        within = False
    if not within:
        raise NotAllowed(
            f"{path.relative_to(root)} is a link that leads outside", "hand in the file itself"
        )
    return path
