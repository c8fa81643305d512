"""Execution of one batch of requests: collect, call ``forward``, check, split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchscript_bytes import make_raw_strings
from torchscript_call import doomed, make_call, unpack, value_types
from torchscript_config import Config
from torchscript_inputs import make_collect
from torchscript_outputs import failure, make_deliver
from torchscript_refusal import Refusal
from torchscript_schema import Plan

Execute = Callable[[list[Any]], list[Any]]


def make_executor(config: Config, plan: Plan, module: Any, method: Any, device: Any) -> Execute:
    """The function that Triton calls with its requests; answers one response for each.

    ``device`` is where the values of a call have to be. Raises :class:`Refusal` for
    configurations that would make the C++ backend write into stray memory.
    """
    import torch

    schema = method.schema
    arriving = value_types(config, plan)
    width = len(plan.positions)
    doom = doomed(plan, schema, arriving, width)
    collect = make_collect(config, plan, width, device)
    call = make_call(plan, method, doom, make_raw_strings(module, schema))
    deliver = make_deliver(config, plan)
    returned, tensor = schema.returns[0].type, torch.Tensor

    def execute(requests: list[Any]) -> list[Any]:
        try:
            values, sizes = collect(requests)
            value = call(values)
            elements = [value] if isinstance(value, tensor) else unpack(value, returned, tensor)
            return deliver(elements, requests, sizes)
        except Refusal as refusal:
            return [failure(refusal) for _ in requests]

    return execute
