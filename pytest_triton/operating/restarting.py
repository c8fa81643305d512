"""A server that ends, by SIGTERM or SIGKILL, and another one in its place on the same ports."""

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from pytest_triton.criteria import Inconclusive
from pytest_triton.deployment import Deployment
from pytest_triton.drills.bystander import Known
from pytest_triton.drills.session import known_answer
from pytest_triton.errors import DeploymentFailed, ToolError
from pytest_triton.factory import ServerFactory, smallest_model
from pytest_triton.launch.ports import HOST
from pytest_triton.monitor.metrics import scrape
from pytest_triton.operating.stopping import EXIT_TIMEOUT, MARGIN
from pytest_triton.operating.working import probe
from pytest_triton.probe.http import wait_until
from pytest_triton.probe.types import ProbeError
from pytest_triton.subject import Subject

#: Seconds after the end of a server until its ports have to be free.
FREE_S = 10.0
#: Ports are drawn from here: below those that the kernel gives away by itself.
_FROM, _TO = 20000, 32000
_DRAWS = 200
_COUNTED = "nv_inference_request_success"


@dataclass(frozen=True, slots=True)
class Restart:
    """One end and the start after it.

    ``status``: of the process that ended, None when it did not. ``holders``: what of it still
    listened on its ports when they had to be free. ``wrong``: what is wrong with the answers of
    the next server, or that there is none. ``ready_s``: seconds until it was ready, None when it
    was not.
    """

    ended_by: str
    status: int | None
    holders: tuple[str, ...]
    wrong: tuple[str, ...]
    ready_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """What is served, where, and what it answers."""

    repository: Path
    model: str
    known: Known
    ports: tuple[int, int, int]


def restarted(factory: ServerFactory, subject: Subject) -> list[Restart]:
    """Serve the subject's smallest model, end the server, and start it again; twice.

    Raises DeploymentFailed when a server does not start, Inconclusive when somebody else took a
    port meanwhile.
    """
    model = smallest_model(subject.deployment, among=subject.unary)
    known = known_answer(subject, model)
    repository = subject.deployment.repository
    assert repository is not None
    place = _Place(repository, model, known, free_ports())
    server: Deployment | None = _boot(factory, place)
    seen: list[Restart] = []
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            assert server is not None
            status, holders = _end(factory, server, number, place)
            factory.stop(server)
            server, began = None, time.monotonic()
            try:
                server = _boot(factory, place)
            except DeploymentFailed as error:
                again = (f"it does not start again: {error}",)
                return [*seen, Restart(number.name, status, holders, again)]
            ready = time.monotonic() - began
            seen.append(Restart(number.name, status, holders, _wrong(server, place), ready))
    finally:
        if server is not None:
            factory.stop(server)
    return seen


def _boot(factory: ServerFactory, place: _Place) -> Deployment:
    http, grpc, metrics = place.ports
    try:
        return factory(
            place.repository,
            (place.model,),
            http_port=http,
            grpc_port=grpc,
            metrics_port=metrics,
            server_args=(f"--exit-timeout-secs={EXIT_TIMEOUT}",),
        )
    except DeploymentFailed:
        raise
    except ToolError as error:
        raise Inconclusive(f"the ports could not be had: {error.message}") from None


def _end(
    factory: ServerFactory, server: Deployment, number: signal.Signals, place: _Place
) -> tuple[int | None, tuple[str, ...]]:
    """Its exit status, and what of it still listens afterwards."""
    with ExitStack() as clients:
        # Connections that are open when a server dies linger in its kernel: they must not matter.
        # An idle one over HTTP would keep a server that stops from its end (24.07 and later).
        for protocol in ("http", "grpc"):
            client = clients.enter_context(probe(server, protocol))
            client.infer(place.model, place.known.case.inputs)
            if protocol == "http" and number == signal.SIGTERM:
                client.close()
        factory.send(server, number)
        status = factory.ended(server, timeout=EXIT_TIMEOUT + MARGIN)
        if status is None:
            return None, ()
        wait_until(lambda: not listeners(place.ports), timeout=FREE_S)
        found = listeners(place.ports)
        left = set(factory.processes(server))
        strangers = [port for port, pid in found if pid not in left]
        if strangers:
            raise Inconclusive(f"another process took port {strangers[0]} meanwhile")
        return status, tuple(f"{_name(pid)} on port {port}" for port, pid in found)


def listeners(ports: Collection[int]) -> list[tuple[int, int | None]]:
    """(port, process) of every socket that listens on one of these ports."""
    return sorted(
        (entry.laddr.port, entry.pid)
        for entry in psutil.net_connections("tcp")
        if entry.laddr and entry.laddr.port in ports and entry.status == psutil.CONN_LISTEN
    )


def _name(pid: int | None) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return f"process {pid}"


def _wrong(server: Deployment, place: _Place) -> tuple[str, ...]:
    """What is wrong with the answers and the metrics of a server."""
    found = []
    for protocol in ("http", "grpc"):
        with probe(server, protocol) as client:
            try:
                text = place.known.wrong(client.infer(place.model, place.known.case.inputs))
            except ProbeError as error:
                text = f"is not answered: {error}"
        if text:
            found.append(f"{place.model} over {protocol}: {text}")
    try:
        page = scrape(str(server.metrics_url))
    except ProbeError as error:
        return (*found, f"metrics: {error}")
    if page.value(_COUNTED, model=place.model) is None:
        found.append(f"metrics have no {_COUNTED} of {place.model}")
    return tuple(found)


def free_ports() -> tuple[int, int, int]:
    """Three ports on which nobody listens; ToolError when none are found."""
    draw = random.SystemRandom()  # runs beside this one must not draw the same
    found: list[int] = []
    for _ in range(_DRAWS):
        port = draw.randrange(_FROM, _TO)
        if port not in found and _free(port):
            found.append(port)
        if len(found) == 3:
            return found[0], found[1], found[2]
    raise ToolError(f"no three ports from {_FROM} to {_TO} are free", "end what listens there")


def _free(port: int) -> bool:
    with socket.socket() as tried:
        try:
            tried.bind((HOST, port))
        except OSError:
            return False
    return True
