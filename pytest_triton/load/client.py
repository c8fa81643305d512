"""The concurrent clients of the load worker. Standard library only: see worker.py."""

from __future__ import annotations

import asyncio
import random
import re
import ssl
import struct
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pytest_triton.load.answer import error_text, length_fault

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*(?=\r\n)", re.IGNORECASE)
_JSON_LENGTH = re.compile(
    rb"\r\ninference-header-content-length:[ \t]*(\d+)[ \t]*(?=\r\n)", re.IGNORECASE
)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*(?=\r\n)", re.IGNORECASE)
_MAX_HEAD = 65536
_MAX_TEXTS = 64


class Run:
    """One job: what is sent, and what has come of it so far."""

    def __init__(self, job: dict[str, Any], requests: list[bytes]) -> None:
        self.job = job
        self.requests = requests
        self.concurrency: int = job["concurrency"]
        self.timeout: float = job["timeout_s"]
        self.max_bytes: int = job["max_bytes"]
        self.check_every: int = job["check_every"]
        self.loop = asyncio.get_running_loop()
        self.measuring = False
        self.stopping = False
        self.opened = 0.0  # when the window opened, monotonic
        self.closed = 0.0
        self.ended: array[float] = array("d")  # seconds after the window opened
        self.latency: array[float] = array("d")  # microseconds
        self.in_window = 0
        self.errors: Counter[str] = Counter()
        self.answered = 0
        self.verified: set[tuple[int, int, int]] = set()
        self.samples: dict[tuple[int, bytes], int] = {}
        self.sample_room: int = job["sample_bytes"]
        self.unsampled = 0
        self.finished = asyncio.Event()
        self.connections: list[Connection] = []

    def record(self, index: int, began: float, now: float, body: bytes, head: int) -> None:
        """A good answer; ``head`` is the length of its JSON part.

        What is in flight when the window closes counts too, or a stall would go unseen;
        only throughput is of the window alone.
        """
        if not self.measuring and not self.stopping:
            return
        self.latency.append((now - began) * 1e6)
        self.ended.append(now - self.opened)
        if self.measuring:
            self.in_window += 1
        self.answered += 1
        if self.answered % self.check_every == 0:
            self._sample(index, body, head)
        count = self.job["count"]
        if self.measuring and count and self.in_window + self.errors.total() >= count:
            self.close_window(now)

    def _sample(self, index: int, body: bytes, head: int) -> None:
        key = (index, struct.pack("<I", head) + body)
        if key in self.samples:
            self.samples[key] += 1
        elif len(body) <= self.sample_room:
            self.sample_room -= len(body)
            self.samples[key] = 1
        else:
            self.unsampled += 1

    def fail(self, text: str) -> None:
        """A request that got no good answer."""
        if self.measuring or self.stopping:
            if text not in self.errors and len(self.errors) >= _MAX_TEXTS:
                text = "(further kinds of error)"
            self.errors[text] += 1
            count = self.job["count"]
            if self.measuring and count and self.in_window + self.errors.total() >= count:
                self.close_window(time.monotonic())

    def close_window(self, now: float) -> None:
        self.measuring = False
        self.stopping = True
        self.closed = now
        self.loop.call_soon(self._settle)

    def _settle(self) -> None:
        if all(not connection.busy for connection in self.connections):
            self.finished.set()

    def idle(self) -> None:
        """A connection has stopped; the last one ends the run."""
        if self.stopping:
            self._settle()

    def sweep(self) -> None:
        """Break off requests that are past their deadline."""
        now = time.monotonic()
        for connection in self.connections:
            if connection.busy and now - connection.began > self.timeout:
                connection.give_up(f"no whole answer within {self.timeout:g} s")
        if not self.finished.is_set():
            self.loop.call_later(min(0.1, self.timeout / 4), self.sweep)


