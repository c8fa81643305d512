"""From the elements of ``forward``'s result to one response for each request.

Everything about outputs is checked for all outputs of the configuration, in the order of their
names, whether a request asked for them or not.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import triton_python_backend_utils as pb_utils
from torchscript_config import BatchOutput, Config
from torchscript_refusal import INTERNAL, INVALID_ARG, UNSUPPORTED, Refusal
from torchscript_schema import Plan

#: Set to "host", results leave a GPU in one copy for the whole batch before they are split;
#: otherwise they stay there, and Triton copies each part to where it is wanted.
_ROUTE = "PYTEST_TRITON_GPU_OUTPUT"
#: (elements, requests, batch sizes) -> responses; raises Refusal when all requests fail.
Deliver = Callable[[list[Any], list[Any], list[int]], list[Any]]


def failure(refusal: Refusal) -> Any:
    """The response of one failed request."""
    code = getattr(pb_utils.TritonError, refusal.code)
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(refusal.text, code))


def make_deliver(config: Config, plan: Plan) -> Deliver:
    """Checks, splits and answers; the checks are those of the C++ backend, in its order."""
    import torch

    split_with_sizes, respond = torch.split_with_sizes, pb_utils.InferenceResponse
    to_triton = _make_to_triton()
    batching = config.batching
    through_host = os.environ.get(_ROUTE) == "host"
    scattered = {name: item for item in config.batch_outputs for name in item.targets}
    hidden = {state.output_name for state in config.states or ()} - {
        item.name for item in config.outputs
    }
    outputs = [(name, index, plan.types[name]) for name, index in plan.outputs.items()]
    limit = max(index for _, index, _ in outputs)
    dtypes = {
        torch.bool: "BOOL", torch.uint8: "UINT8", torch.int8: "INT8", torch.int16: "INT16",
        torch.int32: "INT32", torch.int64: "INT64", torch.float16: "FP16",
        torch.float32: "FP32", torch.float64: "FP64",
    }  # fmt: skip

    def checked(name: str, value: Any, wanted: str) -> Any:
        try:
            value = value.contiguous()
            actual = dtypes.get(value.dtype, "<invalid>")
            if value.layout is not torch.strided:
                raise RuntimeError(name)
        except RuntimeError:
            raise Refusal(INTERNAL, f"output tensor '{name}' is not found") from None
        if actual != wanted:
            raise Refusal(
                INVALID_ARG,
                f"configuration expects datatype TYPE_{wanted} for output '{name}', model "
                f"provides TYPE_{actual}",
            )
        if value.is_cuda:
            if through_host:
                value = value.cpu()
            else:
                # Triton's copies do not wait for the stream that torch computes on.
                torch.cuda.current_stream(value.device).synchronize()
        if value.dim() == 0 and name not in scattered:
            raise Refusal(INVALID_ARG, f"output '{name}' is a scalar which is not supported.")
        # A dimension of 1 may have any stride in torch; Triton wants it regular.
        return value.view(-1).view(value.shape) if 1 in value.shape else value

    def rows(name: str, value: Any, requests: list[Any], sizes: list[int]) -> list[Any]:
        """One part for each request; a Refusal in the place of a part that is missing."""
        total, given = sum(sizes), value.shape[0]
        if total == given:
            return list(split_with_sizes(value, sizes)) if len(sizes) > 1 else [value]
        parts: list[Any] = []
        stop = 0
        for request, size in zip(requests, sizes, strict=True):
            start, stop = stop, stop + size
            if stop > given:
                parts.append(_too_few(name, "tensor", request, stop, given))
            else:
                parts.append(value[start:stop])
        return parts

    def parts_of(
        name: str, value: Any, wanted: str, requests: list[Any], sizes: list[int]
    ) -> list[Any]:
        if isinstance(value, list):
            return _string_tensors(name, value, batching, sizes)
        value = checked(name, value, wanted)
        if name in scattered:
            pieces = _scatter(name, value, scattered[name], requests)
        elif batching:
            pieces = rows(name, value, requests, sizes)
        else:
            pieces = [value]
        return [piece if isinstance(piece, Refusal) else to_triton(name, piece) for piece in pieces]

    def deliver(elements: list[Any], requests: list[Any], sizes: list[int]) -> list[Any]:
        if limit >= len(elements):
            _missing(outputs, len(elements))
        answers: list[list[Any]] = [[] for _ in sizes]
        errors: dict[int, Refusal] = {}
        late: Refusal | None = None
        for name, index, wanted in outputs:
            try:
                parts = parts_of(name, elements[index], wanted, requests, sizes)
            except Refusal as refusal:
                late = refusal
                break
            for place, part in enumerate(parts):
                if isinstance(part, Refusal):
                    errors.setdefault(place, part)
                elif name not in hidden:
                    answers[place].append(part)
        if late is None and not errors:
            return [respond(tensors) for tensors in answers]
        # Who failed alone keeps its own error; a failure of all takes the others.
        return [
            failure(errors.get(place, late))  # type: ignore[arg-type]
            if late is not None or place in errors
            else respond(tensors)
            for place, tensors in enumerate(answers)
        ]

    return deliver


def _make_to_triton() -> Callable[[str, Any], Any]:
    """(name, contiguous torch tensor) -> Triton tensor."""
    import torch

    from_dlpack, to_dlpack = pb_utils.Tensor.from_dlpack, torch._C._to_dlpack

    def direct(name: str, value: Any) -> Any:
        return from_dlpack(name, to_dlpack(value))

    def by_way_of_numpy(name: str, value: Any) -> Any:
        if 1 in value.shape:
            return pb_utils.Tensor(name, value.cpu().numpy())
        return direct(name, value)

    try:
        direct("sample", torch.zeros(2, 1, 3))
    except Exception:
        # Older releases of torch rewrite the stride of a dimension of 1 in a way that the
        # Python backend takes for a tensor that is not contiguous.
        return by_way_of_numpy
    return direct


def _missing(outputs: list[tuple[str, int, str]], given: int) -> None:
    for name, index, _ in outputs:
        if index >= given:
            raise Refusal(
                INVALID_ARG,
                f"The output {name} in the model configuration refers to an output index which "
                f"doesn't exist. This model has {given} outputs",
            )


def _too_few(name: str, what: str, request: Any, wanted: int, given: int) -> Refusal:
    return Refusal(
        UNSUPPORTED,
        f"[request id: {request.request_id() or '<id_unknown>'}] failed to split the output "
        f"{what} '{name}' in responses: expected batch size of atleast {wanted} in model output, "
        f"got {given}",
    )


def numpy_problem() -> str:
    """Why strings cannot travel, empty when they can: they have no other way than numpy."""
    import numpy

    if int(numpy.__version__.partition(".")[0]) < 2:
        return ""
    # The stubs were built against numpy 1 and misread the size of arrays of numpy 2.
    return (
        "TYPE_STRING needs numpy 1.26 in the Python of this server, which has numpy "
        f"{numpy.__version__}"
    )


def _string_tensors(name: str, value: list[Any], batching: bool, sizes: list[int]) -> list[Any]:
    """Strings always travel as BYTES, whatever type is declared."""
    import numpy

    if problem := numpy_problem():
        raise Refusal(UNSUPPORTED, f"output '{name}' cannot be sent, {problem}")
    texts = [text if isinstance(text, bytes) else text.encode() for text in value]
    parts = [texts]
    if batching:
        if len(texts) < sum(sizes):
            # The C++ backend reads past the end of the list here.
            raise Refusal(
                UNSUPPORTED,
                f"failed to split the output list '{name}' in responses: expected batch size of "
                f"atleast {sum(sizes)} in model output, got {len(texts)}",
            )
        starts = [sum(sizes[:place]) for place in range(len(sizes))]
        parts = [texts[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    tensors = []
    for part in parts:
        array = numpy.empty(len(part), dtype=numpy.object_)
        array[:] = part
        tensors.append(pb_utils.Tensor(name, array))
    return tensors


def _scatter(name: str, value: Any, rule: BatchOutput, requests: list[Any]) -> list[Any]:
    """Cut a flat result into the shapes of an input: every -1 is that input's own dimension."""
    flat, start, parts = value.reshape(-1), 0, []
    for request in requests:
        source = pb_utils.get_input_tensor_by_name(request, rule.sources[0])
        given = source.shape()
        shape = [given[at] if size == -1 else size for at, size in enumerate(rule.shape)]
        stop = start + math.prod(shape)
        if stop > flat.shape[0]:
            # The C++ backend reads past the end of the tensor here.
            parts.append(
                Refusal(
                    INTERNAL,
                    f"failed to scatter the output tensor '{name}': expected {stop} elements or "
                    f"more in model output, got {flat.shape[0]}",
                )
            )
        else:
            parts.append(flat[start:stop].reshape(shape))
        start = stop
    return parts
