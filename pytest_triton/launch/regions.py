"""Names of a server's shared memory regions: its own, and never those of another server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from pytest_triton.launch.cache import cache_root, locked

#: From this server version on a region's name ends with a UUID; before, with a count that
#: starts at 1 in every backend.
_UNIQUE_SINCE = (2, 48)


def region_prefix(
    version: str,
    repository: Path,
    models: Iterable[str],
    identity: str,
    stack: ExitStack,
    *,
    timeout: float,
    progress: Callable[[str], None],
) -> str:
    """What the names of all regions of one server begin with; "" for Triton's default.

    An old server with models of both Python-based backends would give two models one region
    if their names began alike (2.39: a model that gets another one's arguments, or hangs).
    It keeps Triton's default, which differs by backend and is the same in every server, so
    one such server runs at a time: the lock is pushed on ``stack``. Raises ToolError when it
    stays taken.
    """
    own = f"triton_python_backend_shm_region_{identity}_"
    if not mixes_up(version, repository, models):
        return own
    what = f"serving Python and PyTorch models with Triton {version}"
    stack.enter_context(
        locked(cache_root() / "old-server", what=what, timeout=timeout, progress=progress)
    )
    return ""


def mixes_up(version: str, repository: Path, models: Iterable[str]) -> bool:
    """Whether an old server would give two of these models one region, names beginning alike."""
    if not version or _numbers(version) >= _UNIQUE_SINCE:
        return False
    return {"python", "pytorch"} <= {_backend(repository / name) for name in models}


def _backend(model: Path) -> str:
    """The backend of a model; empty where the server will say that it cannot be read."""
    from pytest_triton.repository.config import ConfigError, backend_of, read_config

    try:
        return backend_of(read_config(model))
    except ConfigError:
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
