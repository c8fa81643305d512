"""Loopback ports that stay ours until the server listens on them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pytest_triton.errors import Misused, ToolError

HOST = "127.0.0.1"


@dataclass
class Ports:
    """The three ports of a server; None where that endpoint is switched off."""

    http: int
    grpc: int | None
    metrics: int | None
    held: list[socket.socket] = field(default_factory=list, repr=False)

    def release(self) -> None:
        """Let go of the reservations: the server listens, or is gone."""
        while self.held:
            self.held.pop().close()


def flag_value(flags: Sequence[str], name: str) -> str | None:
    """The last value of ``--name=value`` or ``--name value`` among a server's flags."""
    value = None
    for position, flag in enumerate(flags):
        if flag.startswith(f"--{name}="):
            value = flag.partition("=")[2]
        elif flag == f"--{name}":
            value = flags[position + 1] if position + 1 < len(flags) else ""
    return value


def _off(flags: Sequence[str], name: str) -> bool:
    return (flag_value(flags, name) or "true").lower() in ("0", "false", "off", "no")


@contextmanager
def reserve(
    http: int | None = None,
    grpc: int | None = None,
    metrics: int | None = None,
    flags: Sequence[str] = (),
) -> Iterator[Ports]:
    """Take three ports; None: any free one. Raises ToolError when one is in use.

    A bound socket that does not listen keeps everybody else off a port (bind and connect
    alike), and does not keep tritonserver off, which sets SO_REUSEADDR too.
    """
    if _off(flags, "allow-http"):
        raise ToolError(
            "--allow-http=false leaves nothing to see the server's readiness by",
            "leave HTTP on: it listens on the loopback interface only",
        )
    ports = Ports(0, None, None)
    try:
        ports.http = _take(ports, "HTTP", _asked(flags, "http-port", http))
        if not _off(flags, "allow-grpc"):
            ports.grpc = _take(ports, "gRPC", _asked(flags, "grpc-port", grpc))
        if not _off(flags, "allow-metrics"):
            ports.metrics = _take(ports, "metrics", _asked(flags, "metrics-port", metrics))
        yield ports
    finally:
        ports.release()


def _asked(flags: Sequence[str], name: str, port: int | None) -> int:
    value = flag_value(flags, name)
    if value is None:
        return port or 0
    if not value.isdigit() or int(value) > 65535:
        raise Misused(f"--{name}={value} is not a port", "give a number from 1 to 65535")
    return int(value)


def _take(ports: Ports, name: str, port: int) -> int:
    if not 0 <= port <= 65535:
        raise Misused(f"port {port} for {name} is not a port", "give a number from 1 to 65535")
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((HOST, port))
    except OSError as error:
        taken.close()
        why = {errno.EADDRINUSE: "is in use", errno.EACCES: "may not be used by this user"}
        raise ToolError(
            f"port {port} for {name} {why.get(error.errno or 0, error.strerror)}{_owner(port)}",
            "end that process, or choose another port",
        ) from None
    ports.held.append(taken)
    return int(taken.getsockname()[1])


def _owner(port: int) -> str:
    """ " by NAME (process N)", where this user may know it."""
    import psutil

    try:
        for item in psutil.net_connections("tcp"):
            if item.laddr and item.laddr.port == port and item.status == psutil.CONN_LISTEN:
                return f" by {psutil.Process(item.pid).name()} (process {item.pid})"
    except (psutil.Error, OSError, TypeError):
        pass
    return ""
