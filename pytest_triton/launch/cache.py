"""The user's cache: one root, directories that appear whole or not at all, and locks."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_triton.errors import ToolError

#: Names another root for everything that is cached.
CACHE_VARIABLE = "PYTEST_TRITON_CACHE"
#: Begins the name of everything that is not complete yet; the owner's process id follows.
PARTIAL = ".partial-"
#: Seconds after which an unfinished directory belongs to nobody any more.
_PARTIAL_AGE = 6 * 3600.0
#: Seconds that one process waits for another that prepares the same thing.
LOCK_TIMEOUT = 900.0
#: Seconds of waiting that are not worth a word.
_QUIET = 1.0


def cache_root() -> Path:
    """Where servers, overlays and backend directories are kept, outside every environment."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("pytest-triton"))


@contextmanager
def locked(
    path: Path,
    *,
    what: str,
    timeout: float = LOCK_TIMEOUT,
    progress: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the lock beside ``path``, across processes; says so when it has to wait."""
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(str(path.parent / f".{path.name}.lock"))
    try:
        try:
            lock.acquire(timeout=min(_QUIET, timeout))
        except filelock.Timeout:
            if progress is not None:
                progress(f"waiting for another process that is {what}")
            lock.acquire(timeout=max(0.0, timeout - _QUIET))
    except filelock.Timeout:
        raise ToolError(
            f"another process has been {what} for {timeout:.0f} s",
            f"wait for it, or end it; the lock is {lock.lock_file}",
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """A temporary neighbour that is renamed to ``path`` when the block succeeds.

    Whoever is killed inside leaves a ``.partial-`` directory, swept by a later call.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_partial(path.parent)
        made = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{os.getpid()}-", dir=path.parent))
    except OSError as error:
        raise ToolError(
            f"cannot write to the cache {path.parent}: {error.strerror}",
            f"make it writable, or name another one with {CACHE_VARIABLE}",
        ) from None
    made.chmod(0o755)
    try:
        yield made
        try:
            made.rename(path)
        except OSError:
            if not path.is_dir():  # otherwise another process was faster, with the same content
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def sweep_partial(parent: Path) -> None:
    """Remove what killed processes left half done."""
    for left in parent.glob(PARTIAL + "*"):
        owner = left.name.removeprefix(PARTIAL).partition("-")[0]
        try:
            alive = owner.isdigit() and Path(f"/proc/{owner}").exists()
            if not alive or time.time() - left.stat().st_mtime > _PARTIAL_AGE:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue
