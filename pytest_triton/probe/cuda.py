"""CUDA memory of this machine that a server may open by its handle.

The driver's library (libcuda.so.1) is on every machine with a GPU; nothing else is needed.
"""

from __future__ import annotations

import ctypes
import os
import secrets
from collections.abc import Callable
from functools import cache
from types import TracebackType
from typing import Any

#: Bytes of a CUipcMemHandle, which is a cudaIpcMemHandle_t.
HANDLE_BYTES = 64
_LIBRARIES = ("libcuda.so.1", "libcuda.so")


class _Handle(ctypes.Structure):
    _fields_ = [("reserved", ctypes.c_char * HANDLE_BYTES)]


@cache
def _driver() -> ctypes.CDLL:
    """The driver, initialised. Raises OSError without one, or without a device."""
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        status = library.cuInit(0)
        if status:
            raise OSError(f"the CUDA driver cannot be used: cuInit says {status}")
        return library
    raise OSError("no CUDA driver (libcuda.so.1)")


def _call(name: str, *arguments: Any) -> None:
    status = getattr(_driver(), name)(*arguments)
    if status:
        text = ctypes.c_char_p()
        _driver().cuGetErrorName(status, ctypes.byref(text))
        told = (text.value or b"").decode() or str(status)
        raise OSError(f"{name}: {told}")


class CudaRegion:
    """New memory on device 0 with a handle for other processes; freed with the block.

    ``name`` is what it may be registered under, ``size`` in bytes, ``handle`` the 64 bytes of
    its IPC handle. Raises OSError where there is no GPU, no memory, or no IPC (MIG, WSL).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.name = f"pytest_triton_{os.getpid()}_{secrets.token_hex(4)}"
        self.handle = b""
        self._pointer = ctypes.c_uint64()
        self._leave: list[Callable[[], None]] = []

    def __enter__(self) -> CudaRegion:
        device, context = ctypes.c_int(), ctypes.c_void_p()
        _call("cuDeviceGet", ctypes.byref(device), 0)
        _call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._leave.append(lambda: _call("cuDevicePrimaryCtxRelease_v2", device))
        self._context = context
        try:
            self._enter_context()
            _call("cuMemAlloc_v2", ctypes.byref(self._pointer), ctypes.c_size_t(self.size))
            self._leave.append(lambda: _call("cuMemFree_v2", self._pointer))
            handle = _Handle()
            _call("cuIpcGetMemHandle", ctypes.byref(handle), self._pointer)
            self.handle = ctypes.string_at(ctypes.byref(handle), HANDLE_BYTES)
            self.write(bytes(self.size))
        except BaseException:
            self._free()
            raise
        return self

    def _enter_context(self) -> None:
        """A context is of one thread: each use comes from whichever thread it may."""
        _call("cuCtxSetCurrent", self._context)

    def _at(self, length: int, offset: int) -> ctypes.c_uint64:
        if not 0 <= offset <= offset + length <= self.size:
            raise ValueError(f"{length} bytes at {offset} do not lie in {self.size}")
        self._enter_context()
        return ctypes.c_uint64(self._pointer.value + offset)

    def write(self, data: bytes, offset: int = 0) -> None:
        """Put bytes at an offset."""
        where = self._at(len(data), offset)
        _call("cuMemcpyHtoD_v2", where, data, ctypes.c_size_t(len(data)))
        _call("cuCtxSynchronize")

    def read(self, length: int, offset: int = 0) -> bytes:
        """Bytes at an offset."""
        where = self._at(length, offset)
        buffer = ctypes.create_string_buffer(length)
        _call("cuMemcpyDtoH_v2", buffer, where, ctypes.c_size_t(length))
        return buffer.raw

    def _free(self) -> None:
        while self._leave:
            self._leave.pop()()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._enter_context()
        self._free()
