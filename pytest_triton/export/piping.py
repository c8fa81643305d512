"""One question and its answer over the pipes of another process, which may do as it likes."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable
from typing import IO

from pytest_triton.export import frames

_PIECE = 1 << 20
#: What is kept of the other side's standard error.
_NOISE = 4096
#: Seconds between two looks at a process that is watched.
_LOOK = 0.25


def exchange(
    process: subprocess.Popen[bytes],
    question: bytes,
    deadline: float,
    *,
    limit: int = frames.MAX_PAYLOAD,
    watch: Callable[[], None] | None = None,
    noise: bytearray | None = None,
) -> tuple[bytes, bytes]:
    """Write a frame and read one, both at once, so that neither side waits for a full pipe.

    ``deadline`` is a time of ``time.monotonic()``, ``limit`` the bytes that the answer's payload
    may have, ``watch`` is called now and then and may raise, ``noise`` takes the end of standard
    error where that is a pipe. Raises TimeoutError, EOFError when the other side has ended, and
    ValueError when what it writes is no frame.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    left, answer = memoryview(question), bytearray()
    pipes: list[IO[bytes]] = [process.stdin, process.stdout]
    if process.stderr is not None:
        pipes.append(process.stderr)
    for pipe in pipes:
        os.set_blocking(pipe.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdin, selectors.EVENT_WRITE)
        for pipe in pipes[1:]:
            selector.register(pipe, selectors.EVENT_READ)
        look = time.monotonic() + _LOOK
        while (wanted := _wanted(answer, limit)) > len(answer):
            now = time.monotonic()
            if now >= deadline:
                raise TimeoutError
            if watch is not None and now >= look:
                watch()
                look = now + _LOOK
            for key, _ in selector.select(min(deadline - now, _LOOK)):
                if key.fileobj is process.stdin:
                    left = left[_write(key.fd, left) :]
                    if not left:
                        selector.unregister(process.stdin)
                elif key.fileobj is process.stdout:
                    if not (piece := os.read(key.fd, min(_PIECE, wanted - len(answer)))):
                        raise EOFError
                    answer += piece
                elif piece := os.read(key.fd, _PIECE):
                    if noise is not None:
                        noise += piece
                        del noise[:-_NOISE]
                else:
                    selector.unregister(key.fileobj)
    head = frames.PREFIX.size
    size = frames.sizes(bytes(answer[:head]))[0]
    return bytes(answer[head : head + size]), bytes(answer[head + size :])


def _write(pipe: int, data: memoryview) -> int:
    try:
        return os.write(pipe, data[:_PIECE])
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(data)  # it may have said something before it went


def _wanted(answer: bytearray, limit: int) -> int:
    """How many bytes the frame has, as far as can be told from its beginning."""
    head = frames.PREFIX.size
    if len(answer) < head:
        return head
    header, payload = frames.sizes(bytes(answer[:head]))
    if payload > limit:
        raise ValueError(f"an answer of {payload} bytes")
    return head + header + payload


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that holds nothing which wants an orderly end, and close its pipes."""
    process.kill()
    process.wait(timeout=10)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def last_words(noise: IO[bytes] | None) -> str:
    """The last lines that a process wrote into the file of its standard error."""
    if noise is None:
        return ""
    noise.seek(0)
    return "\n".join(noise.read()[-_NOISE:].decode("utf-8", "replace").splitlines()[-8:])
