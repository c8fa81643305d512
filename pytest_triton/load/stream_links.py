"""One connection that carries one stream at a time: gRPC, or server-sent events over HTTP.

Everything is read strictly. The end of a gRPC stream is ``triton_final_response``; that of an
HTTP stream the last chunk of its body, or its length where a gateway says it.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from pytest_triton.load.answer import error_text
from pytest_triton.load.stream_requests import TokenOutput
from pytest_triton.load.tokens import StreamProtocol, Token
from pytest_triton.probe.http import model_path
from pytest_triton.probe.types import MalformedAnswer

_METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")
#: Bytes of one event, of a head and of a message, at most.
_LIMIT = 16 << 20

#: Seconds for what comes behind a response that is wrong.
_END_S = 2.0

Sent = Callable[[], None]


class StreamFailed(RuntimeError):
    """A stream that is not whole, or none at all."""


class Refused(StreamFailed):
    """The server answered with an error: these are its words."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model streams, and which output is read. ``tls``: files of the authority,
    certificate and key; gRPC is encrypted where one of them is given."""

    http_url: str
    grpc_url: str
    model: str
    output: TokenOutput
    version: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    tls: tuple[str | None, str | None, str | None] = (None, None, None)

    @property
    def _files(self) -> tuple[Path | None, ...]:
        return tuple(Path(name) if name else None for name in self.tls)

    def secure_context(self) -> ssl.SSLContext | None:
        """Of HTTP; None where the URL is not https. Raises ToolError for unusable files."""
        from pytest_triton.probe.tls import ssl_context

        if urlsplit(self.http_url).scheme != "https":
            return None
        return ssl_context(*self._files) or ssl.create_default_context()

    def grpc_credentials(self) -> Any:
        """Of gRPC; None for plain text. Raises ToolError for unusable files."""
        from pytest_triton.probe.tls import grpc_credentials

        return grpc_credentials(*self._files)

    def link(self, protocol: StreamProtocol) -> Link:
        """A connection that is not there yet."""
        return GrpcLink(self) if protocol == "grpc" else HttpLink(self)


class Link(Protocol):
    """``ask`` yields the tokens of each response; ``sent`` is called when the request goes out.

    Raises StreamFailed, MalformedAnswer, OSError and EOFError. A link that raised, or whose
    stream was left, is not ``usable`` any more.
    """

    @property
    def usable(self) -> bool: ...
    async def connect(self) -> None: ...
    def ask(self, body: bytes, sent: Sent) -> AsyncGenerator[list[Token], None]: ...
    async def close(self) -> None: ...


class GrpcLink:
    """A channel of its own, as users have; each request is a ModelStreamInfer call."""

    def __init__(self, place: Place) -> None:
        self.usable = False
        self._place = place
        self._channel: Any = None
        self._metadata = tuple((name.lower(), value) for name, value in place.headers)

    async def connect(self) -> None:
        import grpc

        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", _LIMIT),
            ("grpc.max_send_message_length", -1),
        ]
        credentials = self._place.grpc_credentials()
        self._channel = (
            grpc.aio.insecure_channel(self._place.grpc_url, options)
            if credentials is None
            else grpc.aio.secure_channel(self._place.grpc_url, credentials, options)
        )
        await self._channel.channel_ready()
        self._stub = self._channel.stream_stream(_METHOD)
        self.usable = True

    async def ask(self, body: bytes, sent: Sent) -> AsyncGenerator[list[Token], None]:
        import grpc

        async def asked() -> AsyncIterator[bytes]:
            yield body

        self.usable = final = False
        sent()
        call = self._stub(asked(), metadata=self._metadata)
        try:
            try:
                async for raw in call:
                    if final:
                        raise StreamFailed("a response came behind the final one")
                    tokens, final = self._read(raw)
                    yield tokens
            except (StreamFailed, MalformedAnswer):
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(_to_the_end(call), _END_S)
                raise
            if not final:
                raise StreamFailed("the stream ended without a final response")
            self.usable = True
        except grpc.aio.AioRpcError as error:
            details = " ".join((error.details() or "").split())[:200]
            raise StreamFailed(f"{error.code().name} {details}") from None
        finally:
            call.cancel()

    def _read(self, raw: bytes) -> tuple[list[Token], bool]:
        from google.protobuf.message import DecodeError
        from tritonclient.grpc import service_pb2 as pb

        from pytest_triton.probe.protobuf import infer_result

        try:
            response = pb.ModelStreamInferResponse.FromString(raw)
        except DecodeError as error:
            raise MalformedAnswer(f"no ModelStreamInferResponse: {error}") from None
        if response.error_message:
            raise Refused(response.error_message)
        result = infer_result(response.infer_response)
        _named(result.model_name, self._place.model)
        final = result.parameters.get("triton_final_response")
        if not isinstance(final, bool):
            raise MalformedAnswer("a response has no parameter triton_final_response")
        return self._place.output.of_result(result), final

    async def close(self) -> None:
        self.usable = False
        if self._channel is not None:
            await self._channel.close()


class HttpLink:
    """A connection that is kept from request to request; each is a generate_stream."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._whole = False
        self._writer: asyncio.StreamWriter | None = None
        parts = urlsplit(place.http_url)
        path = parts.path.rstrip("/") + model_path(place.model, place.version)
        given = "".join(f"{name}: {value}\r\n" for name, value in place.headers)
        self._head = (
            f"POST {path}/generate_stream HTTP/1.1\r\nHost: {parts.netloc}\r\n{given}"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode("latin-1")

    @property
    def usable(self) -> bool:
        """Whether nothing of an answer is left in it, and the server did not close it."""
        return (
            self._whole and self._writer is not None
            and not self._writer.is_closing() and not self._reader.at_eof()
        )  # fmt: skip

    async def connect(self) -> None:
        parts, context = urlsplit(self._place.http_url), self._place.secure_context()
        self._reader, self._writer = await asyncio.open_connection(
            parts.hostname, parts.port or (443 if context else 80), ssl=context, limit=_LIMIT
        )
        self._whole = True

    async def ask(self, body: bytes, sent: Sent) -> AsyncGenerator[list[Token], None]:
        assert self._writer is not None
        self._whole = False
        sent()
        self._writer.write(self._head + b"%d\r\n\r\n" % len(body) + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = head.split(b" ", 2)[1].decode("latin-1")
        sized = _LENGTH.search(head) if b"\r\ncontent-type: text/event-stream" in head else None
        pieces = self._sized(int(sized[1])) if sized else self._chunks()
        if status != "200" or (not sized and b"transfer-encoding: chunked" not in head):
            empty = b"\r\ncontent-length: 0\r\n" in head
            more = b"" if empty else await self._reader.read(2000)
            if status != "200":
                raise Refused(f"{status} {error_text(more.removeprefix(b'data: '))}"[:300])
            if empty:
                return
            raise StreamFailed(f"the answer is no stream: {more[:80]!r}")
        kept = b""
        async for piece in pieces:
            kept += piece
            *whole, kept = kept.split(b"\n\n")
            for event in whole:
                yield self._read(event)
        if kept.strip():
            raise StreamFailed(f"the stream ended inside an event: {kept[:80]!r}")
        self._whole = b"\r\nconnection: close" not in head

    async def _sized(self, left: int) -> AsyncGenerator[bytes, None]:
        """The body that a gateway held back until it was whole: it knows how long it is."""
        while left:
            piece = await self._reader.read(min(left, _LIMIT))
            if not piece:
                raise StreamFailed("the connection was closed before the stream's end")
            left -= len(piece)
            yield piece

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        while True:
            line = await self._reader.readline()
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                text = "was closed" if not line else f"says {line[:40]!r} in place of a chunk"
                raise StreamFailed(f"the connection {text} before the stream's end") from None
            piece = await self._reader.readexactly(size + 2)
            if not size:
                return
            yield piece[:-2]

    def _read(self, event: bytes) -> list[Token]:
        if not event.startswith(b"data:"):
            raise StreamFailed(f"no event 'data: …': {event[:80]!r}")
        try:
            said = json.loads(event[5:])
        except (ValueError, RecursionError):
            raise StreamFailed(f"an event is no JSON: {event[:80]!r}") from None
        if not isinstance(said, dict):
            raise StreamFailed(f"an event is no object: {event[:80]!r}")
        if "error" in said and "model_name" not in said:
            raise Refused(str(said["error"]))
        _named(str(said.get("model_name", "")), self._place.model)
        return self._place.output.of_event(said)

    async def close(self) -> None:
        self._whole = False
        if self._writer is not None:
            self._writer.close()


async def _to_the_end(call: Any) -> None:
    # A stream that is cancelled at its last response may keep Triton from unloading the model,
    # and one that is cancelled at an error ended Triton 2.51 with a segmentation fault.
    import grpc

    with suppress(grpc.aio.AioRpcError):
        async for _ in call:
            pass


def _named(said: str, model: str) -> None:
    if said != model:
        raise MalformedAnswer(f"a response has the model_name {said!r}, expected {model!r}")
