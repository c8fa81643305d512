"""HTTP exchanges with a deadline over the whole exchange and a bound on what is read.

urllib3's timeouts hold for one socket operation each: a server that trickles a byte at a
time outlives them. A watchdog shuts the socket down at the deadline instead.
"""

from __future__ import annotations

import heapq
import http.client
import itertools
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    SSLError,
    TimeoutError,
)

from pytest_triton.errors import ToolError
from pytest_triton.probe import transcript
from pytest_triton.probe.types import ConnectionFailed, HttpAnswer

MAX_BYTES = 256 << 20
"""Most bytes that one answer of inference may have."""
CONTROL_BYTES = 32 << 20
"""Most bytes of any other answer: an index of thousands of models has less."""
_CHUNK = 1 << 18
#: Ends of the paths whose answers hold tensors.
_TENSORS = ("/infer", "/generate", "/generate_stream")


class _Quiet(logging.Filter):
    """What is wrong with an answer is our message; urllib3 logs a traceback beside it."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Failed to parse headers")


logging.getLogger("urllib3.connection").addFilter(_Quiet())


class _Watchdog:
    """One daemon thread that shuts sockets down at their deadlines."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, _Scope]] = []
        self._live: set[int] = set()
        self._numbers = itertools.count()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None

    def arm(self, scope: _Scope, deadline: float) -> int:
        with self._condition:
            number = next(self._numbers)
            self._live.add(number)
            heapq.heappush(self._due, (deadline, number, scope))
            if self._thread is None or not self._thread.is_alive():  # also after a fork
                self._thread = threading.Thread(
                    target=self._run, name="pytest-triton-watchdog", daemon=True
                )
                self._thread.start()
            elif self._due[0][1] == number:
                self._condition.notify()
            return number

    def disarm(self, number: int) -> None:
        with self._condition:
            self._live.discard(number)
            # what is over must not keep its connection alive until the deadline
            while self._due and self._due[0][1] not in self._live:
                heapq.heappop(self._due)
            if len(self._due) > 4 * len(self._live) + 64:
                self._due = [entry for entry in self._due if entry[1] in self._live]
                heapq.heapify(self._due)

    def _run(self) -> None:
        while True:
            with self._condition:
                if not self._due:
                    self._condition.wait()
                    continue
                wait = self._due[0][0] - time.monotonic()
                if wait > 0:
                    self._condition.wait(wait)
                    continue
                _, number, scope = heapq.heappop(self._due)
                if number in self._live:
                    scope.cut()


_watchdog = _Watchdog()


