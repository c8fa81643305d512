"""System shared memory of this machine that a server may register."""

from __future__ import annotations

import os
import secrets
from mmap import mmap
from types import TracebackType


class SharedRegion:
    """A new region of /dev/shm, zeroed; gone with the block. Raises OSError.

    ``key`` is what a server opens ("/pytest_triton_…"), ``name`` what it may be registered
    under, ``size`` in bytes, ``view`` its memory.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.name = f"pytest_triton_{os.getpid()}_{secrets.token_hex(4)}"
        self.key = f"/{self.name}"
        self._path = f"/dev/shm{self.key}"

    def __enter__(self) -> SharedRegion:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if os.environ.get("PYTEST_TRITON_SANDBOX"):  # the server there is another user
                os.fchmod(descriptor, 0o666)
            os.ftruncate(descriptor, self.size)
            self.view = mmap(descriptor, self.size)
        except BaseException:
            os.unlink(self._path)
            raise
        finally:
            os.close(descriptor)
        return self

    def write(self, data: bytes, offset: int = 0) -> None:
        """Put bytes at an offset."""
        self.view[offset : offset + len(data)] = data

    def read(self, length: int, offset: int = 0) -> bytes:
        """Bytes at an offset."""
        return self.view[offset : offset + length]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.unlink(self._path)
        self.view.close()
