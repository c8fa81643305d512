"""The clients of the load worker over HTTP. Standard library only: see worker.py."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from functools import lru_cache

from pytest_triton.load.answer import error_text, length_fault
from pytest_triton.load.chunked import BadChunks, Chunks
from pytest_triton.load.running import Run

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*(?=\r\n)", re.IGNORECASE)
_JSON_LENGTH = re.compile(
    rb"\r\ninference-header-content-length:[ \t]*(\d+)[ \t]*(?=\r\n)", re.IGNORECASE
)
_ENCODED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*(?=\r\n)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*(?=\r\n)", re.IGNORECASE)
_MAX_HEAD = 65536
#: Heads that are kept with what was read in them: a server says the same again and again.
_HEADS = 1000


@lru_cache(maxsize=1)
def tls_context(ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    """One for all connections: to make it takes some 20 ms, in which nothing is sent."""
    context = ssl.create_default_context(cafile=ca)
    if cert:
        context.load_cert_chain(cert, key)
    return context


class Connection(asyncio.Protocol):
    """One of the concurrent clients: sends, waits for the whole answer, sends again."""

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self.number = number
        self.transport: asyncio.Transport | None = None
        self.busy = False
        self.planned = 0.0
        self.sent = 0.0
        self.index = 0
        self.buffer = bytearray()
        self.need = -1  # bytes of head and body together, once the head is known
        self.head = 0
        self.chunks: Chunks | None = None
        self.status = 0
        self.json_length = -1
        self.closes = False
        self.retry = 0.0
        self.reconnecting: asyncio.Task[None] | None = None

    def connected(self) -> bool:
        return self.transport is not None

    async def connect(self) -> None:
        job = self.run.job
        context = tls_context(job["ca"], job["cert"], job["key"]) if job["tls"] else None
        await asyncio.wait_for(
            self.run.loop.create_connection(lambda: self, job["host"], job["port"], ssl=context),
            self.run.timeout,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=1 << 30)
        self.transport = transport

    def send(self) -> None:
        """Send what is next, if anything is."""
        if self.transport is None:
            self._reconnect()
            return
        turn = self.run.feed.next(self)
        if turn is None:
            self.busy = False
            self.run.idle()
            return
        self.go(*turn)

    def go(self, index: int, planned: float) -> None:
        """Send one request; ``planned`` 0: now."""
        assert self.transport is not None
        self.index = index
        self.busy = True
        self.need = -1
        self.chunks = None
        self.sent = time.monotonic()
        self.planned = planned or self.sent
        self.transport.write(self.run.requests[index])

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if not self.busy:
            if not self.run.open_loop:  # an idle one may be told that it was idle for too long
                self.run.fail("bytes arrived that no request asked for")
            self._drop(None, "")
            return
        buffer = self.buffer
        buffer += data
        if self.need < 0 and not self._head():
            return
        if self.chunks is not None and not self._whole(self.chunks):
            return
        if len(buffer) < self.need:
            return
        if len(buffer) > self.need:
            extra = len(buffer) - self.need
            told = "Content-Length" if self.chunks is None else "last chunk"
            self._drop(None, f"the answer is {extra} bytes longer than its {told}")
            return
        chunks, self.chunks = self.chunks, None
        body = bytes(memoryview(buffer)[self.head :] if chunks is None else chunks.body)
        buffer.clear()
        self.retry = 0.0
        fault = self._fault(body)
        if fault is None:
            json_length = max(self.json_length, 0)
            self.run.record(self.index, self.planned, self.sent, now, body, json_length)
        else:
            self.run.fail(fault, self.planned)
        if self.closes and self.transport is not None:
            transport, self.transport = self.transport, None
            transport.close()
        self.send()

    def _whole(self, chunks: Chunks) -> bool:
        """Whether all chunks have come; False, too, when they ended the connection."""
        try:
            whole = chunks.read(self.buffer)
        except BadChunks as error:
            self._drop(None, str(error))
            return False
        self.need = chunks.at
        return whole

    def _head(self) -> bool:
        """Read the head; False while it is not whole, or when it ended the connection."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buffer) > _MAX_HEAD:
                self._drop(None, "the answer has no end of its headers")
            return False
        head = bytes(memoryview(self.buffer)[: end + 2])
        if (known := self.run.heads.get(head)) is not None:
            self.status, self.head, self.need, self.json_length, self.closes = known
            return True
        status = _STATUS.match(head)
        lengths = _LENGTH.findall(head)
        if status is None:
            self._drop(None, f"no HTTP answer: {head[:40]!r}")
        elif _ENCODED.search(head):
            if lengths or len(_ENCODED.findall(head)) > 1 or not _CHUNKED.search(head):
                self._drop(None, "the answer has a Transfer-Encoding that is not chunked alone")
                return False
            self._known(status, head, end + 4)
            self.need = 0
            self.chunks = Chunks(end + 4, self.run.max_bytes)
            return True
        elif len(lengths) != 1:
            self._drop(None, f"the answer has {len(lengths)} Content-Length headers")
        elif len(lengths[0]) > 15 or int(lengths[0]) > self.run.max_bytes:
            self._drop(None, f"the answer announces more than {self.run.max_bytes} bytes")
        else:
            self._known(status, head, end + 4)
            self.need = self.head + int(lengths[0])
            if len(self.run.heads) < _HEADS:
                self.run.heads[head] = (
                    self.status, self.head, self.need, self.json_length, self.closes,
                )  # fmt: skip
            return True
        return False

    def _known(self, status: re.Match[bytes], head: bytes, end: int) -> None:
        """Take what a head says beside the length."""
        self.status, self.head = int(status[1]), end
        found = _JSON_LENGTH.findall(head)
        self.json_length = int(found[0]) if len(found) == 1 else (-1 if not found else -2)
        self.closes = _CLOSE.search(head) is not None

    def _fault(self, body: bytes) -> str | None:
        """What is wrong with a whole answer. Lengths are checked on every one."""
        if self.status != 200:
            return f"{self.status} {error_text(body)}"
        if self.json_length == -2 or self.json_length > len(body):
            return "Inference-Header-Content-Length disagrees with the body"
        key = (self.index, self.json_length, len(body))
        if key in self.run.verified:
            return None
        fault = length_fault(body, self.json_length)
        # an answer whose JSON part has another layout at the same length is left to the samples
        if fault is None and len(self.run.verified) < 100_000:
            self.run.verified.add(key)
        return fault

    def give_up(self, text: str) -> None:
        self._drop(None, text)

    def connection_lost(self, error: Exception | None) -> None:
        if self.transport is None:
            return
        if self.busy:
            told = f"{len(self.buffer)} bytes of it had come" if self.buffer else "none of it came"
            self._drop(error, f"the connection was closed before the whole answer ({told})")
        else:
            self.transport = None

    def _drop(self, error: Exception | None, text: str) -> None:
        """Count an error, leave the connection and go on with a new one."""
        transport, self.transport = self.transport, None
        self.buffer.clear()
        self.need, self.chunks = -1, None
        if transport is not None:
            transport.abort()
        if self.busy:
            self.run.fail(f"{text}: {error}" if error else text, self.planned)
        self._reconnect()

    def _reconnect(self) -> None:
        if self.run.stopping and not self.run.feed.left():
            self.busy = False
            self.run.idle()
        elif self.reconnecting is None:
            self.reconnecting = self.run.loop.create_task(self._connect_again())

    async def _connect_again(self) -> None:
        # the first time at once; then slower, or a dead server would be a busy loop
        self.busy = False
        await asyncio.sleep(self.retry)
        self.retry = min(0.5, max(0.01, self.retry * 2))
        try:
            if not self.run.stopping or self.run.feed.left():
                await self.connect()
        except (OSError, asyncio.TimeoutError) as error:
            self.run.feed.refused(f"cannot connect: {str(error) or 'timeout'}")
        self.reconnecting = None
        self.send()
