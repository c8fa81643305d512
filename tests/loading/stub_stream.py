"""Servers of streams that misbehave: gRPC by itself, HTTP in front of a real server."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb

#: What the tests' model is called.
MODEL = "steady"


def response(
    token: int | None, final: bool | None = False, *, model: str = MODEL, datatype: str = "INT64"
) -> bytes:
    """One message of a ModelStreamInfer; ``final`` None: it does not say."""
    made = pb.ModelStreamInferResponse()
    answer = made.infer_response
    answer.model_name, answer.model_version = model, "1"
    if final is not None:
        answer.parameters["triton_final_response"].bool_param = final
    if token is not None:
        answer.outputs.add(name="token_ids", datatype=datatype, shape=[1])
        answer.raw_output_contents.append(
            np.array([token], np.int64 if datatype == "INT64" else np.int32).tobytes()
        )
    return bytes(made.SerializeToString())


@contextmanager
def grpc_stub(
    answers: Sequence[bytes], code: grpc.StatusCode | None = None,
    seen: list[dict[str, Any]] | None = None,
) -> Iterator[str]:  # fmt: skip
    """Answers every stream with these messages, then ends it: OK, or with a status.

    ``seen`` gets the metadata of each.
    """

    def stream(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        list(requests)
        if seen is not None:
            seen.append(dict(context.invocation_metadata()))
        yield from answers
        if code is not None:
            context.abort(code, "gone away")

    handler = grpc.stream_stream_rpc_method_handler(stream)
    service = grpc.method_handlers_generic_handler(
        "inference.GRPCInferenceService", {"ModelStreamInfer": handler}
    )
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def event(**outputs: Any) -> bytes:
    """A server-sent event of generate_stream."""
    return b"data: " + json.dumps({"model_name": MODEL, "model_version": "1", **outputs}).encode()


def chunk(data: bytes) -> bytes:
    """A chunk of an HTTP body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def instead_of_streams(url: str, answer: bytes) -> Callable[[Any, bytes, Any], None]:
    """For ``stub_server``: these bytes to every generate_stream, then the connection's end; what
    else is asked goes to the server at ``url``."""
    upstream = urlsplit(url)

    def answered(connection: socket.socket, request: bytes, _: Any) -> None:
        if b"/generate_stream " in request.split(b"\r\n")[0]:
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_RDWR)
            return
        with socket.create_connection((upstream.hostname, upstream.port or 80)) as real:
            real.settimeout(10)
            real.sendall(request)
            connection.sendall(_whole(real))

    return answered


def _whole(real: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += real.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = (line.lower() for line in head.split(b"\r\n"))
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
    while len(body) < length:
        body += real.recv(65536)
    return head + b"\r\n\r\n" + body
