"""Clients of a model that streams tokens: concurrent, each token stamped when it arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_triton.load.stream_links import Link, Place, Refused
from pytest_triton.load.stream_requests import TokenOutput, stream_body
from pytest_triton.load.tokens import StreamProtocol, TimedStream
from pytest_triton.probe.types import TensorInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def take(link: Link, body: bytes, stream: TimedStream, timeout: float) -> None:
    """Ask, and stamp every token until the stream's end; what goes wrong is in ``error``.

    The stream starts when the request goes out, connected. ``timeout`` is for all of it, in s.
    """

    async def taken() -> None:
        async with aclosing(link.ask(body, sent)) as responses:
            async for tokens in responses:
                now = time.monotonic()
                stream.stamps += [now] * len(tokens)
                stream.tokens += tokens

    def sent() -> None:
        stream.started = time.monotonic()

    try:
        await asyncio.wait_for(taken(), timeout)
    except asyncio.TimeoutError:
        stream.error = too_late(stream, timeout)
    except Exception as error:
        stream.error, stream.refused = told(error), isinstance(error, Refused)


def too_late(stream: TimedStream, timeout: float) -> str:
    """Of a stream that took too long."""
    came = f"{len(stream.tokens)} tokens came" if stream.tokens else "no token came"
    return f"not at its end within {timeout:g} s, {came}"


def told(error: Exception) -> str:
    """What went wrong with a stream, on one line."""
    if isinstance(error, EOFError):
        return "the connection was closed before the stream's end"
    text = " ".join(str(error).split())
    named = type(error).__module__.startswith("pytest_triton")
    return (text if named and text else f"{type(error).__name__}: {text}")[:300]


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
            async with self._linked(protocol) as link:
                asked = link.ask(self._body(protocol, prompt, count), lambda: None)
                async with aclosing(asked) as responses:
                    async for tokens in responses:
                        came += len(tokens)
                        if came >= after:
                            break
            return came

        return asyncio.run(asyncio.wait_for(left(), timeout))

    async def _drive(
        self, protocol: StreamProtocol, prompts: Sequence[Sequence[int]],
        counts: Sequence[int], concurrency: int, requests: range, timeout: float,
    ) -> list[TimedStream]:  # fmt: skip
        made: list[TimedStream] = []
        numbers = iter(requests)

        async def one(stream: TimedStream) -> None:
            # Clients of their own connections, as users are.
            async with self._linked(protocol) as link:
                body = self._body(protocol, prompts[stream.prompt], stream.asked)
                await take(link, body, stream, timeout)

        async def client() -> None:
            for number in numbers:
                at, count = number % len(prompts), counts[number % len(counts)]
                stream = TimedStream(at, time.monotonic(), count)
                made.append(stream)
                try:
                    await asyncio.wait_for(one(stream), timeout)
                except asyncio.TimeoutError:
                    stream.error = too_late(stream, timeout)
                except Exception as error:
                    stream.error = told(error)

        await asyncio.gather(*(client() for _ in range(concurrency)))
        return made

    @asynccontextmanager
    async def _linked(self, protocol: StreamProtocol) -> AsyncIterator[Link]:
        output = TokenOutput("token_ids", "INT64")
        link = Place(self.http_url, self.grpc_url, self.name, output).link(protocol)
        try:
            await link.connect()
            yield link
        finally:
            await link.close()

    def _body(self, protocol: StreamProtocol, prompt: Sequence[int], count: int) -> bytes:
        inputs: dict[str, TensorInput] = {
            "input_ids": np.array(prompt, np.int64), "max_tokens": np.array([count], np.int32),
            "ignore_eos": np.array([True]),
        }  # fmt: skip
        return stream_body(protocol, self.name, inputs)
