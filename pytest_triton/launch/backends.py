"""A private backend directory: Triton's python backend, and ours that serves TorchScript.

Made once per server, Python and state of our own files, and kept in the cache. Shared
libraries are copied: Triton refuses a symbolic link that leads out of the directory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path

from pytest_triton.backends.zygote import install
from pytest_triton.errors import ToolError
from pytest_triton.launch.cache import CACHE_VARIABLE, cache_root, locked, whole_directory
from pytest_triton.launch.overlay import Overlay, compile_tree
from pytest_triton.launch.store import Server
from pytest_triton.repository.names import unsafe

_MARKER = ".complete"
#: Directories that are kept whatever their age, and seconds that the others are kept.
_KEPT, _KEPT_FOR = 8, 7 * 24 * 3600.0
#: Our Python-based backends: every folder here is one.
SOURCES = Path(__file__).resolve().parent.parent / "backends"


def our_backends() -> dict[str, list[Path]]:
    """Name -> files of every Python-based backend that this package brings."""
    found = {}
    for folder in sorted(SOURCES.iterdir()) if SOURCES.is_dir() else []:
        if (folder / "model.py").is_file():
            found[folder.name] = sorted(
                path
                for path in folder.rglob("*")
                if path.is_file() and "__pycache__" not in path.parts
            )
    return found


def backend_directory(server: Server, overlay: Overlay) -> Path:
    """The directory for ``--backend-directory``. Raises ToolError."""
    if (server.backends / "pytorch").is_dir():
        return server.backends  # NVIDIA's own installation has the real one
    if trap := unsafe(cache_root()):
        raise ToolError(
            f"the cache {cache_root()} has {trap!r} in its path, which breaks the command that "
            "starts Triton's Python processes",
            f"name another directory with {CACHE_VARIABLE}",
        )
    ours = our_backends()
    path = cache_root() / "backends" / _key(server, overlay, ours)
    if _used(path):
        return path
    with locked(path, what="preparing the backend directory"):
        if _used(path):
            return path
        if not (server.backends / "python").is_dir():
            raise ToolError(
                f"{server.path} has no Python backend",
                "install a server that has one:  pytest-triton server install",
            )
        with whole_directory(path) as made:
            _fill(made, server, overlay, ours)
            (made / _MARKER).touch()
        _evict(path.parent)
    return path


def _used(path: Path) -> bool:
    """Is it there? Remembers the use."""
    try:
        os.utime(path / _MARKER)
    except OSError:
        return False
    return True


def _evict(parent: Path) -> None:
    """Remove what has not been used for days, beyond the last few."""
    markers = sorted(parent.glob(f"*/{_MARKER}"), key=lambda path: -path.stat().st_mtime)
    for marker in markers[_KEPT:]:
        if time.time() - marker.stat().st_mtime > _KEPT_FOR:
            shutil.rmtree(marker.parent, ignore_errors=True)


def _key(server: Server, overlay: Overlay, ours: dict[str, list[Path]]) -> str:
    digest = hashlib.sha256(f"{server.path}\0{overlay.python}\0{overlay.bin}\0".encode())
    binary = server.binary.stat()
    digest.update(f"{binary.st_size} {binary.st_mtime_ns}\0".encode())
    for files in (*ours.values(), sorted((SOURCES / "zygote").glob("*.py"))):
        for file in files:
            digest.update(str(file.relative_to(SOURCES)).encode() + b"\0" + file.read_bytes())
    return f"{server.release}-py{overlay.python}-{digest.hexdigest()[:16]}"


def _fill(made: Path, server: Server, overlay: Overlay, ours: dict[str, list[Path]]) -> None:
    shutil.copytree(server.backends, made, dirs_exist_ok=True)
    stub = made / "python" / "triton_python_backend_stub"
    shutil.copy2(server.stub(overlay.python), stub)
    stub.chmod(0o755)
    for name, files in ours.items():
        for file in files:
            target = made / name / file.relative_to(SOURCES / name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
    python = overlay.bin / "python3"
    compile_tree(python, made)
    # Stubs of our backend share one import of torch; an unknown stub stays as it is.
    install(made, server.path, python)
