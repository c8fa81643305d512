"""Clients of a model that streams tokens: concurrent, each token stamped when it arrives.

Over gRPC a stream for each client, over HTTP ``generate_stream``, read as server-sent events.
The end of a gRPC stream is ``triton_final_response``; an empty final response is no token.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pytest_triton.load.tokens import StreamProtocol, TimedStream

#: Bytes of one event and of a head, at most.
_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class TokenModel:
    """Where a model is reached that takes ``input_ids`` and sends one of ``token_ids`` each."""

    http_url: str
    grpc_url: str
    name: str

    def drive(
        self, protocol: StreamProtocol, prompts: Sequence[Sequence[int]],
        counts: Sequence[int], *, concurrency: int, requests: int, timeout: float, first: int = 0,
    ) -> list[TimedStream]:  # fmt: skip
        """Ask ``requests`` times, so many at once in a closed loop.

        Request i takes the prompt, and the number of tokens, at ``first`` + i modulo their
        number. One that fails has its reason in ``error``; ``timeout`` is for each, in s.
        """
        return asyncio.run(
            self._drive(
                protocol, prompts, counts, concurrency, range(first, first + requests), timeout
            )
        )

    def leave(
        self, protocol: StreamProtocol, prompt: Sequence[int], count: int, *, after: int,
        timeout: float,
    ) -> int:  # fmt: skip
        """Ask for ``count`` tokens and go away after some; how many have come by then."""

        async def left() -> int:
            came = 0
            responses = self._open(protocol, prompt, count, lambda: None)
            try:
                async for _ in responses:
                    came += 1
                    if came >= after:
                        break
            finally:
                await responses.aclose()  # type: ignore[attr-defined]
            return came

        return asyncio.run(asyncio.wait_for(left(), timeout))

    def _open(
        self, protocol: StreamProtocol, prompt: Sequence[int], count: int,
        sent: Callable[[], None],
    ) -> AsyncIterator[int]:  # fmt: skip
        """The tokens as they come; ``sent`` is called when the request goes out, connected."""
        ask: Callable[..., AsyncIterator[int]] = _grpc if protocol == "grpc" else _events
        return ask(self, prompt, count, sent)

    async def _drive(
        self, protocol: StreamProtocol, prompts: Sequence[Sequence[int]],
        counts: Sequence[int], concurrency: int, requests: range, timeout: float,
    ) -> list[TimedStream]:  # fmt: skip
        made: list[TimedStream] = []
        numbers = iter(requests)

        async def client() -> None:
            for number in numbers:
                at, count = number % len(prompts), counts[number % len(counts)]
                stream = TimedStream(at, time.monotonic(), count)
                made.append(stream)
                try:
                    await asyncio.wait_for(
                        self._take(stream, protocol, prompts[at], count), timeout
                    )
                except asyncio.TimeoutError:
                    stream.error = f"not at its end within {timeout:g} s"
                except Exception as error:
                    stream.error = f"{type(error).__name__}: {error}"[:300]

        await asyncio.gather(*(client() for _ in range(concurrency)))
        return made

    async def _take(
        self, stream: TimedStream, protocol: StreamProtocol, prompt: Sequence[int], count: int
    ) -> None:
        def sent() -> None:
            stream.started = time.monotonic()

        async for token in self._open(protocol, prompt, count, sent):
            stream.stamps.append(time.monotonic())
            stream.tokens.append(token)


async def _grpc(
    model: TokenModel, prompt: Sequence[int], count: int, sent: Callable[[], None]
) -> AsyncIterator[int]:
    import grpc
    import numpy as np
    from tritonclient.grpc import service_pb2 as pb
    from tritonclient.grpc import service_pb2_grpc

    from pytest_triton.probe.protobuf import infer_request

    request = infer_request(
        model.name,
        {"input_ids": np.array(prompt, np.int64), "max_tokens": np.array([count], np.int32),
         "ignore_eos": np.array([True])},
        parameters={"triton_enable_empty_final_response": True},
    )  # fmt: skip
    # Clients of their own connections, as users are.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(model.grpc_url, options=options) as channel:
        await channel.channel_ready()
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        async def asked() -> AsyncIterator[pb.ModelInferRequest]:
            yield request

        final = False
        sent()
        call = stub.ModelStreamInfer(asked())
        try:
            async for response in call:
                if response.error_message:
                    raise RuntimeError(response.error_message)
                answer = response.infer_response
                for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
                    if output.name == "token_ids":
                        yield int.from_bytes(raw, "little", signed=True)
                final = answer.parameters["triton_final_response"].bool_param
            # To the server's end of the stream: one that is cancelled at its last response may
            # keep Triton from unloading the model.
            if not final:
                raise RuntimeError("the stream ended without a final response")
        finally:
            call.cancel()


async def _events(
    model: TokenModel, prompt: Sequence[int], count: int, sent: Callable[[], None]
) -> AsyncIterator[int]:
    parts = urlsplit(model.http_url)
    body = json.dumps({"input_ids": list(prompt), "max_tokens": count, "ignore_eos": True})
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=_LIMIT)
    try:
        sent()
        writer.write(
            f"POST /v2/models/{model.name}/generate_stream HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        chunked = b"transfer-encoding: chunked" in head
        if b" 200 " not in head.split(b"\r\n", 1)[0] or not chunked:
            more = b"" if b"content-length: 0" in head else await reader.read(2000)
            raise RuntimeError(f"answered {head.splitlines()[0].decode()!r} {more[:300]!r}")
        kept = b""
        async for piece in _chunks(reader):
            kept += piece
            *whole, kept = kept.split(b"\n\n")
            for event in whole:
                yield _token(event)
        if kept.strip():
            raise RuntimeError(f"the stream ended inside an event: {kept[:80]!r}")
    finally:
        writer.close()


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readline()).split(b";")[0], 16):
        yield (await reader.readexactly(size + 2))[:-2]


def _token(event: bytes) -> Any:
    if not event.startswith(b"data:"):
        raise RuntimeError(f"no event 'data: …': {event[:80]!r}")
    said = json.loads(event[5:])
    if "error" in said:
        raise RuntimeError(str(said["error"]))
    return int(said["token_ids"])
