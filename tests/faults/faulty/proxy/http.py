"""The HTTP side: byte for byte the server's answer, unless a rule says otherwise."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Collection
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import paths
from .rules import Active, change_body

if TYPE_CHECKING:
    from .state import State

#: Status, headers and body.
Whole = tuple[int, list[tuple[str, str]], bytes]
#: Seconds that the server may take for one answer.
TIMEOUT = 120.0
#: Headers that belong to one connection.
_OWN = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


class Server(ThreadingHTTPServer):
    """Answers on a port of the loopback interface for one upstream."""

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, on: str, upstream: str, state: State, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.on = on
        self.state = state
        parsed = urlsplit(upstream)
        self.host, self.port = str(parsed.hostname), int(parsed.port or 80)

    def start(self) -> int:
        """Serve in the background; the port."""
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A judge that hangs up is not worth a line."""


class Handler(BaseHTTPRequestHandler):
    """One connection of the judge, and its own connection to the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server
    upstream: http.client.HTTPConnection | None = None

    def handle_one_request(self) -> None:
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(65537)
        if self.raw_requestline and self.parse_request():
            self._serve()

    def finish(self) -> None:
        if self.upstream:
            self.upstream.close()
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the judge's report says what happened."""

    # -- one exchange

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _serve(self) -> None:
        body = self._body()
        on, path = self.server.on, self.path
        for one in self.server.state.rules:
            if on == "http":
                one.arm(path, body)
        active = [
            one
            for one in self.server.state.rules
            if one.wants(on, self.command, path, body.decode("latin-1") if one.rule.request else "")
        ]
        if not active:
            response = self._response(path, body)
            if isinstance(response, http.client.HTTPResponse) and _is_stream(response):
                self._pass_on(response)
                return
            status, headers, answer = _whole(response)
            self._answer(status, headers, answer)
            return
        self._changed(active, path, body)

    def _changed(self, active: list[Active], path: str, body: bytes) -> None:
        """An exchange that at least one rule is about."""
        with ExitStack() as here:
            crowds = {one: here.enter_context(one.present()) for one in active}
            for one in active:
                one.hold()
            self._exchange([one for one in active if crowds[one]], path, body)

    def _exchange(self, active: list[Active], path: str, body: bytes) -> None:
        """With the rules that hold now."""
        asked, sent, dropped = path, body, set[str]()
        for one in active:
            rule = one.rule
            if rule.route:
                asked = re.sub(rule.route[0], rule.route[1], asked)
            for pattern, replacement in rule.forward:
                sent = re.sub(pattern.encode(), replacement.encode(), sent)
            if rule.ask:
                sent = _ask_json(one, sent)
            if asked != path or sent != body or any(name in self.headers for name in rule.without):
                one.did(True)
            dropped.update(rule.without)
        if any(one.rule.respond for one in active):
            status, headers, answer = 200, [("Content-Type", "application/json")], b""
            for one in active:
                one.did(one.rule.respond)
        else:
            with ExitStack() as turns:
                for one in active:
                    if one.rule.serial:
                        turns.enter_context(one.turn)
                        one.did(True)
                status, headers, answer = self._cached(active, asked, sent, dropped)
        cut, shut, delay = 0, False, 0.0
        for one in active:
            rule = one.rule
            text = answer.decode("latin-1") if rule.answer else ""
            if not one.takes(status, text):
                continue
            for _ in range(rule.repeat):
                self._ask(asked, sent, dropped)
                one.did(True)
            try:
                status, headers, answer, changed = self._apply(one, status, headers, answer, body)
                one.did(changed)
            except Exception as error:  # a rule that cannot be applied is told, not hidden
                one.did(False, f"{type(error).__name__}: {error} on {self.command} {path}")
            if rule.leak:
                one.kept.append(b"x" * (rule.leak << 20))
                one.did(True)
            cut, shut, delay = cut or rule.cut, shut or rule.close, max(delay, rule.delay)
            if rule.cut or rule.close or rule.delay:
                one.did(True)
        if delay:
            time.sleep(delay)
        if shut:
            self._hang_up()
            return
        self._answer(status, headers, answer, cut)

    def _cached(
        self, active: list[Active], path: str, body: bytes, dropped: set[str]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """The server's answer, or what a rule kept of the same request."""
        caching = [one for one in active if one.rule.caches]
        for one in caching:
            if (known := one.kept_for((path, body))) is not None:
                one.did(True)
                found: tuple[int, list[tuple[str, str]], bytes] = known
                return found
        asked = self._ask(path, body, dropped)
        for one in caching:
            one.remember((path, body), asked)
        return asked

    def _apply(
        self, one: Active, status: int, headers: list[tuple[str, str]], answer: bytes, body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes, bool]:
        rule, before = one.rule, (status, headers, answer)
        if rule.stale or rule.cached:
            status, headers, answer = one.remember(self.path, (status, headers, answer))
            if rule.cached:
                headers, answer = _with_id_of(headers, answer, body)
        if rule.previous:
            status, headers, answer = one.exchange(self.path, (status, headers, answer))
        if rule.swap:
            status, headers, answer = _swapped(one, status, headers, answer, body)
        if rule.status != "":
            status = int(rule.status)
        lowered = {name.lower(): value for name, value in headers}
        kept = dict(lowered)
        lowered.update({name.lower(): value for name, value in rule.header.items()})
        if rule.raw is not None:
            answer = bytes.fromhex(rule.raw)
        elif rule.body is not None:
            answer = rule.body.encode()
        answer, _ = change_body(one, answer, lowered, self.path)
        if lowered != kept:
            headers = [(name, value) for name, value in lowered.items() if value != ""]
        return status, headers, answer, (status, headers, answer) != before

    def _ask(self, path: str, body: bytes, dropped: Collection[str]) -> Whole:
        """What the server answers to a request without some of its headers."""
        return _whole(self._response(path, body, dropped))

    def _response(
        self, path: str, body: bytes, dropped: Collection[str] = ()
    ) -> http.client.HTTPResponse | Whole:
        """The server's answer, whose body is still to be read; or what to say in its place."""
        dropped = {*_OWN, *dropped}
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in dropped
        }
        for attempt in (1, 2):
            if self.upstream is None:
                self.upstream = http.client.HTTPConnection(
                    self.server.host, self.server.port, timeout=TIMEOUT
                )
                self.upstream.connect()
                self.upstream.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self.upstream.request(self.command, path, body=body or None, headers=headers)
                response = self.upstream.getresponse()
                if not _is_stream(response):
                    return response.status, response.getheaders(), response.read()
                return response
            except (OSError, http.client.HTTPException) as error:
                self.upstream.close()
                self.upstream = None
                if attempt == 2:
                    return 502, [("Content-Type", "text/plain")], f"proxy: {error}".encode()
        raise AssertionError("unreachable")

    def _pass_on(self, response: http.client.HTTPResponse) -> None:
        """A stream of events, each as it comes; a judge that hangs up ends it on both sides."""
        assert self.upstream is not None
        lines = [f"HTTP/1.1 {response.status} {response.reason}"]
        lines += [f"{name}: {value}" for name, value in response.getheaders()
                  if name.lower() not in _OWN]  # fmt: skip
        lines += ["Transfer-Encoding: chunked", "", ""]
        try:
            self.wfile.write("\r\n".join(lines).encode("latin-1"))
            while part := response.read1(1 << 16):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        except (OSError, http.client.HTTPException):
            self.upstream.close()
            self.upstream = None
            self._hang_up()

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, cut: int = 0
    ) -> None:
        reason = http.client.responses.get(status, "Unknown")
        lines = [f"HTTP/1.1 {status} {reason}"]
        lines += [f"{name}: {value}" for name, value in headers if name.lower() not in _OWN]
        lines += [f"Content-Length: {len(body)}", "", ""]
        sent = body[: len(body) - cut] if cut else body
        if self.command == "HEAD":
            sent = b""
        self.wfile.write("\r\n".join(lines).encode("latin-1") + sent)
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _is_stream(response: http.client.HTTPResponse) -> bool:
    return str(response.getheader("content-type")).startswith("text/event-stream")


