"""ModelInferRequest messages: right ones, broken in their fields or their bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from pytest_triton.fuzzing.pools import (
    CLASSIFICATION,
    DATATYPES,
    DIMENSIONS,
    GOOD,
    MODELS,
    NAMES,
    NUMBERS,
    PARAMETERS,
    VERSIONS,
    too_large,
)
from pytest_triton.probe.codec import decode_bytes_elements
from pytest_triton.probe.protobuf import infer_request
from pytest_triton.probe.types import MalformedAnswer
from pytest_triton.probe_set import ADDSUB

Draw = Callable[[Any], Any]


@dataclass(frozen=True)
class GrpcAttempt:
    """The bytes of one request."""

    model: str
    body: bytes

    def told(self) -> dict[str, Any]:
        """For people: the message as text where it is one, and exactly in hexadecimal digits."""
        try:
            text = str(pb.ModelInferRequest.FromString(self.body))
        except Exception:  # protobuf's own DecodeError has another home in every version
            text = "no message"
        return {"request": "ModelInfer", "message": text, "hex": self.body.hex()}


def _tensor(draw: Draw, message: Any) -> Any:
    if not message.inputs:
        return message.inputs.add()
    return message.inputs[draw(st.integers(0, len(message.inputs) - 1))]


def _rename(draw: Draw, message: Any) -> None:
    _tensor(draw, message).name = draw(st.sampled_from(NAMES))


def _retype(draw: Draw, message: Any) -> None:
    _tensor(draw, message).datatype = draw(st.sampled_from(DATATYPES))


def _reshape(draw: Draw, message: Any) -> None:
    shape = draw(st.lists(st.sampled_from(DIMENSIONS), max_size=5))
    _tensor(draw, message).shape[:] = [1] if too_large(shape) else shape


def _fill(draw: Draw, message: Any) -> None:
    """Typed contents, of whatever type, besides or instead of what is there."""
    contents = _tensor(draw, message).contents
    count = draw(st.sampled_from((1, 2, 16, 17)))
    field = draw(st.sampled_from([entry.name for entry in contents.DESCRIPTOR.fields]))
    value = {"bool_contents": True, "bytes_contents": b"\xff\xfe"}.get(field, 1)
    getattr(contents, field).extend([value] * count)


def _empty(draw: Draw, message: Any) -> None:
    _tensor(draw, message).ClearField("contents")


def _raw(draw: Draw, message: Any) -> None:
    """More, fewer or other raw contents."""
    contents = message.raw_input_contents
    blob = draw(st.sampled_from((b"", b"\0", b"\xff" * 4, b"\0" * 64, b"\0" * 65)))
    if not contents or draw(st.booleans()):
        contents.append(blob)
    elif draw(st.booleans()):
        contents[draw(st.integers(0, len(contents) - 1))] = blob
    else:
        contents.pop()


def _parametrise(draw: Draw, message: Any) -> None:
    outputs = list(message.outputs)
    place = draw(st.integers(0, 1 + len(outputs)))
    target = (message, _tensor(draw, message), *outputs)[place]
    names = (*PARAMETERS, CLASSIFICATION) if message.model_name == ADDSUB else PARAMETERS
    parameter = target.parameters[draw(st.sampled_from(names))]
    number = draw(st.sampled_from(NUMBERS))
    kind = draw(st.sampled_from(("bool", "int64", "uint64", "string", "double", "none")))
    if kind == "bool":
        parameter.bool_param = bool(number)
    elif kind == "int64" and -(2**63) <= number < 2**63:
        parameter.int64_param = number
    elif kind == "uint64" and 0 <= number < 2**64:
        parameter.uint64_param = number
    elif kind == "string":
        parameter.string_param = draw(st.sampled_from(("", "7", "x", "\u00fc", "a" * 300)))
    elif kind == "double":
        parameter.double_param = float(number)


def _ask(draw: Draw, message: Any) -> None:
    names = st.sampled_from((*GOOD.get(message.model_name, ({}, {}))[1], *NAMES))
    for name in draw(st.lists(names, min_size=1, max_size=3)):
        message.outputs.add(name=name)


def _double(draw: Draw, message: Any) -> None:
    message.inputs.add().CopyFrom(_tensor(draw, message))


def _drop(draw: Draw, message: Any) -> None:
    if message.inputs:
        del message.inputs[draw(st.integers(0, len(message.inputs) - 1))]


def _readdress(draw: Draw, message: Any) -> None:
    message.model_version = draw(st.sampled_from(VERSIONS))
    message.id = draw(st.sampled_from(("", "x", "\u00fc", "a" * 300)))


_CHANGES = (
    _rename, _retype, _reshape, _reshape, _fill, _fill, _empty, _raw, _raw, _parametrise,
    _parametrise, _ask, _double, _drop, _readdress,
)  # fmt: skip


def _mend(message: Any) -> None:
    contents = message.raw_input_contents
    for place, tensor in enumerate(message.inputs[: len(contents)]):
        if tensor.datatype == "BYTES":
            try:
                decode_bytes_elements(contents[place])
            except MalformedAnswer:
                contents[place] = b"\x01\0\0\0a"


@st.composite
def grpc_attempts(draw: Draw, spare: bool = False) -> GrpcAttempt:
    """A request that is right, or broken in up to three places.

    ``spare``: raw contents of a BYTES input are whole strings (see NO_OVERRUNS).
    """
    model = draw(st.sampled_from(MODELS))
    message = infer_request(model, GOOD[model][0], raw=draw(st.booleans()))
    for _ in range(draw(st.integers(0, 3))):
        draw(st.sampled_from(_CHANGES))(draw, message)
    if spare:
        _mend(message)
    body = message.SerializeToString(deterministic=True)
    # Only the end of it changes: a bit inside may make a shape that no machine can hold.
    way = draw(st.sampled_from(("whole",) * 6 + ("cut", "longer")))
    if way == "cut":
        body = body[: draw(st.integers(0, len(body)))]
    elif way == "longer":
        body += bytes(draw(st.lists(st.sampled_from((0xFF, 0x08, 0x00)), max_size=8)))
    return GrpcAttempt(model, body)
