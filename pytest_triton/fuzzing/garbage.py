"""What is no request at all: garbage on a connection, headers without end, bodies cut off."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

from pytest_triton.probe.http import model_path
from pytest_triton.probe_set import ADDSUB

#: Seconds that a server gets to say something to garbage; silence is right, too.
_PATIENCE = 0.25
#: Connections that are left open in the middle of a request while others are served.
HANGING = 20


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes for one connection. ``rude``: it ends with a reset, not with a farewell."""

    name: str
    data: bytes
    rude: bool = False


def for_http(seed: int) -> list[Garbage]:
    """For the HTTP port."""
    draw = random.Random(f"{seed} garbage")
    path = f"{model_path(ADDSUB)}/infer"
    post = f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode()
    return [
        Garbage("random bytes", draw.randbytes(2000)),
        Garbage("a garbage request line", b"NONSENSE\r\n\r\n"),
        Garbage("a request line without an end", b"GET /" + b"a" * 200_000),
        Garbage("an unknown protocol", b"GET /v2 HTTP/9.9\r\nHost: x\r\n\r\n"),
        Garbage("a header of 200 KB", post + b"X: " + b"a" * 200_000 + b"\r\n\r\n"),
        Garbage("2000 headers", post + b"X: y\r\n" * 2000 + b"\r\n"),
        Garbage("a negative length", post + b"Content-Length: -1\r\n\r\n"),
        Garbage("a length that is no number", post + b"Content-Length: x\r\n\r\nx"),
        Garbage("two lengths", post + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}"),
        Garbage("a body cut off", post + b'Content-Length: 500\r\n\r\n{"inputs": ['),
        Garbage("a body cut off rudely", post + b'Content-Length: 500\r\n\r\n{"inp', rude=True),
        Garbage("a broken chunk", post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"),
        Garbage("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + draw.randbytes(500)),
    ]


def for_grpc(seed: int) -> list[Garbage]:
    """For the gRPC port."""
    draw = random.Random(f"{seed} garbage for gRPC")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    settings = struct.pack(">I", 0)[1:] + b"\x04\x00" + struct.pack(">I", 0)
    return [
        Garbage("random bytes", draw.randbytes(2000)),
        Garbage("HTTP/1.1", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        Garbage("a preface and garbage", preface + draw.randbytes(2000)),
        Garbage("a frame cut off", preface + settings + b"\x00\xff\xff\x01\x04", rude=True),
    ]


def throw(url: str, garbage: Sequence[Garbage]) -> None:
    """Each on a connection of its own; what comes back does not matter, nor that it is refused."""
    for item in garbage:
        with contextlib.suppress(OSError), _connection(url) as connection:
            connection.settimeout(_PATIENCE)
            connection.sendall(item.data)
            if item.rude:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            else:
                connection.recv(65536)


@contextlib.contextmanager
def hanging(url: str) -> Iterator[None]:
    """Clients in the middle of a request, for the length of the block."""
    head = (
        f"POST {model_path(ADDSUB)}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n".encode()
    )
    with ExitStack() as stack:
        for number in range(HANGING):
            with contextlib.suppress(OSError):
                connection = stack.enter_context(_connection(url))
                connection.sendall(head if number % 2 else head + b'\r\n{"inputs": [')
        yield


def _connection(url: str) -> socket.socket:
    parts = urlsplit(url if "//" in url else f"//{url}")
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=2.0)
