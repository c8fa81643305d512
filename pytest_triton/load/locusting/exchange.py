"""One HTTP connection that asks prebuilt bytes and reads every answer strictly."""

from __future__ import annotations

import re
import socket

from pytest_triton.load.answer import error_text, length_fault

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_JSON = re.compile(rb"\r\ninference-header-content-length: *(\d+)\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)
#: Bytes of the largest head and body.
MOST_HEAD, MOST_BODY = 64 << 10, 256 << 20


class Failed(Exception):
    """A request without a good answer; the text says why."""


class Exchange:
    """A connection to one server; it is opened when it is needed, and again after a failure."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._address = (host, port)
        self._timeout = timeout_s
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Length of the JSON part (-1: all of it is JSON) and the body. Raises Failed."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._address, self._timeout)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(request)
            return self._answer(self._socket)
        except OSError as error:
            self.close()
            told = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            raise Failed(told or type(error).__name__) from None
        except Failed:
            self.close()
            raise

    def _answer(self, peer: socket.socket) -> tuple[int, bytes]:
        data = bytearray()
        while (end := data.find(b"\r\n\r\n")) < 0:
            if len(data) > MOST_HEAD:
                raise Failed("a head without end")
            data += self._some(peer)
        head, body = bytes(data[: end + 2]), data[end + 4 :]
        status, length = _STATUS.match(head), _LENGTH.search(head)
        if status is None or length is None:
            raise Failed("an answer without status or Content-Length")
        size = int(length[1])
        if size > MOST_BODY:
            raise Failed(f"a body of {size} bytes")
        while len(body) < size:
            body += self._some(peer)
        if len(body) > size:
            raise Failed(f"{len(body) - size} bytes after the body")
        if _CLOSE.search(head):
            self.close()
        answer = bytes(body)
        if status[1] != b"200":
            raise Failed(f"{status[1].decode()} {error_text(answer)}")
        told = _JSON.search(head)
        json_length = int(told[1]) if told else -1
        if fault := length_fault(answer, json_length):
            raise Failed(fault)
        return json_length, answer

    @staticmethod
    def _some(peer: socket.socket) -> bytes:
        data = peer.recv(1 << 16)
        if not data:
            raise Failed("the connection was closed")
        return data

    def close(self) -> None:
        """Give the connection back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
