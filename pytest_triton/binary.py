"""Requests with binary tensors, written byte by byte so that they can be wrong, and compression."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.errors import SubjectFault
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.codec import as_tensor, encode_raw
from pytest_triton.probe.http import model_path
from pytest_triton.probe.message import LENGTH_HEADER, decode_infer
from pytest_triton.probe.types import (
    HttpAnswer,
    InferResult,
    Inputs,
    MalformedAnswer,
)
from pytest_triton.subject import Subject

#: Largest answer that is unpacked, in bytes.
MAX_UNPACKED = 64 << 20


@dataclass(frozen=True, slots=True)
class BinaryRequest:
    """The two parts of a body: the JSON header, and the tensors' bytes after it."""

    document: Mapping[str, Any]
    data: bytes

    def send(self, subject: Subject, model: str, *, length: str | int | None = "") -> HttpAnswer:
        """POST infer. ``length`` is the value of the length header ("": the right one, None: none)."""
        head = json.dumps(self.document).encode()
        headers = {"Content-Type": "application/octet-stream"}
        if length is not None:
            headers[LENGTH_HEADER] = str(len(head) if length == "" else length)
        path = f"{model_path(model)}/infer"
        return subject.http.request("POST", path, body=head + self.data, headers=headers)

    def with_data(self, data: bytes) -> BinaryRequest:
        """The same header before other bytes."""
        return BinaryRequest(self.document, data)

    @property
    def header_size(self) -> int:
        """Bytes of the JSON header."""
        return len(json.dumps(self.document).encode())


def binary_request(
    inputs: Inputs,
    request_id: str,
    *,
    outputs: Sequence[Mapping[str, Any]] | None = None,
    parameters: Mapping[str, Any] | None = None,
    first: bytes | None = None,
) -> BinaryRequest:
    """A request whose inputs are all binary, and that says of outputs only what is given.

    ``first``: bytes of the first input instead of its own; ``binary_data_size`` says theirs.
    """
    entries: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, value in inputs.items():
        tensor = as_tensor(value)
        blob = encode_raw(tensor)
        if first is not None and not entries:
            blob = first
        blobs.append(blob)
        entries.append(
            {
                "name": name,
                "shape": list(tensor.array.shape),
                "datatype": tensor.datatype,
                "parameters": {"binary_data_size": len(blob)},
            }
        )
    document: dict[str, Any] = {"id": request_id, "inputs": entries}
    if outputs is not None:
        document["outputs"] = list(outputs)
    if parameters is not None:
        document["parameters"] = dict(parameters)
    return BinaryRequest(document, b"".join(blobs))


def strings(elements: Sequence[bytes], *, last: int = 0, tail: bytes = b"") -> bytes:
    """BYTES on the wire: lengths and elements; ``last`` says how much longer the last one claims
    to be, ``tail`` follows it."""
    parts = []
    for at, element in enumerate(elements):
        more = last if at == len(elements) - 1 else 0
        parts.append((len(element) + more).to_bytes(4, "little") + element)
    return b"".join(parts) + tail


def result_of(subject: Subject, model: str, case: InputCase, answer: HttpAnswer) -> InferResult:
    """The outputs of an answer that has to be 200; what generated inputs provoke is NotAssessed."""
    if answer.status != 200:
        subject.excuse(model, case, str(answer.error))
        raise answer.failure
    return decode_infer(answer)


def raw_samples(subject: Subject, *, fixed: bool = False) -> list[tuple[str, InputCase, bytes]]:
    """Models whose only input can be deduced from bytes alone, with a request and its bytes.

    That is one with at most one variable dimension beside the batch, or one text. ``fixed``:
    only those whose number of bytes is fixed.
    """
    found = []
    for name, case in subject.json_samples():
        declared = subject.metadata(name)["inputs"]
        if len(declared) != 1 or len(case.inputs) != 1:
            continue
        batches = subject.models[name].max_batch_size > 0
        dims = declared[0]["shape"][1:] if batches else declared[0]["shape"]
        tensor = as_tensor(next(iter(case.inputs.values())))
        raw = encode_raw(tensor)
        if declared[0]["datatype"] == "BYTES":
            if fixed or dims != [1]:
                continue
            raw = raw[4:]  # a raw request has no length before its text
        elif dims.count(-1) > (0 if fixed else 1):
            continue
        found.append((name, case, raw))
    return found


def send_raw(subject: Subject, model: str, body: bytes) -> HttpAnswer:
    """POST infer with nothing but the input's bytes."""
    headers = {"Content-Type": "application/octet-stream", LENGTH_HEADER: "0"}
    return subject.http.request("POST", f"{model_path(model)}/infer", body=body, headers=headers)


def pack(encoding: str, body: bytes) -> bytes:
    """A body as Content-Encoding gzip or deflate has it."""
    return gzip.compress(body, mtime=0) if encoding == "gzip" else zlib.compress(body)


def unpacked(answer: HttpAnswer, encoding: str) -> HttpAnswer:
    """An answer that has to be compressed, without its compression. Raises SubjectFault.

    Where a gateway shows itself, a plain answer is NotAssessed: it may drop Accept-Encoding,
    or unpack answers, and clients lose nothing by either.
    """
    told = answer.headers.get("content-encoding", "")
    if told.lower() != encoding:
        if told.lower() in ("", "identity") and answer.gateway and _is_plain(answer):
            raise NotAssessed(
                Reason.BLOCKED,
                f"{encoding} was accepted and a plain answer came through a gateway "
                f"({answer.gateway}) that drops Accept-Encoding or unpacks answers: "
                "whether the server compresses is seen at its own address only",
            )
        raise SubjectFault(
            f"Content-Encoding is {told!r}, {encoding} was accepted"
            f"{f' ({answer.gateway})' * bool(answer.gateway)}"
        )
    reader = zlib.decompressobj(31 if encoding == "gzip" else 15)
    try:
        body = reader.decompress(answer.body, MAX_UNPACKED)
    except zlib.error as error:
        raise MalformedAnswer(f"the body is not {encoding}: {error}") from None
    if not reader.eof:
        raise MalformedAnswer(f"the {encoding} body is cut off, or over {MAX_UNPACKED} bytes")
    headers = {name: value for name, value in answer.headers.items() if name != "content-encoding"}
    return HttpAnswer(answer.status, headers, body, answer.elapsed_s)


def _is_plain(answer: HttpAnswer) -> bool:
    """Whether a body can be read as it is."""
    try:
        decode_infer(answer)
    except MalformedAnswer:
        return False
    return True
