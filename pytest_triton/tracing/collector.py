"""A collector of ours: takes spans as OTLP over HTTP in JSON, and keeps them."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Sequence

from pytest_triton.launch.ports import HOST
from pytest_triton.probe.types import MalformedAnswer
from pytest_triton.tracing.spans import Span, read_spans

PATH = "/v1/traces"
#: Bytes of one export, and spans that are kept.
MAX_BYTES, MAX_SPANS = 16 << 20, 50_000
#: Seconds that a connection may be silent; the end of a collector waits no longer.
_SILENT = 5.0
Enough = Callable[[Sequence[Span]], bool]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # joined at the end

    def handle_error(self, request: object, client_address: object) -> None:
        """A server that hangs up is not worth a line."""


class Collector:
    """Listens on a free port of the loopback interface for the length of a block.

    ``trouble`` says what came and could not be taken.
    """

    def __init__(self) -> None:
        self.trouble: list[str] = []
        self._spans: list[Span] = []
        self._came = threading.Condition()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = _SILENT

            def do_POST(self) -> None:
                status = collector._export(self)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: object) -> None:
                """Nobody reads it."""

        self._server = _Server((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self._server.server_address[1]}{PATH}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def _export(self, asked: http.server.BaseHTTPRequestHandler) -> int:
        """Take one export; the HTTP status to answer."""
        try:
            size = int(asked.headers.get("Content-Length") or -1)
        except ValueError:
            size = -1
        kind = asked.headers.get_content_type()
        if asked.path != PATH:
            return self._refuse(404, f"an export went to {asked.path:.80}")
        if not 0 <= size <= MAX_BYTES:
            return self._refuse(413, f"an export has {size} bytes")
        body = asked.rfile.read(size)
        if kind != "application/json":
            return self._refuse(415, f"an export came as {kind:.80}, not in JSON")
        try:
            found = read_spans(body, arrived=time.monotonic())
        except MalformedAnswer as error:
            return self._refuse(400, str(error))
        with self._came:
            if len(self._spans) + len(found) > MAX_SPANS:
                return self._refuse(429, f"more than {MAX_SPANS} spans came")
            self._spans += found
            self._came.notify_all()
        return 200

    def _refuse(self, status: int, why: str) -> int:
        if len(self.trouble) < 20:
            self.trouble.append(why)
        return status

    def spans(self, since: int = 0) -> list[Span]:
        """What came so far, without the first ``since``."""
        with self._came:
            return self._spans[since:]

    def wait(self, enough: Enough, timeout: float, *, since: int = 0) -> list[Span]:
        """The spans once they are enough, or after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        with self._came:
            while not enough(self._spans[since:]):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._came.wait(left)
            return self._spans[since:]

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