class Connection(asyncio.Protocol):
    """One of the concurrent clients: sends, waits for the whole answer, sends again."""

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        # every client has an order of its own, and together they spread over the inputs
        self.sequence = self._order(random.Random(f"{run.job['seed']}/{number}"))
        self.transport: asyncio.Transport | None = None
        self.busy = False
        self.began = 0.0
        self.index = 0
        self.buffer = bytearray()
        self.need = -1  # bytes of head and body together, once the head is known
        self.head = 0
        self.status = 0
        self.json_length = -1
        self.closes = False
        self.retry = 0.0
        self.reconnecting: asyncio.Task[None] | None = None

    def _order(self, chance: random.Random) -> Iterator[int]:
        order = list(range(len(self.run.requests)))
        while True:
            chance.shuffle(order)
            yield from order

    async def connect(self) -> None:
        job = self.run.job
        context: ssl.SSLContext | None = None
        if job["tls"]:
            context = ssl.create_default_context(cafile=job["ca"])
            if job["cert"]:
                context.load_cert_chain(job["cert"], job["key"])
        await asyncio.wait_for(
            self.run.loop.create_connection(lambda: self, job["host"], job["port"], ssl=context),
            self.run.timeout,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=1 << 30)
        self.transport = transport

    def send(self) -> None:
        if self.run.stopping:
            self.busy = False
            self.run.idle()
            return
        if self.transport is None:
            self._reconnect()
            return
        self.index = next(self.sequence)
        self.busy = True
        self.need = -1
        self.began = time.monotonic()
        self.transport.write(self.run.requests[self.index])

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if not self.busy:
            self._drop(None, "bytes arrived that no request asked for")
            return
        buffer = self.buffer
        buffer += data
        if self.need < 0 and not self._head():
            return
        if len(buffer) < self.need:
            return
        if len(buffer) > self.need:
            extra = len(buffer) - self.need
            self._drop(None, f"the answer is {extra} bytes longer than its Content-Length")
            return
        body = bytes(memoryview(buffer)[self.head :])
        buffer.clear()
        self.retry = 0.0
        fault = self._fault(body)
        if fault is None:
            self.run.record(self.index, self.began, now, body, max(self.json_length, 0))
        else:
            self.run.fail(fault)
        if self.closes and self.transport is not None:
            transport, self.transport = self.transport, None
            transport.close()
        self.send()

    def _head(self) -> bool:
        """Read the head; False while it is not whole, or when it ended the connection."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buffer) > _MAX_HEAD:
                self._drop(None, "the answer has no end of its headers")
            return False
        head = bytes(memoryview(self.buffer)[: end + 2])
        status = _STATUS.match(head)
        lengths = _LENGTH.findall(head)
        if status is None:
            self._drop(None, f"no HTTP answer: {head[:40]!r}")
        elif _CHUNKED.search(head):
            self._drop(None, "the answer is chunked: its length cannot be checked")
        elif len(lengths) != 1:
            self._drop(None, f"the answer has {len(lengths)} Content-Length headers")
        elif len(lengths[0]) > 15 or int(lengths[0]) > self.run.max_bytes:
            self._drop(None, f"the answer announces more than {self.run.max_bytes} bytes")
        else:
            self.status = int(status[1])
            self.head = end + 4
            self.need = self.head + int(lengths[0])
            found = _JSON_LENGTH.findall(head)
            self.json_length = int(found[0]) if len(found) == 1 else (-1 if not found else -2)
            self.closes = _CLOSE.search(head) is not None
            return True
        return False

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
        self.need = -1
        if transport is not None:
            transport.abort()
        if self.busy:
            self.run.fail(f"{text}: {error}" if error else text)
        self._reconnect()

    def _reconnect(self) -> None:
        if self.run.stopping:
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
            if not self.run.stopping:
                await self.connect()
        except (OSError, asyncio.TimeoutError) as error:
            self.run.fail(f"cannot connect: {str(error) or 'timeout'}")
        self.reconnecting = None
        self.send()
