"""Requests for streams, as the bytes that go out, and the output whose values are the tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pytest_triton.load.tokens import StreamProtocol, Token
from pytest_triton.probe.codec import as_tensor, to_json_data
from pytest_triton.probe.types import InferResult, Inputs, MalformedAnswer, TensorSpec

INTEGERS = frozenset(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))

Event: TypeAlias = "Mapping[str, Any]"


@dataclass(frozen=True, slots=True)
class TokenOutput:
    """The output that is read: an integer is a token each; text, or anything else, that is not
    empty is one for each response. A response without a value has none."""

    name: str
    datatype: str

    def of_result(self, result: InferResult) -> list[Token]:
        """The tokens of a response over gRPC. Raises MalformedAnswer for another data type."""
        array = result.outputs.get(self.name)
        if array is None:
            return []
        if (found := result.datatypes.get(self.name)) != self.datatype:
            raise MalformedAnswer(f"output {self.name!r} is {found}, not {self.datatype}")
        values = array.reshape(-1).tolist()
        if self.datatype == "BYTES":
            values = [value.decode("utf-8", "surrogateescape") for value in values]
        return self._tokens(values)

    def of_event(self, event: Event) -> list[Token]:
        """The same of an event of generate_stream."""
        if self.name not in event:
            return []
        value = event[self.name]
        values = value if isinstance(value, list) else [value]
        if self.datatype in INTEGERS:
            wrong = [one for one in values if isinstance(one, bool) or not isinstance(one, int)]
        elif self.datatype == "BYTES":
            wrong = [one for one in values if not isinstance(one, str)]
        else:
            wrong = [one for one in values if not isinstance(one, int | float)]
        if wrong:
            raise MalformedAnswer(
                f"output {self.name!r} of type {self.datatype} has {wrong[0]!r:.60}"
            )
        return self._tokens(values)

    def _tokens(self, values: Sequence[Any]) -> list[Token]:
        if self.datatype in INTEGERS:
            return list(values)
        if self.datatype == "BYTES":
            text = "".join(values)
            return [text] if text else []
        return [tuple(values)] if values else []


def shape_flaw(specs: Sequence[TensorSpec], inputs: Inputs) -> str:
    """Why generate_stream cannot carry inputs; "": it can.

    It takes values without a shape, and gives all of them to the last variable dimension.
    """
    for spec in specs:
        if spec.name not in inputs:
            continue
        shape = as_tensor(inputs[spec.name]).array.shape
        variable = [size for dim, size in zip(spec.shape, shape, strict=True) if dim < 0]
        if any(size != 1 for size in variable[:-1]):
            return f"JSON has no place for the shape {list(shape)} of {spec.name}"
    return ""


def stream_body(
    protocol: StreamProtocol, model: str, inputs: Inputs, *, version: str = "",
    outputs: Iterable[str] | None = None, parameters: Mapping[str, Any] | None = None,
) -> bytes:  # fmt: skip
    """A ModelInferRequest, or the JSON of generate_stream: its keys are inputs and parameters.

    ``outputs`` holds for gRPC alone. Raises TypeError for what JSON cannot carry.
    """
    if protocol == "http":
        flat: dict[str, Any] = dict(parameters or {})
        for name, value in inputs.items():
            tensor = as_tensor(value)
            if tensor.datatype in ("FP16", "BF16"):
                raise TypeError(f"JSON cannot carry {name} of type {tensor.datatype}")
            data = to_json_data(tensor)
            flat[name] = data[0] if len(data) == 1 else data
        return json.dumps(flat).encode()
    from pytest_triton.probe.protobuf import infer_request

    message = infer_request(
        model, inputs, version=version, outputs=outputs,
        parameters={**(parameters or {}), "triton_enable_empty_final_response": True},
    )  # fmt: skip
    return bytes(message.SerializeToString())
