"""Requests over HTTP: right ones, broken in their JSON, their bytes or their headers."""

from __future__ import annotations

import copy
import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from pytest_triton.fuzzing.pools import (
    CLASSIFICATION,
    DATATYPES,
    DIMENSIONS,
    GOOD,
    MODELS,
    NAMES,
    ODD,
    PARAMETERS,
    VERSIONS,
    too_large,
)
from pytest_triton.probe.codec import as_tensor, encode_raw, to_json_data
from pytest_triton.probe.http import model_path
from pytest_triton.probe.message import LENGTH_HEADER
from pytest_triton.probe_set import ADDSUB

Draw = Callable[[Any], Any]


@dataclass(frozen=True)
class HttpAttempt:
    """One request; ``path`` is that of an inference."""

    model: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def told(self) -> dict[str, Any]:
        """For people: the body as text, and exactly in hexadecimal digits."""
        return {
            "request": f"POST {self.path}",
            "headers": dict(self.headers),
            "body": self.body.decode("utf-8", "backslashreplace"),
            "hex": self.body.hex(),
        }


def _right(model: str) -> dict[str, Any]:
    entries = []
    for name, array in GOOD[model][0].items():
        tensor = as_tensor(array)
        shape, data = list(array.shape), to_json_data(tensor)
        entries.append({"name": name, "shape": shape, "datatype": tensor.datatype, "data": data})
    return {"inputs": entries}


def _tensor(draw: Draw, document: dict[str, Any]) -> dict[str, Any]:
    """Some input, or an empty object that is none."""
    entries = document.get("inputs")
    if not isinstance(entries, list) or not entries:
        return {}
    entry = draw(st.sampled_from(entries))
    return entry if isinstance(entry, dict) else {}


def _replace(draw: Draw, document: dict[str, Any], model: str) -> None:
    keys = ("inputs", "outputs", "id", "parameters", "own")
    document[draw(st.sampled_from(keys))] = draw(st.sampled_from(ODD))


def _replace_in_tensor(draw: Draw, document: dict[str, Any], model: str) -> None:
    keys = ("name", "shape", "datatype", "data", "parameters", "own")
    _tensor(draw, document)[draw(st.sampled_from(keys))] = draw(st.sampled_from(ODD))


def _delete(draw: Draw, document: dict[str, Any], model: str) -> None:
    place = draw(st.sampled_from((document, _tensor(draw, document))))
    place.pop(draw(st.sampled_from(("inputs", "name", "shape", "datatype", "data"))), None)


def _rename(draw: Draw, document: dict[str, Any], model: str) -> None:
    _tensor(draw, document)["name"] = draw(st.sampled_from(NAMES))


def _retype(draw: Draw, document: dict[str, Any], model: str) -> None:
    _tensor(draw, document)["datatype"] = draw(st.sampled_from(DATATYPES))


def _reshape(draw: Draw, document: dict[str, Any], model: str) -> None:
    dimension = st.sampled_from((*DIMENSIONS, 1.5, "1", None, [1]))
    _tensor(draw, document)["shape"] = draw(st.lists(dimension, max_size=5))


