"""A health check against three servers: one that is up, one that is not ready, one that is not there."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import urllib3

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.deployment import Deployment
from pytest_triton.factory import ServerFactory
from pytest_triton.healthcheck.reading import Check
from pytest_triton.load.scripts.running import bounded
from pytest_triton.own_models import write_python_model

#: Seconds that a check may take: longer, and nobody would wait for it.
DEADLINE_S = 15.0
STATES = ("up", "not ready", "down")
#: What each kind of check has to say of each state; True: all is well.
WANTED: dict[str, dict[str, bool]] = {
    "ready": {"up": True, "not ready": False, "down": False},
    "alive": {"up": True, "not ready": True, "down": False},
}
_ADDRESS = re.compile(
    r"(?P<host>localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\]|[A-Za-z][\w.-]*)?:(?P<port>800[012])\b"
)
_BROKEN = """
class TritonPythonModel:
    def initialize(self, args):
        raise RuntimeError("never ready, on purpose")

    def execute(self, requests):
        return []
"""
Ports = Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Tried:
    """What a check said of a server: ``well``, and in what words."""

    state: str
    well: bool
    told: str


def addresses(deployment: Deployment) -> Ports:
    """Triton's default ports -> where they are here."""
    urls = {8000: deployment.http_url, 8001: f"//{deployment.grpc_url or ''}",
            8002: deployment.metrics_url or ""}  # fmt: skip
    return {port: urlsplit(url).netloc for port, url in urls.items()}


@contextmanager
def not_ready(factory: ServerFactory, directory: Path, models: Sequence[str]) -> Iterator[Ports]:
    """A server that lives, on which every model has failed to load."""
    for name in models:
        write_python_model(directory / name, _BROKEN)
    deployment = factory(directory, tolerant=True, auto_complete=False)
    try:
        yield addresses(deployment)
    finally:
        factory.stop(deployment)


@contextmanager
def down() -> Iterator[Ports]:
    """Ports that refuse."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        yield dict.fromkeys((8000, 8001, 8002), address)


def attempt(check: Check, state: str, where: Ports, root: Path) -> Tried:
    """One check against one server. Raises NotAssessed where its program is not here."""
    if check.command:
        return _command(check, state, where, root)
    address = where.get(check.port)
    if address is None:
        return Tried(state, False, f"port {check.port} is none of Triton's")
    if check.grpc:
        return _grpc(state, address)
    try:
        answer = urllib3.request(
            "GET",
            f"http://{address}{check.path}",
            timeout=DEADLINE_S,
            retries=False,
            redirect=False,
        )
    except urllib3.exceptions.HTTPError as error:
        return Tried(state, False, type(error).__name__)
    return Tried(state, 200 <= answer.status < 400, f"HTTP {answer.status}")


def _command(check: Check, state: str, where: Ports, root: Path) -> Tried:
    program = check.command[0]
    words = " ".join(check.command)
    for name in (program, *(tool for tool in ("curl", "wget", "grpc_health_probe", "nc")
                            if re.search(rf"\b{tool}\b", words))):  # fmt: skip
        if shutil.which(name) is None:
            raise NotAssessed(Reason.BLOCKED, f"{check}: {name} is not installed here")

    def moved(match: re.Match[str]) -> str:
        return where[int(match["port"])]

    command = [word if word.startswith(f"{root}/") else _ADDRESS.sub(moved, word)
               for word in check.command]  # fmt: skip
    script = command[-1] if command[-1].startswith(f"{root}/") else ""
    if script:
        command += [f"http://{where[8000]}"]
    ended = bounded(command, deadline_s=DEADLINE_S, directory=root if script else None)
    if ended.status is None:
        return Tried(state, False, f"had not ended after {DEADLINE_S:g} s")
    return Tried(state, ended.status == 0, f"exit status {ended.status} {ended.output[-160:]}")


def _grpc(state: str, address: str) -> Tried:
    """grpc.health.v1.Health/Check of the whole server; an answer is field 1, SERVING is 1."""
    import grpc

    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            answer = call(b"", timeout=DEADLINE_S)
        except grpc.RpcError as error:
            return Tried(state, False, str(error.code().name))
    return Tried(
        state, answer == b"\x08\x01", "SERVING" if answer == b"\x08\x01" else "not SERVING"
    )


def wrong(check: Check, tried: Sequence[Tried]) -> list[str]:
    """What a check gets wrong."""
    found = []
    for each in tried:
        if each.well is not WANTED[check.asks][each.state]:
            says = "says that all is well" if each.well else "says that something is wrong"
            what = {
                "up": "while the server is ready", "down": "while nobody listens",
                "not ready": "while no model is ready, and the server lives",
            }[each.state]  # fmt: skip
            found.append(f"{says} {what} ({each.told.strip()})")
    return found
