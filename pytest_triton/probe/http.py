"""The HTTP protocol (KServe v2 with Triton's extensions), one method per call."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import quote

from pytest_triton.probe.connection import MAX_BYTES, Exchange, Transport
from pytest_triton.probe.message import decode_infer, encode_infer
from pytest_triton.probe.types import (
    LOAD_TIMEOUT,
    ConnectionFailed,
    HttpAnswer,
    InferResult,
    Inputs,
    MalformedAnswer,
    RequestFailed,
    parse_json,
)


def model_path(model: str, version: str = "") -> str:
    """``/v2/models/M`` or ``/v2/models/M/versions/V``, quoted."""
    path = f"/v2/models/{quote(model, safe='')}"
    return f"{path}/versions/{quote(str(version), safe='')}" if version else path


class HttpProbe:
    """Calls over HTTP. Thread-safe; usable as a context manager.

    ``timeout`` (seconds) covers one whole call. ``pace`` is entered around every call (a
    :class:`~pytest_triton.probe.pace.Pace`). Raises RequestFailed for an error answer,
    ConnectionFailed when no whole answer arrived, MalformedAnswer when it is not what the
    protocol says.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        timeout: float = 10.0,
        ssl_context: Any = None,
        limit: int = MAX_BYTES,
        pace: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._pace = pace or nullcontext()
        self._headers = dict(headers)
        self._transport = Transport(
            url, ssl_context=ssl_context, limit=limit, private=self._headers
        )
        self._timeout = timeout

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return self._transport.url

    def __enter__(self) -> HttpProbe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close idle connections."""
        self._transport.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> HttpAnswer:
        """Any request; never raises on a status. The body comes as it was on the wire."""
        with self._pace:
            return self._transport.request(
                method,
                path,
                body=body,
                headers={**self._headers, **(headers or {})},
                timeout=self._timeout if timeout is None else timeout,
            )

    def _ok(
        self, method: str, path: str, body: bytes | None = None, timeout: float | None = None
    ) -> HttpAnswer:
        headers = {"Content-Type": "application/json"} if body is not None else None
        answer = self.request(method, path, body=body, headers=headers, timeout=timeout)
        _raise_for_status(answer)
        return answer

    def _json(self, method: str, path: str, document: Any = None) -> Any:
        body = None if document is None else json.dumps(document).encode("utf-8")
        return self._ok(method, path, body).json()

    # -- health and metadata

    def live(self) -> bool:
        """GET /v2/health/live is 200."""
        return self.request("GET", "/v2/health/live").status == 200

    def ready(self) -> bool:
        """GET /v2/health/ready is 200. Says nothing about models that were unloaded."""
        return self.request("GET", "/v2/health/ready").status == 200

    def model_ready(self, model: str, version: str = "") -> bool:
        """GET …/ready of one model is 200."""
        return self.request("GET", f"{model_path(model, version)}/ready").status == 200

    def server_metadata(self) -> dict[str, Any]:
        """name, version, extensions."""
        return _object(self._json("GET", "/v2"))

    def model_metadata(self, model: str, version: str = "") -> dict[str, Any]:
        """name, versions, platform, inputs and outputs."""
        return _object(self._json("GET", model_path(model, version)))

    def model_config(self, model: str, version: str = "") -> dict[str, Any]:
        """The configuration as served, defaults filled in."""
        return _object(self._json("GET", f"{model_path(model, version)}/config"))

    def statistics(self, model: str = "", version: str = "") -> dict[str, Any]:
        """``{"model_stats": [...]}``; of every model when none is named."""
        path = model_path(model, version) if model else "/v2/models"
        return _object(self._json("GET", f"{path}/stats"))

    # -- repository control

    def index(self, ready: bool | None = None) -> list[dict[str, Any]]:
        """The repository index; only what is ready when ``ready`` is true."""
        document = self._json(
            "POST", "/v2/repository/index", {} if ready is None else {"ready": ready}
        )
        if not isinstance(document, list):
            raise MalformedAnswer(f"the index is {document!r:.80}, not an array")
        return document

    def load(
        self,
        model: str,
        *,
        config: str | Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
        timeout: float = LOAD_TIMEOUT,
    ) -> None:
        """Load or reload. ``config`` overrides; ``files`` maps "1/model.pt" to contents."""
        parameters: dict[str, Any] = {}
        if config is not None:
            parameters["config"] = config if isinstance(config, str) else json.dumps(dict(config))
        for path, content in (files or {}).items():
            parameters[f"file:{path}"] = base64.b64encode(content).decode("ascii")
        self._control(model, "load", parameters, timeout)

    def unload(self, model: str, *, dependents: bool = False, timeout: float | None = None) -> None:
        """Ask for an unload; Triton answers before it is done."""
        self._control(model, "unload", {"unload_dependents": True} if dependents else {}, timeout)

    def _control(
        self, model: str, verb: str, parameters: dict[str, Any], timeout: float | None
    ) -> None:
        document = {"parameters": parameters} if parameters else {}
        path = f"/v2/repository/models/{quote(model, safe='')}/{verb}"
        self._ok("POST", path, json.dumps(document).encode("utf-8"), timeout)

    # -- inference

    def infer(
        self,
        model: str,
        inputs: Inputs,
        *,
        version: str = "",
        outputs: Iterable[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        binary: bool = True,
        request_id: str = "",
        classification: int = 0,
        timeout: float | None = None,
    ) -> InferResult:
        """One inference. All outputs when ``outputs`` is None."""
        headers, body = encode_infer(
            inputs,
            outputs=outputs,
            parameters=parameters,
            binary=binary,
            request_id=request_id,
            classification=classification,
        )
        answer = self.request(
            "POST",
            f"{model_path(model, version)}/infer",
            body=body,
            headers=headers,
            timeout=timeout,
        )
        _raise_for_status(answer)
        return decode_infer(answer)

    def generate(
        self,
        model: str,
        payload: Mapping[str, Any],
        *,
        version: str = "",
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """The generate extension. An ``error`` under status 200 is RequestFailed too."""
        body = json.dumps(dict(payload)).encode("utf-8")
        answer = self._ok("POST", f"{model_path(model, version)}/generate", body, timeout)
        return _no_error(_object(answer.json()), answer.status)

    def generate_stream(
        self,
        model: str,
        payload: Mapping[str, Any],
        *,
        version: str = "",
        timeout: float | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Server-sent events as they come, each parsed; the timeout covers the whole stream."""
        body = json.dumps(dict(payload)).encode("utf-8")
        with (
            self._pace,
            self._transport.open(
                "POST",
                f"{model_path(model, version)}/generate_stream",
                body=body,
                headers={**self._headers, "Content-Type": "application/json"},
                timeout=self._timeout if timeout is None else timeout,
            ) as exchange,
        ):
            if exchange.status != 200:
                # errors come as an event too, or as plain JSON
                body = b"".join(exchange.chunks()).removeprefix(b"data: ")
                _raise_for_status(HttpAnswer(exchange.status, exchange.headers, body, 0.0))
            for data in _events(exchange):
                yield _no_error(_object(parse_json(data)), exchange.status)


