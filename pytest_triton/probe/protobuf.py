"""Triton's gRPC messages <-> plain values in the shape of the HTTP protocol."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from tritonclient.grpc import service_pb2 as pb

from pytest_triton.probe.codec import (
    as_tensor,
    bytes_array,
    decode_raw,
    element_count,
    encode_raw,
    numpy_dtype,
)
from pytest_triton.probe.types import Array, InferResult, Inputs, MalformedAnswer, Tensor

_TYPED_FIELD = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    # the protocol has no field for half precision: a server refuses this one
    **dict.fromkeys(("FP16", "BF16", "FP32"), "fp32_contents"),
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


# Fields that always show, and the server that first had them: the client's messages are
# newer than many a server, and what a server does not know must not seem to come from it.
# (2.39 lacks the first two and 2.48 has them: the release in between is read, not tried.)
_SINCE: dict[tuple[str, str], tuple[int, int]] = {
    ("ModelStatistics", "response_stats"): (2, 42),
    ("ModelConfig", "runtime"): (2, 40),
    ("ModelInput", "is_non_linear_format_io"): (2, 49),
    ("ModelOutput", "is_non_linear_format_io"): (2, 49),
    ("ModelEnsembling", "max_inflight_requests"): (2, 63),
}

Version: TypeAlias = tuple[int, int]


def server_version(text: str) -> Version:
    """(2, 51) out of "2.51.0"; the newest there can be when it is no version."""
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (9999, 0)


def to_plain(message: Any, version: Version = (9999, 0)) -> dict[str, Any]:
    """A message as HTTP's JSON shows it: every plain field, enums by name, 64-bit ints as ints.

    Sub-messages appear only when set, as in Triton's own JSON; unset fields that a server
    of ``version`` does not know are left out.
    """
    plain: dict[str, Any] = {}
    present = {field.name for field, _ in message.ListFields()}
    for field in message.DESCRIPTOR.fields:
        since = _SINCE.get((message.DESCRIPTOR.name, field.name))
        if since is not None and version < since and field.name not in present:
            continue
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"]
            plain[field.name] = {
                str(key): _plain_value(inner, value[key], version) for key in value
            }
        elif _is_repeated(field):
            plain[field.name] = [_plain_value(field, item, version) for item in value]
        elif field.name in present or not field.has_presence:
            plain[field.name] = _plain_value(field, value, version)
    return plain


def _is_repeated(field: Any) -> bool:
    # protobuf 6.31 brought is_repeated; label is deprecated there
    repeated = getattr(field, "is_repeated", None)
    if repeated is None:
        repeated = field.label == field.LABEL_REPEATED
    return bool(repeated)


def _plain_value(field: Any, value: Any, version: Version) -> Any:
    if field.message_type is not None:
        return to_plain(value, version)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return named.name if named is not None else value
    return value


def _set_parameter(target: Any, name: str, value: Any) -> None:
    parameter = target[name]
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    elif isinstance(value, bytes):
        parameter.bytes_param = value
    elif isinstance(value, str):
        parameter.string_param = value
    else:
        raise TypeError(f"parameter {name!r} is bool, int, float or str, not {type(value)}")


def _get_parameters(source: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for name, parameter in source.items():
        choice = parameter.WhichOneof("parameter_choice")
        values[name] = getattr(parameter, choice) if choice else None
    return values


def infer_request(
    model: str,
    inputs: Inputs,
    *,
    version: str = "",
    outputs: Iterable[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    raw: bool = True,
    request_id: str = "",
    classification: int = 0,
) -> pb.ModelInferRequest:
    """The request message; ``raw`` puts tensors into raw_input_contents, else typed fields."""
    request = pb.ModelInferRequest(model_name=model, model_version=str(version), id=request_id)
    for name, value in (parameters or {}).items():
        _set_parameter(request.parameters, name, value)
    for name, value in inputs.items():
        tensor = as_tensor(value)
        entry = request.inputs.add(name=name, datatype=tensor.datatype, shape=tensor.array.shape)
        if raw:
            request.raw_input_contents.append(encode_raw(tensor))
        else:
            getattr(entry.contents, _TYPED_FIELD[tensor.datatype]).extend(_typed(tensor))
    for name in outputs or ():
        entry = request.outputs.add(name=name)
        if classification:
            entry.parameters["classification"].int64_param = classification
    return request


def _typed(tensor: Tensor) -> list[Any]:
    values = tensor.array.reshape(-1).tolist()
    if tensor.datatype == "BYTES":
        return [value.encode("utf-8") if isinstance(value, str) else value for value in values]
    return list(values)


def infer_result(response: pb.ModelInferResponse) -> InferResult:
    """The response with every length checked. Raises MalformedAnswer."""
    result = InferResult(
        response.model_name,
        response.model_version,
        response.id,
        {},
        _get_parameters(response.parameters),
    )
    raws = list(response.raw_output_contents)
    position = 0
    for output in response.outputs:
        name, datatype, shape = output.name, output.datatype, [int(dim) for dim in output.shape]
        if name in result.outputs or name in result.datatypes:
            raise MalformedAnswer(f"output {name!r} comes twice")
        result.datatypes[name] = datatype
        result.output_parameters[name] = parameters = _get_parameters(output.parameters)
        if "shared_memory_region" in parameters:
            # Triton keeps an empty place for it among the raw contents
            position += 1 if position < len(raws) and not raws[position] else 0
        elif output.HasField("contents"):
            result.outputs[name] = _from_typed(output, datatype, shape)
        elif position < len(raws):
            result.outputs[name] = decode_raw(raws[position], datatype, shape, name)
            result.raw_sizes[name] = len(raws[position])
            position += 1
        else:
            raise MalformedAnswer(f"output {name!r} carries no data")
    if position != len(raws):
        raise MalformedAnswer(f"{len(raws)} raw outputs for {len(response.outputs)} outputs")
    return result


def _from_typed(output: Any, datatype: str, shape: list[int]) -> Array:
    dtype = numpy_dtype(datatype)
    values = list(getattr(output.contents, _TYPED_FIELD[datatype]))
    if len(values) != element_count(shape):
        raise MalformedAnswer(
            f"output {output.name!r} has {len(values)} values, its shape is {shape}"
        )
    if datatype == "BYTES":
        return bytes_array(values, shape)
    return np.array(values, dtype=dtype).reshape(tuple(shape))
