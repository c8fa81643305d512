"""Messages between the oracle and its owner: JSON and tensors over a pipe, without pickle.

A frame is two little-endian lengths (4 and 8 bytes), a JSON header and the tensors' bytes.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterator, Mapping
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # a process without this package loads this file too
    from pytest_triton.repository.sidecar import Tensors

#: Header bytes, payload bytes.
PREFIX = struct.Struct("<IQ")
#: No message of ours comes near; a larger one is noise on the pipe.
MAX_HEADER, MAX_PAYLOAD = 1 << 20, 1 << 31
#: What a tensor that nobody vouches for may hold: numbers, and dimensions that numpy can hold.
_KIND, _MAX_DIMS = re.compile(r"\|b1|[<|]i[1248]|[<|]u[1248]|<f[248]"), 32


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


def incoming(source: IO[bytes]) -> Iterator[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """The frames of a pipe, decoded, until it ends. Raises ValueError when one is none."""
    while len(prefix := source.read(PREFIX.size)) == PREFIX.size:
        size, payload = sizes(prefix)
        yield decode(source.read(size), source.read(payload))


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


def decode_strictly(text: bytes, payload: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """As :func:`decode`, of a frame that nobody vouches for: numbers only, every size checked.

    Raises ValueError and nothing else, and makes no array that is larger than the payload.
    """
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the header is no JSON: {error}") from None
    if not isinstance(header, dict) or not isinstance(entries := header.pop("tensors", None), list):
        raise ValueError("the header tells no tensors")
    tensors: dict[str, np.ndarray] = {}
    at = 0
    for entry in entries:
        name, kind, shape = _described(entry)
        count = math.prod(shape)
        size = count * kind.itemsize
        if name in tensors or at + size > len(payload):
            raise ValueError(f"tensor {name!r:.80} comes twice, or is larger than the frame")
        tensors[name] = np.frombuffer(payload, kind, count, at).reshape(shape).copy()
        at += size
    if at != len(payload):
        raise ValueError(f"the tensors take {at} of {len(payload)} bytes")
    return header, tensors


def _described(entry: Any) -> tuple[str, np.dtype[Any], tuple[int, ...]]:
    if not isinstance(entry, dict):
        raise ValueError(f"a tensor is described by {entry!r:.80}")
    name, kind, shape = entry.get("name"), entry.get("kind"), entry.get("shape")
    if not isinstance(name, str) or not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise ValueError(f"a tensor is called {name!r:.80} and holds {kind!r:.80}")
    if not isinstance(shape, list) or len(shape) > _MAX_DIMS:
        raise ValueError(f"tensor {name!r:.80} has the shape {shape!r:.80}")
    for size in shape:
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_PAYLOAD:
            raise ValueError(f"tensor {name!r:.80} has the dimension {size!r:.80}")
    return name, np.dtype(kind), tuple(shape)


def _strings(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found