def _spoil(draw: Draw, document: dict[str, Any], model: str) -> None:
    """Other data: more, fewer, or of other kinds."""
    entry = _tensor(draw, document)
    data = entry.get("data")
    if not isinstance(data, list) or not data or draw(st.booleans()):
        entry["data"] = draw(st.lists(st.sampled_from(ODD), max_size=20))
        return
    changed = list(data)
    changed[draw(st.integers(0, len(data) - 1))] = draw(st.sampled_from(ODD))
    entry["data"] = changed[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else changed


def _nest(draw: Draw, document: dict[str, Any], model: str) -> None:
    entry = _tensor(draw, document)
    for _ in range(draw(st.sampled_from((1, 2, 5, 50)))):
        entry["data"] = [entry.get("data")]


def _parametrise(draw: Draw, document: dict[str, Any], model: str) -> None:
    outputs = document.get("outputs")
    listed = outputs if isinstance(outputs, list) else []
    entries = [entry for entry in listed if isinstance(entry, dict)]
    place = draw(st.sampled_from((document, _tensor(draw, document), *entries)))
    names = (*PARAMETERS, CLASSIFICATION) if model == ADDSUB else PARAMETERS
    parameters = place.get("parameters")
    changed = dict(parameters) if isinstance(parameters, dict) else {}
    changed[draw(st.sampled_from(names))] = draw(st.sampled_from(ODD))
    place["parameters"] = changed


def _double(draw: Draw, document: dict[str, Any], model: str) -> None:
    entries = document.get("inputs")
    if isinstance(entries, list) and entries:
        entries.append(copy.deepcopy(draw(st.sampled_from(entries))))


def _ask(draw: Draw, document: dict[str, Any], model: str) -> None:
    names = st.sampled_from((*GOOD[model][1], *NAMES))
    document["outputs"] = [{"name": name} for name in draw(st.lists(names, max_size=4))]


_CHANGES: tuple[Callable[[Draw, dict[str, Any], str], None], ...] = (
    _replace, _replace_in_tensor, _delete, _rename, _retype, _reshape, _reshape, _spoil, _spoil,
    _nest, _parametrise, _parametrise, _double, _ask,
)  # fmt: skip


def _bounded(document: dict[str, Any]) -> dict[str, Any]:
    entries = document.get("inputs")
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and too_large(entry.get("shape")):
            entry["shape"] = [1]
    return document


def _binary(draw: Draw, document: dict[str, Any], model: str) -> tuple[bytes, dict[str, str]]:
    """The tensors behind the JSON, with sizes that may be wrong."""
    tail = b""
    entries = document.get("inputs")
    for entry in entries if isinstance(entries, list) else ():
        array = GOOD[model][0].get(str(entry.get("name"))) if isinstance(entry, dict) else None
        if array is None or draw(st.sampled_from((False, False, False, True))):
            continue
        blob = encode_raw(as_tensor(array))
        entry.pop("data", None)
        off = draw(st.sampled_from((0, 0, 0, 0, -1, 1, 4, -len(blob), -1000)))
        entry["parameters"] = {"binary_data_size": len(blob) + off}
        tail += blob
    if draw(st.booleans()):
        document.setdefault("parameters", {"binary_data_output": True})
    head = json.dumps(document).encode()
    right = str(len(head))
    told = (right, right, right, right, "0", "-1", "1", str(len(head) + len(tail) + 1), "x", "")
    length = draw(st.sampled_from(told))
    tail += draw(st.sampled_from((b"", b"", b"", b"\0", b"\xff" * 40)))
    return head + tail, {LENGTH_HEADER: length} if length else {}


#: No digits: two numbers that become one may make a shape that no machine can hold.
_BYTES = (b"", b'"', b"{", b"}", b"[", b"]", b",", b"\xff", b"\x00", b"\\u", b"null", b"e", b"-")


def _broken(draw: Draw, body: bytes) -> bytes:
    """Cut off, or with something inside that does not belong there."""
    at = draw(st.integers(0, len(body)))
    if draw(st.booleans()):
        return body[:at]
    inserted = b"".join(draw(st.lists(st.sampled_from(_BYTES), min_size=1, max_size=3)))
    return body[:at] + inserted + body[at:]


def _encoded(draw: Draw, body: bytes) -> tuple[bytes, dict[str, str]]:
    """Content-Encoding, and a body that has it or not."""
    name = draw(st.sampled_from(("gzip", "deflate", "br", "identity", "nonsense", "gzip, gzip")))
    if draw(st.booleans()):
        made = body
        if name in ("gzip", "deflate"):
            made = gzip.compress(body, mtime=0) if name == "gzip" else zlib.compress(body)
        body = made[: draw(st.integers(0, len(made)))] if draw(st.booleans()) else made
    return body, {"Content-Encoding": name}


@st.composite
def http_attempts(draw: Draw, spare: bool = False) -> HttpAttempt:
    """A request that is right, or broken in up to three places.

    ``spare``: no broken binary data where a model has inputs of BYTES (see NO_OVERRUNS).
    """
    model = draw(st.sampled_from(MODELS))
    document = _right(model)
    for _ in range(draw(st.integers(0, 3))):
        change: Callable[..., None] = draw(st.sampled_from(_CHANGES))
        change(draw, document, model)
    document, headers = _bounded(document), {"Content-Type": "application/json"}
    way = draw(st.sampled_from(("json", "json", "json", "binary", "binary", "broken", "bytes")))
    if way == "binary" and not (spare and model != ADDSUB):
        body, more = _binary(draw, document, model)
        headers |= more
    elif way == "bytes":
        body = bytes(draw(st.lists(st.integers(0, 255), max_size=60)))
    else:
        body = json.dumps(document).encode()
        body = _broken(draw, body) if way == "broken" else body
    if draw(st.sampled_from((*(False,) * 7, True))):
        body, more = _encoded(draw, body)
        headers |= more
    path = f"{model_path(model, draw(st.sampled_from(VERSIONS)))}/infer"
    return HttpAttempt(model, path, tuple(headers.items()), body)
