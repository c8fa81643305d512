"""Turn a private copy of Triton's Python stub into a Python interpreter that still holds the stub.

`triton_python_backend_stub` is an ordinary executable: the kernel starts it, libc calls its
`main`, and `main` starts an embedded Python. To share one `import torch` between many stubs we
need a process that is *this very executable* (its code refers to copies of libpython's objects
that the dynamic linker makes for the main program only, so it cannot be loaded as a library),
that has Python and torch running, and that has not entered `main` yet. Two edits of a copy give
exactly that:

1. the imported function that `main` calls to start Python is renamed, in the table of names, to
   `Py_BytesMain`: the linker then puts the address of `Py_BytesMain` into that function's slot;
2. `_start`, which passes the address of `main` to libc (`lea main, %rdi`), passes the content of
   that slot instead (`mov slot, %rdi`: same length, one byte of opcode and the displacement).

The copy, run with the arguments of `python3`, is now `python3`, with every constructor of the
stub run as usual. `graft.py` later puts the slots right in memory and calls the real `main`.

Nothing is guessed: whatever does not look exactly as expected raises `UnsupportedStub`, and the
ordinary stub is used.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_INTERPRETER = b"Py_BytesMain"
#: Functions that start the embedded Python: Python 3.11 and later, 3.10.
INITIALIZERS = ("Py_InitializeFromConfig", "Py_InitializeEx")
_PT_LOAD, _PT_DYNAMIC, _PT_PHDR = 1, 2, 6
_DT_NEEDED, _DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ = 1, 2, 5, 6, 10
_DT_SONAME, _DT_RPATH, _DT_JMPREL, _DT_RUNPATH, _DT_FLAGS = 14, 15, 23, 29, 30
_DT_FLAGS_1 = 0x6FFFFFFB
_DF_BIND_NOW, _DF_1_NOW = 0x8, 0x1
_R_JUMP_SLOT = 7
_CALLS = (b"\xff\x15", b"\x67\xe8")  # call *slot(%rip), call libc_start_main
_LEA_RDI, _MOV_RDI = b"\x48\x8d\x3d", b"\x48\x8b\x3d"


class UnsupportedStub(Exception):
    """The executable is not built the way this module knows; the text says what differs."""


@dataclass(frozen=True, slots=True)
class Graft:
    """What `graft.py` needs in order to call `main` in a running copy; virtual addresses.

    phdr: address of the program headers (the kernel tells a process where they are, which gives
    the load address). main, main_head: entry point and its first bytes. initializer,
    is_initialized, finalize: slots of the imported functions. kind: name of the initializer.
    """

    phdr: int
    main: int
    main_head: str
    initializer: int
    is_initialized: int
    finalize: int
    kind: str


class _Image:
    """Read access to an x86-64 ELF executable by virtual address."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        if data[:6] != b"\x7fELF\x02\x01" or len(data) < 64:
            raise UnsupportedStub("not a 64-bit little-endian ELF file")
        kind, machine, _, self.entry, phoff = struct.unpack_from("<HHIQQ", data, 16)
        if (kind, machine) != (3, 62):
            raise UnsupportedStub("not a position-independent x86-64 executable")
        size, count = struct.unpack_from("<HH", data, 54)
        if size != 56:
            raise UnsupportedStub("program headers of an unknown size")
        self.segments: list[tuple[int, ...]] = [
            struct.unpack_from("<IIQQQQQQ", data, phoff + i * 56) for i in range(count)
        ]
        self.dynamic = list(self._dynamic())
        self.tags = dict(self.dynamic)
        needed = {_DT_STRTAB, _DT_STRSZ, _DT_SYMTAB, _DT_JMPREL, _DT_PLTRELSZ}
        if not needed <= self.tags.keys():
            raise UnsupportedStub("the dynamic section lacks its tables")

    def segment(self, kind: int) -> tuple[int, ...]:
        for segment in self.segments:
            if segment[0] == kind:
                return segment
        raise UnsupportedStub(f"no program header of type {kind}")

    def offset(self, address: int) -> int:
        """Position in the file of a virtual address."""
        for kind, _, start, vaddr, _, filesz, _, _ in self.segments:
            if kind == _PT_LOAD and vaddr <= address < vaddr + filesz:
                return int(start + address - vaddr)
        raise UnsupportedStub(f"address {address:#x} is not in the file")

    def _dynamic(self) -> Iterator[tuple[int, int]]:
        _, _, start, _, _, size, _, _ = self.segment(_PT_DYNAMIC)
        for tag, value in struct.iter_unpack("<qQ", self.data[start : start + size]):
            if tag == 0:
                return
            yield tag, value

    def name(self, offset: int) -> bytes:
        start = self.offset(self.tags[_DT_STRTAB]) + offset
        return self.data[start : self.data.index(b"\0", start)]

    def imports(self) -> Iterator[tuple[bytes, int, int]]:
        """(name, offset of the name in the string table, address of the slot) per function."""
        table, symbols = self.offset(self.tags[_DT_JMPREL]), self.offset(self.tags[_DT_SYMTAB])
        entries = self.data[table : table + self.tags[_DT_PLTRELSZ]]
        for slot, info, _ in struct.iter_unpack("<QQq", entries):
            if info & 0xFFFFFFFF != _R_JUMP_SLOT:
                continue
            (name,) = struct.unpack_from("<I", self.data, symbols + (info >> 32) * 24)
            yield self.name(name), name, slot

    def string_offsets(self) -> Iterator[int]:
        """Every offset into the string table that the linker will read as a name."""
        # The symbol table has no length of its own; here, as linkers lay it out, it ends where
        # the next table begins. Reading too far would only make the check stricter.
        start = self.tags[_DT_SYMTAB]
        later = [v for t, v in self.dynamic if v > start and t in (_DT_STRTAB, *_TABLES)]
        end = min(later) if later else start
        first = self.offset(start)
        for (name,) in struct.iter_unpack(
            "<I20x", self.data[first : first + (end - start) // 24 * 24]
        ):
            yield name
        yield from (
            v for t, v in self.dynamic if t in (_DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH)
        )


#: Tags whose value is the address of a table: RELA, REL, HASH, JMPREL, GNU_HASH, VERSYM, VERNEED.
_TABLES = (7, 17, 4, 23, 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFFE)


def graft(data: bytes) -> tuple[bytes, Graft]:
    """The edited copy of a stub, and where its parts are.

    data: the stub as it came. Raises UnsupportedStub.
    """
    image = _Image(data)
    flags, flags_1 = image.tags.get(_DT_FLAGS, 0), image.tags.get(_DT_FLAGS_1, 0)
    if not (flags & _DF_BIND_NOW or flags_1 & _DF_1_NOW):
        raise UnsupportedStub("functions are bound lazily: their slots hold no addresses yet")
    imports = {name: (offset, slot) for name, offset, slot in image.imports()}
    kinds = [kind for kind in INITIALIZERS if kind.encode() in imports]
    if len(kinds) != 1 or b"Py_IsInitialized" not in imports or b"Py_Finalize" not in imports:
        raise UnsupportedStub("it does not start and end Python in the known way")
    name_offset, slot = imports[kinds[0].encode()]
    span = range(name_offset, name_offset + len(kinds[0]) + 1)
    if sum(offset in span for offset in image.string_offsets()) != 1:
        raise UnsupportedStub(f"the name {kinds[0]} is shared")

    start = image.offset(image.entry)
    head = data[start : start + 48]
    lea = head.find(_LEA_RDI)
    if lea < 0 or head[lea + 7 : lea + 9] not in _CALLS:
        raise UnsupportedStub("_start does not pass main to libc in the known way")
    (distance,) = struct.unpack_from("<i", head, lea + 3)
    after = image.entry + lea + 7
    main = after + distance

    out = bytearray(data)
    out[start + lea : start + lea + 7] = _MOV_RDI + struct.pack("<i", slot - after)
    name_at = image.offset(image.tags[_DT_STRTAB]) + name_offset
    out[name_at : name_at + len(kinds[0])] = _INTERPRETER.ljust(len(kinds[0]), b"\0")
    main_at = image.offset(main)
    return bytes(out), Graft(
        phdr=image.segment(_PT_PHDR)[3],
        main=main,
        main_head=data[main_at : main_at + 32].hex(),
        initializer=slot,
        is_initialized=imports[b"Py_IsInitialized"][1],
        finalize=imports[b"Py_Finalize"][1],
        kind=kinds[0],
    )
