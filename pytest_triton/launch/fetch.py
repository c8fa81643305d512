"""Wheels by name and checksum, downloaded by pip into the cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from pytest_triton.errors import ToolError
from pytest_triton.launch.cache import PARTIAL, cache_root, sweep_partial

#: Seconds for one download (50 MB).
_DOWNLOAD_TIMEOUT = 900.0


def require_pip(python: Path | None = None) -> list[str]:
    """The command that runs pip. Raises ToolError when there is none."""
    command = [str(python or sys.executable), "-m", "pip"]
    probe = subprocess.run(
        [*command, "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    if probe.returncode:
        raise ToolError(
            f"pip is not in this environment ({command[0]})",
            f"run  {command[0]} -m ensurepip  or  uv pip install pip",
        )
    return command


def download(
    requirement: str,
    sha256: list[str],
    *,
    progress: Callable[[str], None],
    size: str,
    python: str | None = None,
) -> Path:
    """Fetch one wheel with pip into the cache, verified; kept there if it is complete.

    ``python`` (e.g. "3.10") asks for the wheel of another Python version.
    """
    directory = cache_root() / "downloads"
    directory.mkdir(parents=True, exist_ok=True)
    sweep_partial(directory)
    if found := _verified(directory, sha256):
        return found
    command = require_pip()
    progress(f"downloading {requirement} ({size})")
    with tempfile.TemporaryDirectory(prefix=f"{PARTIAL}{os.getpid()}-", dir=directory) as name:
        made = Path(name)
        wanted = made / "requirements.txt"
        hashes = " ".join(f"--hash=sha256:{digest}" for digest in sha256)
        wanted.write_text(f"{requirement} {hashes}\n", encoding="utf-8")
        arguments = ["download", "--no-deps", "--require-hashes", "--only-binary=:all:",
                     "--ignore-requires-python", "--disable-pip-version-check", "--quiet",
                     "--no-input", "--dest", name, "-r", str(wanted)]  # fmt: skip
        if python:
            arguments += ["--python-version", python, "--implementation", "cp"]
        remedy = "look at the network or at pip's index (pip config list), then run it again"
        try:
            result = subprocess.run(
                [*command, *arguments],
                capture_output=True,
                text=True,
                timeout=_DOWNLOAD_TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            message = f"pip did not get {requirement} within {_DOWNLOAD_TIMEOUT:.0f} s"
            raise ToolError(message, remedy) from None
        fetched = _verified(made, sha256)
        if result.returncode or fetched is None:
            said = "\n".join((result.stderr or result.stdout).strip().splitlines()[-4:])
            raise ToolError(f"pip could not download {requirement}: {said}", remedy)
        return fetched.rename(directory / fetched.name)


def _verified(directory: Path, sha256: list[str]) -> Path | None:
    """The wheel in a directory that has one of these checksums."""
    for wheel in directory.glob("*.whl"):
        digest = hashlib.sha256()
        with wheel.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
        if digest.hexdigest() in sha256:
            return wheel
    return None
