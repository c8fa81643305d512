"""One server for all workers of pytest-xdist: the first that asks boots it.

The controller holds a pipe; the server lives exactly as long as that, however the controller
ends. A worker that needs the server reaches the pipe through /proc, so that a run without
Triton leaves nothing on the disk.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from pytest_triton.deployment import Deployment
from pytest_triton.errors import DeploymentFailed, ToolError
from pytest_triton.launch.cache import locked

_STATE = "server.json"
LIFELINE = "lifeline"
#: Seconds that the end of a server may take.
_END = 20.0
#: Supervisors of servers that this process booted and left to the lifeline.
_LEFT: list[Any] = []


class Controller:
    """Held by the process that outlives all users of the server."""

    def __init__(self) -> None:
        name = f"pytest-triton-{os.getuid()}-{secrets.token_hex(8)}"
        #: Made by the first who needs it, see :func:`shared_directory`.
        self.directory = Path(tempfile.gettempdir()) / name
        self._open: tuple[int, ...] = os.pipe2(os.O_CLOEXEC)
        self._pipe = f"/proc/{os.getpid()}/fd/{self._open[0]}"

    def to_json(self) -> dict[str, str]:
        """What a worker needs for :func:`lease`."""
        return {"directory": str(self.directory), "pipe": self._pipe}

    def close(self) -> None:
        """End the server, if there is one; returns when it is gone."""
        if not self._open:
            return
        for descriptor in self._open:
            os.close(descriptor)
        self._open = ()
        supervisor = _read(self.directory).get("supervisor")
        deadline = time.monotonic() + _END
        while supervisor and _alive(int(supervisor)) and time.monotonic() < deadline:
            time.sleep(0.01)
        shutil.rmtree(self.directory, ignore_errors=True)


def shared_directory(shared: Mapping[str, Any]) -> Path:
    """The directory of the run, with the lifeline in it; made when first asked for."""
    directory = Path(shared["directory"])
    directory.mkdir(mode=0o700, exist_ok=True)
    with suppress(FileExistsError):
        (directory / LIFELINE).symlink_to(shared["pipe"])
    return directory


def lease(
    shared: Mapping[str, Any],
    spec_of: Callable[[Path], Any],
    *,
    tolerant: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Deployment:
    """The one server: booted now, or by whoever was first. Raises as ``embedded`` does.

    ``spec_of`` makes the ServerSpec out of the path of the lifeline.
    """
    from pytest_triton.launch.embedded import boot

    directory = shared_directory(shared)
    with locked(directory / _STATE, what="booting the shared server", progress=progress):
        state = _read(directory)
        if not state:
            with ExitStack() as stack:
                try:
                    spec = spec_of(directory / LIFELINE)
                    deployment, supervisor = boot(spec, stack, tolerant=tolerant, progress=progress)
                except ToolError as error:
                    _write(directory, {"error": _error(error)})
                    raise
                _write(
                    directory,
                    {"deployment": deployment.to_json(), "supervisor": supervisor.process.pid},
                )
                supervisor.detach()
                _LEFT.append(supervisor)
            return deployment
    if "error" in state:
        raise _raised(state["error"])
    return Deployment.from_json(state["deployment"])


def _read(directory: Path) -> dict[str, Any]:
    try:
        state = json.loads((directory / _STATE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _write(directory: Path, state: dict[str, Any]) -> None:
    temporary = directory / f".{_STATE}.{os.getpid()}"
    temporary.write_text(json.dumps(state), encoding="utf-8")
    temporary.replace(directory / _STATE)


def _alive(pid: int) -> bool:
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def _error(error: ToolError) -> dict[str, Any]:
    """A failed boot as data: every other worker raises the same and boots nothing."""
    told: dict[str, Any] = {"message": error.message, "remedy": error.remedy}
    if isinstance(error, DeploymentFailed):
        told["deployment"] = {
            "reason": error.reason,
            "model": error.model,
            "location": list(error.location) if error.location else None,
            "log_path": str(error.log_path) if error.log_path else None,
            "log_tail": error.log_tail,
            "failures": error.failures,
        }
    return told


def _raised(told: dict[str, Any]) -> ToolError:
    more = told.get("deployment")
    if more is None:
        return ToolError(told["message"], told["remedy"])
    more["location"] = tuple(more["location"]) if more["location"] else None
    more["log_path"] = Path(more["log_path"]) if more["log_path"] else None
    return DeploymentFailed(told["message"], remedy=told["remedy"], **more)
