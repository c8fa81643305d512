"""A TCP server that answers every request with the bytes, or the misbehaviour, of a test."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

Answer = Callable[[socket.socket, bytes, threading.Event], None]


def http(body: bytes, status: int = 200, *, length: int | None = None, headers: str = "") -> bytes:
    """An answer; ``length`` lies about the body's length."""
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status} X\r\nContent-Length: {size}\r\n{headers}\r\n".encode() + body


def inference(values: list[float], name: str = "OUT") -> bytes:
    """A right answer with one FP32 output in binary."""
    raw = struct.pack(f"<{len(values)}f", *values)
    output = {
        "name": name,
        "datatype": "FP32",
        "shape": [1, len(values)],
        "parameters": {"binary_data_size": len(raw)},
    }
    head = json.dumps({"model_name": "m", "model_version": "1", "outputs": [output]}).encode()
    return http(head + raw, headers=f"Inference-Header-Content-Length: {len(head)}\r\n")


def says(*answers: bytes, then_close: bool = False) -> Answer:
    """Answer with these bytes, the last one for ever."""
    left = list(answers)

    def answer(connection: socket.socket, _: bytes, __: threading.Event) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])
        if then_close:
            connection.shutdown(socket.SHUT_RDWR)

    return answer


def stalls(first: bytes = b"", *, trickle: bytes = b"") -> Answer:
    """Send ``first`` and then nothing, or ``trickle`` over and over, until the test ends."""

    def answer(connection: socket.socket, _: bytes, over: threading.Event) -> None:
        connection.sendall(first)
        while not over.wait(0.01):
            if trickle:
                connection.sendall(trickle)

    return answer


def floods(first: bytes) -> Answer:
    """Send ``first`` and then megabytes without end."""

    def answer(connection: socket.socket, _: bytes, over: threading.Event) -> None:
        connection.sendall(first)
        while not over.is_set():
            connection.sendall(b"x" * (1 << 20))

    return answer


def hangs_up(connection: socket.socket, _: bytes, __: threading.Event) -> None:
    """Close without a word."""
    connection.shutdown(socket.SHUT_RDWR)


@dataclass
class Stub:
    """Where it listens, and what it was asked."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def stub_server(answer: Answer):
    """Serve until the end of the block, every connection in a thread of its own."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    stub = Stub(listener.getsockname()[1])
    open_ones: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            while head := _head(lines):
                size = next(
                    (
                        int(line.partition(b":")[2])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length:")
                    ),
                    0,
                )
                request = head + lines.read(size)
                stub.requests.append(request)
                answer(connection, request, over)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                stub.connections += 1
                open_ones.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield stub
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)  # close alone leaves accept() listening
        listener.close()
        for connection in open_ones:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _head(lines) -> bytes:
    head = b""
    while line := lines.readline():
        head += line
        if line == b"\r\n":
            return head
    return b""