def _whole(response: http.client.HTTPResponse | Whole) -> Whole:
    if isinstance(response, http.client.HTTPResponse):
        return response.status, response.getheaders(), response.read()
    return response


def _ask_json(one: Active, body: bytes) -> bytes:
    """The request with other values in its JSON."""
    try:
        document = json.loads(body)
    except ValueError:
        one.did(False, "the request's body is no JSON")
        return body
    for path, value in one.rule.ask.items():
        paths.put(document, path, value)
    return json.dumps(document).encode()


def _swapped(
    one: Active, status: int, headers: list[tuple[str, str]], answer: bytes, body: bytes
) -> Whole:
    """The answer with what the rule swaps from another's; as it is when nobody else came."""
    traded = one.trade((status, headers, answer, body))
    if traded is None:
        return status, headers, answer
    theirs: Whole = traded[:3]
    if one.rule.swap == "id":
        return status, *_with_id_of(headers, answer, traded[3])
    if one.rule.swap == "values":
        return theirs[0], *_with_id_of(theirs[1], theirs[2], body)
    return theirs


def _with_id_of(
    headers: list[tuple[str, str]], answer: bytes, request: bytes
) -> tuple[list[tuple[str, str]], bytes]:
    """An old answer under the id of a new request."""
    wanted = re.search(rb'"id"\s*:\s*("[^"]*")', request)
    if not wanted:
        return headers, answer
    made = re.sub(rb'"id"\s*:\s*"[^"]*"', b'"id":' + wanted[1], answer, count=1)
    grown = len(made) - len(answer)
    return [
        (
            name,
            str(int(value) + grown) if name.lower() == "inference-header-content-length" else value,
        )
        for name, value in headers
    ], made
