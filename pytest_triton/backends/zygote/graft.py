"""Calls the stub's own `main` in a process that already runs Python. See elf.py for the idea.

Lies beside the stub and runs in the edited copy of it ("interpreter"), in a forked child of the
zygote. `main` believes that it starts Python: it asks `Py_IsInitialized`, calls the function that
starts Python, and calls `Py_Finalize` when it is done. The three calls go through slots (the
global offset table); only these slots are changed, only in this process.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

_AT_PHDR = 3
_PROT_READ, _PROT_WRITE = 1, 2


class Mismatch(Exception):
    """This process is not the executable that the manifest describes."""


class Stub:
    """The stub inside this process."""

    def __init__(self, manifest: str) -> None:
        """manifest: path of graft.json. Raises Mismatch, OSError, ValueError."""
        with open(manifest, encoding="utf-8") as file:
            plan = json.load(file)
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.getauxval.restype = ctypes.c_ulong
        self.libc.getauxval.argtypes = [ctypes.c_ulong]
        self.base = self.libc.getauxval(_AT_PHDR) - plan["phdr"]
        self.kind = plan["kind"]
        self.slots = {
            name: self.base + plan[name] for name in ("initializer", "is_initialized", "finalize")
        }
        self.main = self.base + plan["main"]
        head = bytes.fromhex(plan["main_head"])
        if _mapped(self.main) != os.path.realpath("/proc/self/exe"):
            raise Mismatch("main is not where the manifest says")
        if ctypes.string_at(self.main, len(head)) != head:
            raise Mismatch("main does not begin as the manifest says")
        expected = {"initializer": "Py_BytesMain", "is_initialized": "Py_IsInitialized",
                    "finalize": "Py_Finalize"}  # fmt: skip
        for name, function in expected.items():
            if self._read(name) != _address(getattr(ctypes.pythonapi, function)):
                raise Mismatch(f"the slot of {function} does not hold it")
        self._kept: list[object] = []  # callbacks must outlive their use by native code

    def _read(self, name: str) -> int:
        return ctypes.c_void_p.from_address(self.slots[name]).value or 0

    def _write(self, name: str, value: int) -> None:
        """Slots are read-only once the linker is done: open the page, write, close it."""
        size = os.sysconf("SC_PAGE_SIZE")
        page = ctypes.c_void_p(self.slots[name] // size * size)
        if self.libc.mprotect(page, ctypes.c_size_t(size), _PROT_READ | _PROT_WRITE):
            raise OSError(ctypes.get_errno(), "mprotect")
        ctypes.c_void_p.from_address(self.slots[name]).value = value
        self.libc.mprotect(page, ctypes.c_size_t(size), _PROT_READ)

    def _point(self, name: str, callback: object) -> None:
        self._kept.append(callback)
        self._write(name, _address(callback))

    def arm(self, finish: Callable[[], NoReturn]) -> None:
        """Prepare the three calls. finish: ends the process in the place of Py_Finalize."""
        truth = self._read("is_initialized")

        def not_yet() -> int:
            self._write("is_initialized", truth)  # later questions get the true answer
            return 0

        self._point("is_initialized", ctypes.CFUNCTYPE(ctypes.c_int)(not_yet))
        if self.kind == "Py_InitializeEx":
            nothing = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda _: None)
            self._point("initializer", nothing)
        else:  # PyStatus f(const PyConfig *): PyStatus_Ok returns the same through the same pointer
            self._point("initializer", ctypes.pythonapi.PyStatus_Ok)
        self._point("finalize", ctypes.CFUNCTYPE(None)(finish))

    def run(self, arguments: Sequence[str]) -> int:
        """Call main, as the kernel and libc would; the GIL is held, as after starting Python."""
        array = (ctypes.c_char_p * (len(arguments) + 1))(*map(os.fsencode, arguments), None)
        self._kept.append(array)
        main = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)(self.main)
        return int(main(len(arguments), ctypes.addressof(array)))


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]


def _mapped(address: int) -> str:
    """The file that is mapped at an address, or nothing."""
    with open("/proc/self/maps", encoding="utf-8") as file:
        for line in file:
            low, _, high = line.split()[0].partition("-")
            if int(low, 16) <= address < int(high, 16):
                return line.split(maxsplit=5)[5].strip() if line.count("/") else ""
    return ""


if __name__ == "__main__":  # run by hand or by a test: does the copy fit its manifest?
    Stub(sys.argv[1])
    print("ok")
