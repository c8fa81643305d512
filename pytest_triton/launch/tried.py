"""A server that should end by itself before it serves: started as any other, and watched."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.launch.backends import backend_directory
from pytest_triton.launch.command import command_line, server_environment
from pytest_triton.launch.embedded import run_directory
from pytest_triton.launch.overlay import overlay
from pytest_triton.launch.ports import Ports, reserve
from pytest_triton.launch.ready import listens, request
from pytest_triton.launch.store import find_server
from pytest_triton.launch.supervised import Supervised
from pytest_triton.settings import Settings

#: Seconds between two looks at whether it serves.
_STEP = 0.05


@dataclass(frozen=True, slots=True)
class Tried:
    """``status`` of its process, None when it did not end; ``served``: it answered over HTTP."""

    status: int | None
    served: bool


def tried(
    settings: Settings,
    repository: Path,
    log: Path,
    *,
    models: Sequence[str] = (),
    flags: Sequence[str] = (),
    http_port: int | None = None,
    timeout: float,
) -> Tried:
    """Start a server, wait until it ends, serves, or ``timeout`` seconds are over, and end it.

    Not with the launcher, which makes sure that none of this happens. On a port that somebody
    else holds (``http_port``) it is not seen to serve.
    """
    identity = uuid.uuid4().hex[:12]
    directory = run_directory(identity)
    region = f"triton_python_backend_shm_region_{identity}_"
    server, interpreter = find_server(settings.server_release), overlay(settings.server_python)
    deadline = time.monotonic() + timeout
    with Supervised() as supervised, reserve() as free:
        argv = command_line(
            server,
            repository=repository,
            backends=backend_directory(server, interpreter),
            ports=Ports(http_port or free.http, free.grpc, free.metrics),
            models=models,
            region=region,
            complete=True,
            extra=flags,
        )
        supervised.start(
            argv=argv,
            env=server_environment(server, interpreter, directory, device=settings.device),
            log=log,
            directory=directory,
            region=region,
            deadline=deadline,
        )
        served = False
        while supervised.exit_status is None and not supervised.stopped and not served:
            if time.monotonic() >= deadline:
                break
            supervised.wait(_STEP)
            served = not http_port and _answers(free.http)
        return Tried(supervised.exit_status, served)  # the end of this block ends it in any case


def _answers(port: int) -> bool:
    """Does somebody answer HTTP there, whatever the answer is?"""
    try:
        return listens(port) and request(port, "GET", "/v2/health/live")[0] > 0
    except (OSError, ValueError):
        return False
