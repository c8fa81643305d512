"""The clients of the load worker over gRPC: prebuilt messages on grpc.aio.

The calls that tritonclient.grpc.aio makes, without building a request each time; answers stay
bytes, so that every one can be read strictly.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from pytest_triton.load.running import Run

_METHOD = "/inference.GRPCInferenceService/ModelInfer"
#: Clients that share a connection, as tritonclient's C++ library has it.
_SHARED = 6


class Channels:
    """Connections that several clients share."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._channels: list[Any] = []

    def of(self, number: int) -> Any:
        """The channel of a client."""
        at = number // _SHARED
        while len(self._channels) <= at:
            self._channels.append(self._channel())
        return self._channels[at]

    def _channel(self) -> Any:
        import grpc

        job = self._job
        target = f"{job['host']}:{job['port']}" if ":" not in job["host"] else (
            f"[{job['host']}]:{job['port']}"
        )  # fmt: skip
        options = [
            ("grpc.max_receive_message_length", job["max_bytes"]),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if not job["tls"]:
            return grpc.aio.insecure_channel(target, options)
        ca, cert, key = (
            Path(job[name]).read_bytes() if job[name] else None for name in ("ca", "cert", "key")
        )
        return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(ca, key, cert), options)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


class GrpcClient:
    """One of the concurrent clients: one request at a time."""

    def __init__(self, run: Run, number: int, channels: Channels) -> None:
        self.run = run
        self.number = number
        self.busy = False
        self.sent = 0.0
        self._channel = channels.of(number)
        self._call: Any = self._channel.unary_unary(_METHOD)
        self._metadata = tuple((name.lower(), value) for name, value in run.job["headers"])
        self._task: asyncio.Task[None] | None = None

    def connected(self) -> bool:
        return True

    async def connect(self) -> None:
        try:
            await asyncio.wait_for(self._channel.channel_ready(), self.run.timeout)
        except asyncio.TimeoutError:
            raise OSError("no gRPC connection") from None

    def send(self) -> None:
        """Send what is next, if anything is."""
        turn = self.run.feed.next(self)
        if turn is None:
            self.busy = False
            self.run.idle()
            return
        self.go(*turn)

    def go(self, index: int, planned: float) -> None:
        """Send one request; ``planned`` 0: now."""
        self.busy = True
        self.sent = time.monotonic()
        self._task = self.run.loop.create_task(self._ask(index, planned or self.sent))

    async def _ask(self, index: int, planned: float) -> None:
        import grpc

        run = self.run
        try:
            body = await self._call(
                run.requests[index], timeout=run.timeout, metadata=self._metadata
            )
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            if code == "DEADLINE_EXCEEDED":
                text = f"no whole answer within {run.timeout:g} s"
            else:
                text = f"{code} {' '.join((error.details() or '').split())[:200]}"
            run.fail(text, planned)
            if code == "UNAVAILABLE":  # or a dead server would be a busy loop
                await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            return
        else:
            now = time.monotonic()
            fault = self._fault(index, body)
            if fault is None:
                run.record(index, planned, self.sent, now, body, 0)
            else:
                run.fail(fault, planned)
        self.send()

    def _fault(self, index: int, body: bytes) -> str | None:
        """What is wrong with the lengths; a layout that was right once is right again."""
        key = (index, 0, len(body))
        if key in self.run.verified:
            return None
        from pytest_triton.load.requests import read_grpc
        from pytest_triton.probe.types import MalformedAnswer

        try:
            read_grpc(body)
        except MalformedAnswer as error:
            return str(error)
        if len(self.run.verified) < 100_000:
            self.run.verified.add(key)
        return None

    def give_up(self, text: str) -> None:
        """The deadline is the call's own."""
