"""Wait until a server that is booting serves what it should, and not a moment longer."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_triton.launch.diagnose import Story
from pytest_triton.launch.ports import HOST, Ports
from pytest_triton.launch.supervised import Supervised
from pytest_triton.launch.supervisor import descendants

#: Seconds between two looks.
_POLL = 0.004
#: Seconds for one answer of a server that listens.
_ANSWER = 5.0
#: Seconds for which a server may say that it is not live before that is its last word.
_NOT_LIVE = 1.0
_MAX_ANSWER = 64 * 1024 * 1024


def wait_ready(
    supervisor: Supervised,
    ports: Ports,
    models: Sequence[str],
    *,
    deadline: float,
    story: Story,
    headers: Sequence[tuple[str, str]] = (),
) -> dict[str, str]:
    """Return when every model is READY or has failed: model -> reason of those that failed.

    Triton opens HTTP after it has tried every model of its list, so the first answer is
    almost always the last word. Raises DeploymentFailed when the server ends, or does not get
    that far before ``deadline`` (monotonic). ``headers`` hold the keys of restricted APIs.
    """
    silent = 0.0
    while True:
        _watch(supervisor, story, deadline)
        if listens(ports.http):
            try:
                if request(ports.http, "GET", "/v2/health/live", headers)[0] == 200:
                    body = request(ports.http, "POST", "/v2/repository/index", headers)[1]
                    # A directory's name that is no UTF-8 comes back as it is.
                    index = json.loads(body.decode("utf-8", "surrogateescape"))
                    if not any(_loading(item, models) for item in index):
                        break
                else:
                    silent = silent or time.monotonic()
                    if time.monotonic() - silent > _NOT_LIVE:
                        raise story.not_live()
            except (OSError, ValueError):
                pass  # it has begun to listen, or is about to end: both show next time
        supervisor.wait(_POLL)
    # Metrics come some 40 ms after HTTP, and whoever gets the server may scrape at once.
    for port in (ports.grpc, ports.metrics):
        while port is not None and not listens(port):
            _watch(supervisor, story, deadline)
            supervisor.wait(_POLL)
    return story.failures(index, models)


def _watch(supervisor: Supervised, story: Story, deadline: float) -> None:
    """Raise when the server has ended or the deadline has passed."""
    if supervisor.exit_status is not None or supervisor.stopped:
        raise story.ended(supervisor.exit_status)
    if time.monotonic() > deadline:
        raise story.too_late(_processes(supervisor.process.pid))


def _processes(root: int) -> list[str]:
    """Command lines of everything below a process."""
    found = []
    for pid in descendants(root):
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
        except (OSError, ValueError):
            continue
    return found


def _loading(item: dict[str, Any], models: Sequence[str]) -> bool:
    return item.get("name") in models and item.get("state") == "LOADING"


def listens(port: int) -> bool:
    """Does somebody accept connections there?"""
    try:
        socket.create_connection((HOST, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def request(
    port: int, method: str, path: str, headers: Sequence[tuple[str, str]] = ()
) -> tuple[int, bytes]:
    """One HTTP exchange with a server of ours: status and body. Raises OSError, ValueError."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers)
    head += "Content-Length: 0\r\n\r\n"
    deadline = time.monotonic() + _ANSWER
    data = b""
    with socket.create_connection((HOST, port), timeout=_ANSWER) as connection:
        connection.sendall(head.encode())
        while len(data) < _MAX_ANSWER and time.monotonic() < deadline:
            top, separator, body = data.partition(b"\r\n\r\n")
            if separator and len(body) >= _content_length(top):
                break
            piece = connection.recv(65536)
            if not piece:
                break
            data += piece
    top, _, body = data.partition(b"\r\n\r\n")
    return int(top.split(maxsplit=2)[1] if b" " in top else b""), body


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return _MAX_ANSWER