class Exchange:
    """An answer whose headers have arrived; its body is still to be read."""

    def __init__(self, response: urllib3.BaseHTTPResponse, limit: int) -> None:
        self.heard: Callable[[bytes], None] = lambda _: None
        self._response = response
        self._limit = limit
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes. Raises ConnectionFailed past the limit, before it is held."""
        announced = self.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self._limit:
            raise ConnectionFailed(
                "too_large", f"the answer announces {announced} bytes, over {self._limit}"
            )
        seen = 0
        while data := self._response.read1(_CHUNK):
            seen += len(data)
            self.heard(data)
            if seen > self._limit:
                raise ConnectionFailed("too_large", f"the answer is over {self._limit} bytes")
            yield data


class Transport:
    """Keep-alive connections to one server. Thread-safe. ``base_path`` is kept in front.

    The values of ``private`` headers show in no transcript.
    """

    def __init__(
        self,
        url: str,
        *,
        ssl_context: Any = None,
        limit: int = MAX_BYTES,
        connections: int = 8,
        private: Mapping[str, str] | None = None,
    ) -> None:
        self._private = dict(private or {})
        if "://" not in url:
            url = f"http://{url}"
        try:
            parsed = urllib3.util.parse_url(url)
        except HTTPError:
            raise _bad_url(url) from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise _bad_url(url)
        self.url = url.rstrip("/")
        self.base_path = (parsed.path or "").rstrip("/")
        self.query = parsed.query
        self._limit = limit
        options: dict[str, Any] = {"maxsize": connections, "block": False, "retries": False}
        self._pool: urllib3.HTTPConnectionPool
        if parsed.scheme == "https":
            self._pool = urllib3.HTTPSConnectionPool(
                parsed.host, parsed.port, ssl_context=ssl_context, **options
            )
            self._pool.ConnectionCls = _watched(HTTPSConnection)
        else:
            self._pool = urllib3.HTTPConnectionPool(parsed.host, parsed.port, **options)
            self._pool.ConnectionCls = _watched(HTTPConnection)

    @contextmanager
    def open(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> Iterator[Exchange]:
        """Send a request and give its exchange; ``timeout`` (seconds) covers everything."""
        if not transcript.recorded():
            with self._open(method, path, body, headers, timeout) as exchange:
                yield exchange
            return
        url = self.url + path
        call = transcript.HttpCall(method, url, headers, body, self._private, timeout)
        transcript.record(call)
        with call, self._open(method, path, body, headers, timeout) as exchange:
            call.answered(exchange.status, exchange.headers)
            exchange.heard = call.received.add
            yield exchange

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> Iterator[Exchange]:
        started = time.monotonic()
        response: urllib3.BaseHTTPResponse | None = None
        scope = _Scope(started + timeout)
        _scope.current = scope
        try:
            response = self._pool.urlopen(
                method,
                self.base_path + path,
                body=body,
                headers=dict(headers),
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(connect=timeout, read=timeout),
                preload_content=False,
                decode_content=False,
            )
            _scope.current = None
            limit = self._limit if path.endswith(_TENSORS) else min(self._limit, CONTROL_BYTES)
            yield Exchange(response, limit)
            if time.monotonic() >= scope.deadline:  # a cut connection may read like a plain end
                raise TimeoutError
            scope.complete = bool(getattr(response, "closed", False))
        except (HTTPError, OSError) as error:
            _translate(error, f"{method} {self.url}{path}", timeout, time.monotonic() - started)
        finally:
            scope.close()
            _scope.current = None
            if response is not None:
                if not scope.complete:
                    response.close()  # an answer half read must not go back into the pool
                response.release_conn()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: float,
    ) -> HttpAnswer:
        """One exchange, whole. Raises ConnectionFailed when no whole answer arrives in time."""
        started = time.perf_counter()
        with self.open(method, path, body=body, headers=headers, timeout=timeout) as exchange:
            parts = list(exchange.chunks())
        body_read = parts[0] if len(parts) == 1 else b"".join(parts)
        elapsed = time.perf_counter() - started
        return HttpAnswer(exchange.status, exchange.headers, body_read, elapsed)

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()


class _Scope:
    """The deadline of the exchange that this thread is in, and the socket to cut at it."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.complete = False
        self.sock: socket.socket | None = None
        self._number = _watchdog.arm(self, deadline)

    def cut(self) -> None:
        """Wake whoever reads or writes; called by the watchdog."""
        if self.sock is not None:
            # SSLSocket.shutdown would drop its TLS state under the reader's feet
            with suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def close(self) -> None:
        _watchdog.disarm(self._number)


class _Current(threading.local):
    current: _Scope | None = None


_scope = _Current()


def _watched(base: Any) -> Any:
    class Watched(base):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            self._watch()

        def request(self, *args: Any, **kwargs: Any) -> None:
            self._watch()
            super().request(*args, **kwargs)

        def _watch(self) -> None:
            # kept here: http.client forgets the socket of an answer that ends with it
            if _scope.current is not None:
                _scope.current.sock = self.sock

    return Watched


def _bad_url(url: str) -> ToolError:
    return ToolError(f"{url!r} is no URL of a server", "give one like http://127.0.0.1:8000")


def _translate(error: Exception, what: str, timeout: float, elapsed: float) -> NoReturn:
    """Raise the ConnectionFailed that says what went wrong."""
    if isinstance(error, NameResolutionError):
        raise ConnectionFailed("refused", f"{what}: the host name is unknown") from error
    if isinstance(error, NewConnectionError):
        raise ConnectionFailed("refused", f"{what}: {_cause(error)}") from error
    late = elapsed >= 0.98 * timeout
    if late or isinstance(error, (ConnectTimeoutError, TimeoutError)):
        raise ConnectionFailed(
            "timeout", f"{what}: no whole answer within {timeout:g} s"
        ) from error
    if isinstance(error, SSLError):
        raise ConnectionFailed("refused", f"{what}: TLS: {_cause(error)}") from error
    broken = next(
        (part for part in (error, *_causes(error)) if isinstance(part, http.client.IncompleteRead)),
        None,
    )
    if broken is not None and broken.expected:
        raise ConnectionFailed(
            "closed", f"{what}: the answer ends {broken.expected} bytes short of its Content-Length"
        ) from error
    if broken is not None:
        raise ConnectionFailed("garbled", f"{what}: a chunk of the answer is broken") from error
    if isinstance(error, ProtocolError):
        text = _cause(error)
        closed = isinstance(error.__cause__ or error.__context__, OSError) or "closed" in text
        raise ConnectionFailed("closed" if closed else "garbled", f"{what}: {text}") from error
    raise ConnectionFailed("garbled", f"{what}: {error}") from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause = error.__cause__ or error.__context__
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _cause(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    return str(cause) if cause is not None and str(cause) else str(error)
