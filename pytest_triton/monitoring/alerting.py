"""An Alertmanager of ours whose receivers are all the same webhook, which tells them apart."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_triton.monitoring.process import HOST, Program

#: Bytes of a notification, at most.
_MOST = 4 << 20


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert of one notification: who got it, firing or resolved, and when (monotonic s)."""

    receiver: str
    status: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    at: float


class Webhook:
    """Takes what an Alertmanager sends; the receiver is the path."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self._came = threading.Condition()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 10

            def do_POST(self) -> None:
                size = min(int(self.headers.get("Content-Length") or 0), _MOST)
                hook._take(self.path.strip("/"), self.rfile.read(size))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self._server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def _take(self, receiver: str, body: bytes) -> None:
        try:
            told = json.loads(body)
            alerts = told["alerts"]
        except (ValueError, KeyError, TypeError):
            return
        now = time.monotonic()
        with self._came:
            for alert in alerts:
                self.notices.append(
                    Notice(receiver, str(alert.get("status")), alert.get("labels", {}),
                           alert.get("annotations", {}), now)
                )  # fmt: skip
            self._came.notify_all()

    def wait(self, alert: str, status: str, timeout: float) -> Notice | None:
        """The first notice of this alert with this status; None within ``timeout`` s."""
        deadline = time.monotonic() + timeout
        with self._came:
            while True:
                for notice in self.notices:
                    if notice.labels.get("alertname") == alert and notice.status == status:
                        return notice
                left = deadline - time.monotonic()
                if left <= 0:
                    return None
                self._came.wait(left)

    def __enter__(self) -> Webhook:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


#: Times of a route that make people wait, and what a test waits instead.
_TIMES = {"group_wait": "100ms", "group_interval": "500ms", "repeat_interval": "1h"}
DEFAULT_RECEIVER = "everybody"


def configuration(given: Any, hook: str) -> dict[str, Any]:
    """An Alertmanager's configuration with the given routes, whose receivers all lead to ``hook``.

    ``given`` is a document that was handed in, or None: then one route for all. Templates,
    credentials and inhibitions by files do not come along.
    """
    document = given if isinstance(given, dict) else {}
    route = document.get("route")
    route = dict(route) if isinstance(route, dict) else {"receiver": DEFAULT_RECEIVER}
    names = [each.get("name") for each in document.get("receivers") or []
             if isinstance(each, dict)]  # fmt: skip
    kept = [name for name in names if isinstance(name, str)] or [DEFAULT_RECEIVER]
    made: dict[str, Any] = {
        "route": _fast(route),
        "receivers": [
            {"name": name, "webhook_configs": [{"url": f"{hook}/{name}", "send_resolved": True}]}
            for name in kept
        ],
    }
    if isinstance(document.get("inhibit_rules"), list):
        made["inhibit_rules"] = document["inhibit_rules"]
    return made


def _fast(route: Mapping[str, Any]) -> dict[str, Any]:
    below = route.get("routes")
    made = {key: value for key, value in route.items() if key not in ("routes", *_TIMES)}
    made |= _TIMES
    if isinstance(below, list):
        made["routes"] = [_fast(each) for each in below if isinstance(each, dict)]
    return made


class Alertmanager(Program):
    """Its address for Prometheus is ``url`` without the scheme."""

    program = "alertmanager"

    def __init__(self, directory: Path, config: Mapping[str, Any]) -> None:
        super().__init__(directory)
        self.config = directory / "alertmanager.yml"
        self.config.write_text(json.dumps(config, indent=1))

    @property
    def address(self) -> str:
        return self.url.removeprefix("http://")

    def _arguments(self) -> Sequence[str]:
        return (
            f"--config.file={self.config}", f"--storage.path={self.directory / 'alerts'}",
            f"--web.listen-address={self.address}", "--cluster.listen-address=", "--log.level=warn",
        )  # fmt: skip
