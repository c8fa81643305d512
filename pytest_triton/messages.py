"""gRPC messages: requests that are wrong on purpose, and several requests on one stream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2 as pb

from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.codec import as_tensor, numpy_dtype
from pytest_triton.probe.grpc import FINAL, GrpcProbe
from pytest_triton.probe.protobuf import infer_request, infer_result
from pytest_triton.probe.types import InferResult, MalformedAnswer

#: Asks for an empty last response where a model is decoupled, and for the mark on it.
WITH_FINAL = {"triton_enable_empty_final_response": True}
#: Parameters with values of a wrong type, which the front end refuses for every model.
WRONG_PARAMETERS: tuple[tuple[str, bool | int | str], ...] = (
    ("sequence_id", True),
    ("sequence_start", 1),
    ("sequence_end", "yes"),
    ("priority", "high"),
    ("timeout", "soon"),
)


@dataclass(frozen=True, slots=True, eq=False)
class StreamAnswer:
    """One response of a stream: its request's id, and a result or the text of an error."""

    id: str
    error: str
    result: InferResult

    @property
    def final(self) -> object:
        """Whether the response is marked as the last one of its request; None without a mark."""
        return self.result.parameters.get(FINAL)


def on_one_stream(
    grpc: GrpcProbe,
    requests: Iterable[pb.ModelInferRequest],
    *,
    version: str = "",
    timeout: float | None = None,
) -> list[StreamAnswer]:
    """Every response to several requests on one stream, errors too. Raises a ProbeError.

    MalformedAnswer also for a response that names another model or version than was asked;
    ``version`` is the one that has to answer where a request names none.
    """
    sent = list(requests)
    answers = [
        StreamAnswer(
            response.infer_response.id,
            response.error_message,
            infer_result(response.infer_response),
        )
        for response in grpc.responses(sent, timeout=timeout)
    ]
    asked = {request.id: (request.model_name, request.model_version) for request in sent}
    only = set(asked.values()) if len(set(asked.values())) == 1 else set()
    versions: dict[str, str] = {}
    for at, answer in enumerate(answers):
        if answer.error:
            continue
        # An id of nobody is the caller's to tell.
        model, named = asked.get(answer.id) or next(iter(only), ("", ""))
        if model and (text := foreign(answer.result, model, named or version, versions)):
            raise MalformedAnswer(f"response {at} of {len(answers)}: {text}")
    return answers


def foreign(result: InferResult, model: str, version: str, versions: dict[str, str]) -> str:
    """What a response says of the model and the version that it comes from and is not so; "".

    Where no ``version`` is known it is that of the model's first response, which
    ``versions`` remembers. A final response without outputs has no version.
    """
    if result.model_name != model:
        return f"model_name is {result.model_name!r}, expected {model!r}"
    told = result.model_version
    if not told and not result.outputs and not result.datatypes:
        return ""
    wanted = version or versions.setdefault(model, told)
    if told != wanted or not told:
        return f"model_version is {told!r}, " + (
            f"expected {version!r}" if version else f"that of others is {wanted!r}"
        )
    return ""


def one_value(result: InferResult, output: str) -> object:
    """The only value of an output. Raises MalformedAnswer when it has none or several."""
    array = result.outputs.get(output)
    if array is None or array.size != 1:
        told = "no" if array is None else f"shape {list(array.shape)} in"
        raise MalformedAnswer(f"{told} output {output}, expected one value")
    return array.reshape(-1)[0]


def addsub_inputs(seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Inputs [1, 16] of the probe model ADDSUB."""
    draw = np.random.default_rng(seed)
    return {name: draw.integers(-99, 99, (1, 16), np.int32) for name in ("INPUT0", "INPUT1")}


def both_contents(model: str, case: InputCase) -> tuple[pb.ModelInferRequest, str]:
    """A request whose first input comes twice, raw and typed; and that input's name."""
    request = infer_request(model, case.inputs)
    typed = infer_request(model, case.inputs, raw=False)
    request.inputs[0].contents.CopyFrom(typed.inputs[0].contents)
    return request, request.inputs[0].name


def wrong_field(model: str, case: InputCase) -> tuple[pb.ModelInferRequest, str, str]:
    """A request whose first input is in the field of another type; its name and data type."""
    request = infer_request(model, case.inputs, raw=False)
    entry = request.inputs[0]
    count = as_tensor(case.inputs[entry.name]).array.size
    entry.contents.Clear()
    if entry.datatype == "FP32":
        entry.contents.int64_contents.extend([0] * count)
    else:
        entry.contents.fp32_contents.extend([0.0] * count)
    return request, entry.name, entry.datatype


def short_contents(
    model: str, case: InputCase, *, raw: bool
) -> tuple[pb.ModelInferRequest, str, int, int] | None:
    """A request that lacks the last element of an input; its name, bytes expected and sent.

    None when every input is BYTES or has a single element.
    """
    request = infer_request(model, case.inputs, raw=raw)
    for at, entry in enumerate(request.inputs):
        count = as_tensor(case.inputs[entry.name]).array.size
        if entry.datatype == "BYTES" or count < 2:
            continue
        size = numpy_dtype(entry.datatype).itemsize
        if raw:
            request.raw_input_contents[at] = request.raw_input_contents[at][:-size]
        else:
            del getattr(entry.contents, entry.contents.ListFields()[0][0].name)[-1]
        return request, entry.name, count * size, (count - 1) * size
    return None
