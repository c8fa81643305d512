"""A body in chunks (RFC 9112, 7.1), read strictly, as gateways send it. Standard library only."""

from __future__ import annotations

import re

_SIZE = re.compile(rb"([0-9a-fA-F]{1,12})[ \t]*(?:;[^\r\n]*)?\Z")
#: Bytes of a line that says how long a chunk is, and of trailers, at most.
_LINE, _TRAILERS = 256, 8192


class BadChunks(Exception):
    """What no client should accept; the text says what."""


class Chunks:
    """The chunks of one answer; ``at`` is the place in the buffer behind what was read."""

    def __init__(self, at: int, most: int) -> None:
        self.at, self.most = at, most
        self.body = bytearray()
        self._last = False

    def read(self, buffer: bytearray) -> bool:
        """Take what has come; True once the body is whole. Raises BadChunks."""
        while not self._last:
            end = buffer.find(b"\r\n", self.at, self.at + _LINE)
            if end < 0:
                if len(buffer) - self.at >= _LINE:
                    raise BadChunks("a chunk does not say how long it is")
                return False
            found = _SIZE.match(bytes(buffer[self.at : end]))
            if found is None:
                raise BadChunks(f"a chunk of {bytes(buffer[self.at : end])[:20]!r} bytes")
            size = int(found[1], 16)
            if len(self.body) + size > self.most:
                raise BadChunks(f"the answer holds more than {self.most} bytes")
            if not size:
                self._last, self.at = True, end  # the empty line may be the end of this one
                break
            if len(buffer) < end + 2 + size + 2:
                return False
            if buffer[end + 2 + size : end + 4 + size] != b"\r\n":
                raise BadChunks("a chunk is longer than it says")
            self.body += memoryview(buffer)[end + 2 : end + 2 + size]
            self.at = end + 4 + size
        end = buffer.find(b"\r\n\r\n", self.at, self.at + _TRAILERS)
        if end < 0:
            if len(buffer) - self.at >= _TRAILERS:
                raise BadChunks("the trailers have no end")
            return False
        self.at = end + 4
        return True
