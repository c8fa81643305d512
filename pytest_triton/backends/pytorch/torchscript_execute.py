"""Execution of one batch of requests: collect, call ``forward``, check, split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton_python_backend_utils as pb_utils
from torchscript_bytes import make_raw_strings
from torchscript_call import doomed, make_call, unpack, value_count, value_types
from torchscript_config import Config
from torchscript_inputs import make_collect
from torchscript_outputs import failure, make_deliver
from torchscript_refusal import Refusal
from torchscript_schema import Plan
from torchscript_states import States

Execute = Callable[[list[Any]], Any]


def make_executor(config: Config, plan: Plan, module: Any, method: Any, device: Any) -> Execute:
    """The function that Triton calls with its requests; answers one response for each, or sends
    them itself under a decoupled policy.

    ``device`` is where the values of a call have to be. Raises :class:`Refusal` for
    configurations that would make the C++ backend write into stray memory.
    """
    import torch

    schema = method.schema
    width = value_count(config, plan)
    arriving = value_types(config, plan, width)
    doom = doomed(plan, schema, arriving, width)
    states = States(config, plan) if config.states else None
    collect = make_collect(config, plan, width, device, states)
    call = make_call(plan, method, doom, make_raw_strings(module, schema))
    deliver = make_deliver(config, plan)
    returned, tensor = schema.returns[0].type, torch.Tensor

    def execute(requests: list[Any]) -> list[Any]:
        try:
            values, sizes = collect(requests)
            value = call(values)
            elements = [value] if isinstance(value, tensor) else unpack(value, returned, tensor)
            responses = deliver(elements, requests, sizes)
            if states is not None:
                states.update(requests, elements, sizes)
            return responses
        except Refusal as refusal:
            return [failure(refusal) for _ in requests]

    def execute_decoupled(requests: list[Any]) -> None:
        for request, response in zip(requests, execute(requests), strict=True):
            request.get_response_sender().send(
                response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
            )

    return execute_decoupled if config.decoupled else execute
