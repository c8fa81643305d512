"""Messages between the oracle and its owner: JSON and tensors over a pipe, without pickle.

A frame is two little-endian lengths (4 and 8 bytes), a JSON header and the tensors' bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from pytest_triton.repository.sidecar import Tensors

#: Header bytes, payload bytes.
PREFIX = struct.Struct("<IQ")
#: No message of ours comes near; a larger one is noise on the pipe.
MAX_HEADER, MAX_PAYLOAD = 1 << 20, 1 << 31


def encode(header: Mapping[str, Any], tensors: Tensors) -> bytes:
    """One frame. Strings travel as Triton's BYTES do: each with its length before it."""
    entries, parts = [], []
    for name, value in tensors.items():
        if value.dtype.kind in "SUO":
            items = [i.encode() if isinstance(i, str) else bytes(i) for i in value.flat]
            data = b"".join(struct.pack("<I", len(item)) + item for item in items)
            kind = "bytes"
        else:
            data, kind = np.ascontiguousarray(value).tobytes(), value.dtype.str
        entries.append({"name": name, "kind": kind, "shape": value.shape, "size": len(data)})
        parts.append(data)
    text = json.dumps({**header, "tensors": entries}).encode()
    return b"".join([PREFIX.pack(len(text), sum(map(len, parts))), text, *parts])


def sizes(prefix: bytes) -> tuple[int, int]:
    """Header and payload sizes in bytes. Raises ValueError when this is no frame."""
    header, payload = PREFIX.unpack(prefix)
    if header > MAX_HEADER or payload > MAX_PAYLOAD:
        raise ValueError(f"not a frame: {prefix!r}")
    return header, payload


def decode(text: bytes, payload: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and tensors of a frame. Raises ValueError or KeyError when it is none."""
    header = json.loads(text)
    tensors, at = {}, 0
    for entry in header.pop("tensors"):
        data = payload[at : at + entry["size"]]
        at += entry["size"]
        if entry["kind"] == "bytes":
            array = np.empty(len(items := _strings(data)), np.object_)
            array[:] = items
        else:
            array = np.frombuffer(data, np.dtype(entry["kind"])).copy()
        tensors[entry["name"]] = array.reshape(entry["shape"])
    return header, tensors


def _strings(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found
