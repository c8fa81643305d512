"""From Triton's requests to the values of one call of ``forward``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torchscript_config import BatchInput, Config
from torchscript_schema import Plan
from torchscript_states import States

#: Requests -> (values by position in the call, batch size of each request).
Collect = Callable[[list[Any]], tuple[list[Any], list[int]]]


def make_collect(
    config: Config, plan: Plan, width: int, device: Any, states: States | None
) -> Collect:
    """The cheapest way that serves this configuration. ``device``: where tensors have to be."""
    import torch

    strings = {item.name for item in config.inputs if item.data_type == "TYPE_STRING"}
    ragged = {item.name for item in config.inputs if item.ragged}
    if width == 1 and not (strings or ragged or config.batch_inputs):
        return _collect_one(config.batching, device)
    from_dlpack, merge = torch._C._from_dlpack, _make_merge(device)
    positions, batching = plan.positions, config.batching
    plain = not (strings or ragged or config.batch_inputs or states)
    # Two tensors on one position leave another one empty: ``forward`` will refuse that.
    plain = plain and len(set(positions.values())) == width

    def read(tensor: Any, name: str) -> Any:
        if name in strings:
            return tensor.as_numpy().reshape(-1).tolist()
        return from_dlpack(tensor.to_dlpack())

    def join(name: str, parts: list[Any]) -> Any:
        if name in strings:
            return [text for part in parts for text in part]
        if name in ragged:
            parts = [part.reshape(-1) for part in parts]
        return merge(parts)

    def collect_plain(requests: list[Any]) -> tuple[list[Any], list[int]]:
        columns: list[list[Any]] = [[] for _ in range(width)]
        sizes: list[int] = []
        value = None
        for request in requests:
            for tensor in request.inputs():
                value = from_dlpack(tensor.to_dlpack())
                columns[positions[tensor.name()]].append(value)
            sizes.append(value.shape[0] if batching and value is not None else 1)
        return [merge(parts) for parts in columns], sizes

    def collect(requests: list[Any]) -> tuple[list[Any], list[int]]:
        columns: dict[str, list[Any]] = {}
        shapes: dict[str, list[tuple[int, ...]]] = {}
        sizes: list[int] = []
        for request in requests:
            size = 1
            for tensor in request.inputs():
                name = tensor.name()
                value = read(tensor, name)
                if states is not None:
                    value = states.current(request, name, value)
                columns.setdefault(name, []).append(value)
                shape = _shape(tensor, columns[name][-1])
                shapes.setdefault(name, []).append(shape)
                size = shape[0] if batching else 1
            sizes.append(size)
        values: list[Any] = [None] * width
        for name, parts in columns.items():
            values[positions[name]] = join(name, parts)
        for batch_input in config.batch_inputs:
            made = _batch_tensor(batch_input, shapes).to(device)
            for name in batch_input.targets:
                values[positions[name]] = made
        return values, sizes

    return collect_plain if plain else collect


def _collect_one(batching: bool, device: Any) -> Collect:
    """One tensor per request: no names to look at."""
    import torch

    from_dlpack, merge = torch._C._from_dlpack, _make_merge(device)

    def collect(requests: list[Any]) -> tuple[list[Any], list[int]]:
        parts = [from_dlpack(request.inputs()[0].to_dlpack()) for request in requests]
        sizes = [part.shape[0] for part in parts] if batching else [1] * len(parts)
        return [merge(parts)], sizes

    return collect


def _make_merge(device: Any) -> Callable[[list[Any]], Any]:
    """One tensor on ``device`` out of the parts of all requests."""
    import torch

    cat = torch.cat
    if not torch.cuda.is_available():
        return lambda parts: parts[0] if len(parts) == 1 else cat(parts)

    def merge(parts: list[Any]) -> Any:
        if len(parts) == 1:
            return parts[0].to(device)
        if any(part.device != parts[0].device for part in parts):
            parts = [part.to(device) for part in parts]
        return cat(parts).to(device)  # one transfer for the whole batch

    return merge


def _shape(tensor: Any, value: Any) -> tuple[int, ...]:
    return tuple(tensor.as_numpy().shape) if isinstance(value, list) else tuple(value.shape)


def _batch_tensor(batch_input: BatchInput, shapes: dict[str, list[tuple[int, ...]]]) -> Any:
    """One ``batch_input`` on the CPU; ``shapes`` are with the batch dimension."""
    import torch

    kind = batch_input.kind
    dtype = torch.float32 if batch_input.data_type == "TYPE_FP32" else torch.int32
    sources = shapes[batch_input.sources[0]]
    counts = [math.prod(shape) for shape in sources]
    if kind == "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE":
        return torch.zeros(max(counts), dtype=dtype)  # only its shape means something
    if kind.startswith("BATCH_ITEM_SHAPE"):
        items = torch.tensor([shape[1:] for shape in sources for _ in range(shape[0])], dtype=dtype)
        return items.reshape(-1) if kind.endswith("FLATTEN") else items
    if kind == "BATCH_ELEMENT_COUNT":
        return torch.tensor(counts, dtype=dtype)
    sums = [sum(counts[: index + 1]) for index in range(len(counts))]
    if kind == "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO":
        sums.insert(0, 0)
    return torch.tensor(sums, dtype=dtype)
