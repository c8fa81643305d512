"""Execution of one batch of requests: collect, run ``forward``, check, split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton_python_backend_utils as pb_utils
from torchscript_config import Config
from torchscript_refusal import INTERNAL, INVALID_ARG, UNSUPPORTED, Refusal
from torchscript_schema import Plan

Execute = Callable[[list[Any]], list[Any]]


def make_executor(config: Config, plan: Plan, method: Any, device: Any) -> Execute:
    """The function that Triton calls with its requests; answers one response for each."""
    import torch

    from_dlpack, to_dlpack = torch._C._from_dlpack, torch._C._to_dlpack
    tensor_from, respond = pb_utils.Tensor.from_dlpack, pb_utils.InferenceResponse
    batching, on_cpu = config.batching, device.type == "cpu"
    width = len(plan.positions)
    outputs = [(name, index, plan.types[name]) for name, index in plan.outputs.items()]
    names = {
        torch.bool: "BOOL", torch.uint8: "UINT8", torch.int8: "INT8", torch.int16: "INT16",
        torch.int32: "INT32", torch.int64: "INT64", torch.float16: "FP16",
        torch.float32: "FP32", torch.float64: "FP64",
    }  # fmt: skip

    def collect(requests: list[Any]) -> tuple[list[Any], list[int]]:
        columns: list[list[Any]] = [[] for _ in range(width)]
        sizes = []
        for request in requests:
            for tensor in request.inputs():
                value = from_dlpack(tensor.to_dlpack())
                columns[plan.positions[tensor.name()]].append(value)
            sizes.append(value.shape[0] if batching else 1)
        inputs = [c[0] if len(c) == 1 else torch.cat(c) for c in columns]
        return (inputs if on_cpu else [value.to(device) for value in inputs]), sizes

    def run(inputs: list[Any]) -> Any:
        try:
            if plan.dict_input:
                return method({name: inputs[at] for name, at in plan.positions.items()})
            return method(*inputs)
        except Exception as error:
            raise Refusal(INTERNAL, f"PyTorch execute failure: {error}") from None

    def results(value: Any) -> list[Any]:
        elements = value if isinstance(value, tuple) else (value,)
        for name, index, _ in outputs:
            if index >= len(elements):
                raise Refusal(
                    INVALID_ARG,
                    f"The output {name} in the model configuration refers to an output index "
                    f"which doesn't exist. This model has {len(elements)} outputs",
                )
        return list(elements)

    def split(elements: list[Any], requests: list[Any], sizes: list[int]) -> list[Any]:
        tensors: list[list[Any]] = [[] for _ in sizes]
        errors: dict[int, Refusal] = {}
        for name, index, wanted in outputs:
            value = elements[index].contiguous()
            actual = names.get(value.dtype, "<invalid>")
            if actual != wanted:
                raise Refusal(
                    INVALID_ARG,
                    f"configuration expects datatype TYPE_{wanted} for output '{name}', model "
                    f"provides TYPE_{actual}",
                )
            if value.dim() == 0:
                raise Refusal(INVALID_ARG, f"output '{name}' is a scalar which is not supported.")
            if not batching:
                tensors[0].append(tensor_from(name, to_dlpack(value)))
                continue
            start, rows = 0, value.shape[0]
            for place, size in enumerate(sizes):
                stop = start + size
                if stop > rows:
                    errors.setdefault(
                        place,
                        Refusal(
                            UNSUPPORTED,
                            f"[request id: {requests[place].request_id() or '<id_unknown>'}] "
                            f"failed to split the output tensor '{name}' in responses: expected "
                            f"batch size of atleast {stop} in model output, got {rows}",
                        ),
                    )
                else:
                    tensors[place].append(tensor_from(name, to_dlpack(value[start:stop])))
                start = stop
        return [
            failure(errors[place]) if place in errors else respond(tensors[place])
            for place in range(len(sizes))
        ]

    def failure(refusal: Refusal) -> Any:
        code = getattr(pb_utils.TritonError, refusal.code)
        return respond(error=pb_utils.TritonError(refusal.text, code))

    def execute(requests: list[Any]) -> list[Any]:
        try:
            inputs, sizes = collect(requests)
            return split(results(run(inputs)), requests, sizes)
        except Refusal as refusal:
            return [failure(refusal) for _ in requests]

    return execute
