"""Health checks in compose files, Kubernetes manifests and scripts, as one kind of thing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_triton.monitor.yamls import LINE, Unreadable, mappings, read_yaml_all

#: Kinds of Kubernetes' probes, and what each asks: alive, or ready for requests.
PROBES = {"livenessProbe": "alive", "readinessProbe": "ready", "startupProbe": "ready"}
#: Triton's default ports, by the names that manifests give them.
PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``asks`` is "alive" or "ready"; it has a ``command``, or a ``path`` and ``port``
    of an HTTP request, or with ``grpc`` the port of gRPC's health protocol."""

    name: str
    file: Path
    line: int
    asks: str
    command: tuple[str, ...] = ()
    path: str = ""
    port: int = 0
    grpc: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({self.file.name}:{self.line})" if self.line else self.name


def read_checks(path: Path) -> list[Check]:
    """The checks of a file; none where it has none. Raises Unreadable."""
    if path.suffix in (".sh", ".py"):
        program = "sh" if path.suffix == ".sh" else "python3"
        return [Check(path.name, path, 0, "ready", command=(program, str(path)))]
    found = []
    for document in read_yaml_all(path):
        if isinstance(document, dict):
            found += list(_compose(path, document))
            found += list(_manifest(path, document))
    return found


def _compose(path: Path, document: dict[str, Any]) -> Iterator[Check]:
    services = document.get("services")
    for name, service in services.items() if isinstance(services, dict) else ():
        check = service.get("healthcheck") if isinstance(service, dict) else None
        if not isinstance(check, dict) or check.get("disable"):
            continue
        test = check.get("test")
        if isinstance(test, str):
            command: tuple[str, ...] = ("sh", "-c", _dollars(test))
        elif isinstance(test, list) and test and test[0] == "CMD":
            command = tuple(_dollars(str(word)) for word in test[1:])
        elif isinstance(test, list) and len(test) == 2 and test[0] == "CMD-SHELL":
            command = ("sh", "-c", _dollars(str(test[1])))
        else:
            raise Unreadable(path, f"{name}: test is {test!r:.80}", int(check.get(LINE, 0)))
        if command and _is_tritons(str(name), service, command):
            yield Check(f"healthcheck of {name}", path, int(check.get(LINE, 0)), "ready", command)


def _dollars(word: str) -> str:
    return word.replace("$$", "$")  # compose would take one for a variable of its own


def _is_tritons(name: str, service: dict[str, Any], command: tuple[str, ...]) -> bool:
    text = f"{name} {service.get('image', '')} {' '.join(command)}".lower()
    return any(word in text for word in ("triton", "/v2/", ":8000", ":8001", ":8002"))


def _manifest(path: Path, document: dict[str, Any]) -> Iterator[Check]:
    """Probes of every container below a manifest, at whatever depth its kind has them."""
    for container in _containers(document):
        ports = {str(each.get("name")): each.get("containerPort")
                 for each in mappings(container.get("ports"))}  # fmt: skip
        for key, asks in PROBES.items():
            probe = container.get(key)
            if isinstance(probe, dict):
                yield _probe(path, f"{key} of {container.get('name', '?')}", asks, probe, ports)


def _containers(node: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > 20:
        return
    if isinstance(node, dict):
        yield from mappings(node.get("containers"))
        for value in node.values():
            yield from _containers(value, depth + 1)
    elif isinstance(node, list):
        for value in node:
            yield from _containers(value, depth + 1)


def _probe(path: Path, name: str, asks: str, probe: dict[str, Any], ports: dict[str, Any]) -> Check:
    line = int(probe.get(LINE, 0))
    command = probe.get("exec", {}).get("command") if isinstance(probe.get("exec"), dict) else None
    if isinstance(command, list):
        return Check(name, path, line, asks, tuple(str(word) for word in command))
    for key in ("httpGet", "grpc"):
        told = probe.get(key)
        if isinstance(told, dict):
            port = _port(path, line, name, told.get("port"), ports)
            return Check(
                name, path, line, asks, (), str(told.get("path", "/")), port, key == "grpc"
            )
    raise Unreadable(path, f"{name} has neither httpGet, grpc nor exec: a port that is open says "
                     "nothing of Triton", line)  # fmt: skip


def _port(path: Path, line: int, name: str, port: Any, ports: dict[str, Any]) -> int:
    if isinstance(port, str) and not port.isdigit():
        port = ports.get(port, PORTS.get(port))
    try:
        return int(port)
    except (TypeError, ValueError):
        raise Unreadable(path, f"{name} names no port that there is", line) from None


def spoken(check: Check) -> str:
    """What it does, in a line."""
    if check.command:
        return shlex.join(check.command)[:200]
    return f"gRPC health at {check.port}" if check.grpc else f"GET :{check.port}{check.path}"