def _raise_for_status(answer: HttpAnswer) -> None:
    if answer.status != 200:
        raise answer.failure


def _object(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise MalformedAnswer(f"expected a JSON object, got {document!r:.80}")
    return document


def _no_error(document: dict[str, Any], status: int) -> dict[str, Any]:
    if isinstance(document.get("error"), str):
        raise RequestFailed("http", status, document["error"])
    return document


def _events(exchange: Exchange) -> Iterator[bytes]:
    """The data of each server-sent event. What is no event raises MalformedAnswer."""
    buffer = b""
    for chunk in exchange.chunks():
        buffer += chunk
        *events, buffer = buffer.split(b"\n\n")
        for event in events:
            yield _event(event)
    if buffer.strip():
        raise MalformedAnswer(f"the stream ends inside an event: {buffer[:80]!r}")


def _event(event: bytes) -> bytes:
    if not event.startswith(b"data: "):
        raise MalformedAnswer(f"not a server-sent event: {event[:80]!r}")
    return event[len(b"data: ") :]


def wait_until(check: Any, *, timeout: float, interval: float = 0.02) -> bool:
    """Ask ``check()`` until it is true or ``timeout`` seconds have passed.

    A connection that fails counts as "not yet"; the last verdict is returned.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            if check():
                return True
        except ConnectionFailed:
            pass
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval)
