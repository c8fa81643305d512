"""One server for all workers of pytest-xdist: the first that asks boots it.

The controller makes a directory with a FIFO and holds the FIFO open; the server lives exactly
as long as that, however the controller ends.
"""

from __future__ import annotations

import json
import os
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
#: Seconds that the end of a server may take.
_END = 20.0
#: Supervisors of servers that this process booted and left to the lifeline.
_LEFT: list[Any] = []


class Controller:
    """Held by the process that outlives all users of the server."""

    def __init__(self) -> None:
        parent = Path(tempfile.gettempdir())
        self.directory = Path(tempfile.mkdtemp(prefix=f"pytest-triton-{os.getuid()}-", dir=parent))
        self.fifo = self.directory / "lifeline"
        os.mkfifo(self.fifo, 0o600)
        # Both ends: opening for writing alone would wait for a reader.
        self._held = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def to_json(self) -> dict[str, str]:
        """What a worker needs for :func:`lease`."""
        return {"directory": str(self.directory)}

    def close(self) -> None:
        """End the server, if there is one; returns when it is gone."""
        if self._held < 0:
            return
        os.close(self._held)
        self._held = -1
        supervisor = _read(self.directory).get("supervisor")
        deadline = time.monotonic() + _END
        while supervisor and _alive(int(supervisor)) and time.monotonic() < deadline:
            time.sleep(0.01)
        shutil.rmtree(self.directory, ignore_errors=True)


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

    directory = Path(shared["directory"])
    with locked(directory / _STATE, what="booting the shared server"):
        state = _read(directory)
        if not state:
            with ExitStack() as stack:
                try:
                    spec = spec_of(directory / "lifeline")
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
