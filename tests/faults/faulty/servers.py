"""A private server store whose tritonserver is our stand-in, and the faults for it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from pytest_triton.launch.cache import cache_root
from pytest_triton.launch.store import DEFAULT_RELEASE, find_server

from .data import DIRECTORY, Fault

STANDIN = Path(__file__).with_name("standin.py")


def private_cache(directory: Path, release: str = DEFAULT_RELEASE) -> Path:
    """A cache like the user's, linked to it, whose server of one release is the stand-in."""
    real = find_server(release)
    for name in ("overlays", "downloads", "reference"):
        (cache_root() / name).mkdir(parents=True, exist_ok=True)
        (directory / name).symlink_to(cache_root() / name)
    home = directory / "servers" / release
    root = real.binary.parent.parent
    (home / "pytriton" / "tritonserver" / "bin").mkdir(parents=True)
    for entry in real.path.iterdir():
        if entry.name != "pytriton":
            (home / entry.name).symlink_to(entry)
    for entry in root.iterdir():
        if entry.name != "bin":
            (home / "pytriton" / "tritonserver" / entry.name).symlink_to(entry)
    binary = home / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    # The server's libraries are not for the Python of the stand-in: it hands them on.
    binary.write_text(
        "#!/bin/sh\n"
        f"exec {shlex.quote(sys.executable)} -I -S {shlex.quote(str(STANDIN))} "
        f'{shlex.quote(str(real.binary))} "$@"\n'
    )
    binary.chmod(0o755)
    return directory


def order(fault: Fault, directory: Path, repository: Path | None) -> dict[str, str]:
    """Environment that makes the stand-in misbehave; its file goes into ``directory``."""
    server = fault.server
    told: dict[str, Any] = {
        "only": server.only,
        "skip": server.skip,
        "add": list(server.add),
        "remove": list(server.remove),
        "rewrite": [list(pair) for pair in server.rewrite],
        "sigterm": server.sigterm,
        "leaves": server.leaves,
        "log": list(server.log),
        "start": server.start,
        "delay": server.delay,
        "traces": list(server.traces),
        "rules": list(fault.rule),
        "repository": str(repository) if repository else "",
        "python": sys.executable,
        "machinery": str(DIRECTORY),
    }
    path = directory / "fault.json"
    path.write_text(json.dumps(told))
    return {"TRITON_FAULT": str(path)}


def told_by(directory: Path) -> list[list[dict[str, Any]]]:
    """What each proxy of the stand-ins told."""
    return [json.loads(path.read_text()) for path in sorted(directory.glob("*.told"))]
