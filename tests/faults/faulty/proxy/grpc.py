"""The gRPC side: every method passed on as bytes; decoded only where a rule is about it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import json_format
from tritonclient.grpc import service_pb2

from . import paths, tensors
from .rules import Active

if TYPE_CHECKING:
    from .state import State

#: Requests at once.
WORKERS = 64
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.so_reuseport", 0),
]
Metadata = tuple[tuple[str, str], ...]


class Passer(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Hands every call on to the server."""

    def __init__(self, upstream: str, state: State) -> None:
        self._channel = grpc.insecure_channel(upstream, options=_OPTIONS)
        self._state = state

    def service(self, details: Any) -> Any:
        path: str = details.method
        # Unary calls look the same on the wire, so one kind of handler serves all of them.
        return grpc.stream_stream_rpc_method_handler(
            lambda requests, context: self._pass(path, requests, context)
        )

    def _pass(self, path: str, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        name = path.rpartition("/")[2]
        mine = [one for one in self._state.rules if one.rule.on == "grpc"]
        mine = [one for one in mine if one.wants("grpc", "", name, "") or one.rule.request]
        metadata = tuple(
            (key, value)
            for key, value in context.invocation_metadata()
            if not key.startswith(("grpc-", "user-agent", ":"))
        )
        if not mine:
            yield from self._forward(path, requests, context, metadata)
            return
        yield from self._changed(path, name, mine, requests, context, metadata)

    def _call(self, path: str, requests: Iterator[bytes], context: Any, metadata: Metadata) -> Any:
        left = context.time_remaining()
        limit = left if left is not None and left < 1e6 else None
        call = self._channel.stream_stream(path)(requests, timeout=limit, metadata=metadata)
        context.add_callback(call.cancel)
        return call

    def _forward(
        self, path: str, requests: Iterator[bytes], context: Any, metadata: Metadata
    ) -> Iterator[bytes]:
        call = self._call(path, requests, context, metadata)
        try:
            yield from call
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())

    def _changed(
        self,
        path: str,
        name: str,
        mine: list[Active],
        requests: Iterator[bytes],
        context: Any,
        metadata: Metadata,
    ) -> Iterator[bytes]:
        first = next(requests, b"")
        shown = _text(_decode(name, "Request", first)) if any(r.rule.request for r in mine) else ""
        active = [one for one in mine if one.wants("grpc", "", name, shown)]
        for one in active:
            kept = tuple(entry for entry in metadata if entry[0] not in one.rule.without)
            one.did(kept != metadata)
            metadata = kept

        def all_requests() -> Iterator[bytes]:
            yield _asked(name, first, active)
            for request in requests:
                yield _asked(name, request, active)

        for one in active:
            for _ in range(one.rule.repeat):
                list(self._call(path, iter([first]), context, metadata))
                one.did(True)
        code, details = "OK", ""
        answers: Iterator[bytes] = iter(())
        if any(one.rule.respond for one in active):
            answers = iter([b""])
        else:
            answers = self._call(path, all_requests(), context, metadata)
        try:
            for answer in answers:
                yield from self._answer(name, active, answer, context)
        except grpc.RpcError as error:
            code, details = error.code().name, error.details() or ""
        if code != "OK":
            yield from self._error(name, active, code, details, context)

    def _answer(
        self, name: str, active: list[Active], answer: bytes, context: Any
    ) -> Iterator[bytes]:
        copies = 1
        for one in active:
            rule = one.rule
            message = _decode(name, "Response", answer)
            if not one.takes("OK", _text(message) if rule.answer else ""):
                continue
            if rule.delay:
                time.sleep(rule.delay)
                one.did(True)
            if rule.close:
                one.did(True)
                context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            if rule.status not in ("", "OK"):
                one.did(True)
                context.abort(grpc.StatusCode[str(rule.status)], rule.body or "refused")
            if rule.header.get("x-drop"):
                one.did(True)
                return
            if rule.header.get("x-double"):
                one.did(True)
                copies = 2
            before = answer
            try:
                answer = _edited(name, one, message, answer)
            except Exception as error:  # a rule that cannot be applied is told, not hidden
                one.did(False, f"{type(error).__name__}: {error} on {name}")
            one.did(answer != before)
        for _ in range(copies):
            yield answer

    def _error(
        self, name: str, active: list[Active], code: str, details: str, context: Any
    ) -> Iterator[bytes]:
        for one in active:
            rule = one.rule
            if not one.takes(code, details):
                continue
            before = (code, details)
            if rule.status == "OK":  # an error turned into an answer
                message = _decode(name, "Response", b"")
                for path, value in rule.set.items():
                    _put(message, path, value)
                one.did(True)
                yield message.SerializeToString()
                return
            code = str(rule.status) or code
            details = rule.body if rule.body is not None else details
            for pattern, replacement in rule.replace:
                details = re.sub(pattern, replacement, details)
            one.did((code, details) != before)
        context.abort(grpc.StatusCode[code], details)


def _decode(name: str, kind: str, data: bytes) -> Any:
    """The message of a method; None when the method is not of the inference service."""
    full = f"{name}{kind}"
    if name == "ModelStreamInfer":
        full = "ModelStreamInferResponse" if kind == "Response" else "ModelInferRequest"
    found = getattr(service_pb2, full, None)
    return found.FromString(data) if found is not None else None


def _text(message: Any) -> str:
    if message is None:
        return ""
    return str(json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None))


def _edited(name: str, one: Active, message: Any, answer: bytes) -> bytes:
    rule = one.rule
    if rule.raw is not None:
        return bytes.fromhex(rule.raw)
    if rule.stale:
        return bytes(one.remember(name, answer))
    if rule.tensors:
        tensors.change_grpc(
            message.infer_response if name == "ModelStreamInfer" else message, rule.tensors
        )
    if rule.edits:
        document = json_format.MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        one.edit(document, name)
        message = json_format.ParseDict(document, type(message)())
    return message.SerializeToString() if rule.tensors or rule.edits else answer


def _put(message: Any, path: str, value: Any) -> None:
    document = json_format.MessageToDict(message, preserving_proto_field_name=True)
    paths.put(document, path, value)
    message.CopyFrom(json_format.ParseDict(document, type(message)()))


def _asked(name: str, request: bytes, active: list[Active]) -> bytes:
    for one in active:
        if one.rule.ask:
            message = _decode(name, "Request", request)
            before = request
            for path, value in one.rule.ask.items():
                _put(message, path, value)
            request = message.SerializeToString()
            one.did(request != before)
    return request


def serve(upstream: str, state: State, port: int = 0, tls: Sequence[Path] = ()) -> tuple[Any, int]:
    """Start passing calls on; the server and its port.

    ``tls``: certificate, key and the CA whose clients are served; the upstream has none.
    """
    server = grpc.server(ThreadPoolExecutor(WORKERS), options=_OPTIONS)
    server.add_generic_rpc_handlers((Passer(upstream, state),))
    address = f"127.0.0.1:{port}"
    if tls:
        certificate, key, authority = (path.read_bytes() for path in tls)
        credentials = grpc.ssl_server_credentials(
            [(key, certificate)], authority, require_client_auth=True
        )
        bound = server.add_secure_port(address, credentials)
    else:
        bound = server.add_insecure_port(address)
    server.start()
    return server, bound
