"""What a file is by its first bytes: people put many things where a TorchScript file belongs."""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal[
    "torchscript", "torch.save", "PT2", "legacy TorchScript", "torch.save of torch before 1.6",
    "pickle", "safetensors", "ONNX", "git-lfs pointer", "HTML page", "text", "empty", "zip",
    "gzip", "tar", "NumPy array", "HDF5", "shared library", "damaged", "unreadable", "unknown",
]  # fmt: skip

#: Bytes that are enough to tell.
HEAD = 4096
_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"PK\3\4", "zip"),
    (b"PK\5\6", "zip"),
    (b"version https://git-lfs.github.com/spec/", "git-lfs pointer"),
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "torch.save of torch before 1.6"),
    (b"\x1f\x8b", "gzip"),
    (b"\x93NUMPY", "NumPy array"),
    (b"\x89HDF\r\n", "HDF5"),
    (b"\x7fELF", "shared library"),
)
_HTML = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html|head)\b", re.IGNORECASE)
#: ir_version, then the producer's name, its version or the graph.
_ONNX = re.compile(rb"\x08[\x01-\x14][\x12\x1a\x22\x3a]")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")


def kind_of(head: bytes, size: int) -> Kind:
    """What a file with these first bytes is; "zip" is for a closer look."""
    if size == 0:
        return "empty"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if _HTML.match(head):
        return "HTML page"
    if head[257:262] == b"ustar":
        return "tar"
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and 2 <= length < size:
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return "pickle"
    if _ONNX.match(head):
        return "ONNX"
    if not _CONTROL.search(head):
        return "text"
    return "unknown"
