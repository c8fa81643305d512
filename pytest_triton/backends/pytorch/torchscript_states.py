"""Implicit state of a sequence batcher, kept here from one request of a sequence to the next.

The core of Triton hands every request a state input, but a Python-based backend has no way to
give a new state back. So the states live in this instance: all requests of one sequence reach
the same instance.
"""

from __future__ import annotations

import time
from typing import Any

import triton_python_backend_utils as pb_utils
from torchscript_config import TENSOR_TYPES, Config
from torchscript_refusal import UNSUPPORTED, Refusal
from torchscript_schema import Plan


class States:
    """States by correlation id; a sequence that stays idle for too long is forgotten."""

    def __init__(self, config: Config, plan: Plan) -> None:
        states = config.states or ()
        for state in states:
            if state.data_type not in TENSOR_TYPES:
                raise Refusal(
                    UNSUPPORTED,
                    f"unable to load model '{config.name}', state '{state.input_name}' of type "
                    f"{state.data_type} needs the C++ backend: this Python-based backend keeps "
                    "numeric states only",
                )
        sequence = config.sequence or {}
        idle = int(sequence.get("max_sequence_idle_microseconds") or 1_000_000)
        self._idle = 2 * idle / 1e6  # seconds; the core ends a sequence after half of that
        self._positions = {state.input_name: plan.outputs[state.output_name] for state in states}
        given = {item["input_name"] for item in sequence["state"] if item.get("initial_state")}
        self._arbitrary = set(self._positions) - given
        self._kept: dict[Any, tuple[float, dict[str, Any]]] = {}

    def current(self, request: Any, name: str, given: Any) -> Any:
        """What ``forward`` gets: the kept state, or what Triton gave at the start."""
        if name not in self._positions:
            return given
        if not request.flags() & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START:
            kept = self._kept.get(request.correlation_id())
            if kept is not None:
                return kept[1][name]
        # Without an initial state the core's buffer holds whatever was in that memory.
        return given.zero_() if name in self._arbitrary else given

    def update(self, requests: list[Any], elements: list[Any], sizes: list[int]) -> None:
        """Keep the new states; an element has the rows of all requests, in their order."""
        now = time.monotonic()
        for ident in [key for key, (used, _) in self._kept.items() if now - used > self._idle]:
            del self._kept[ident]
        start = 0
        for request, size in zip(requests, sizes, strict=True):
            ident, rows = request.correlation_id(), slice(start, start + size)
            start += size
            if request.flags() & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END:
                self._kept.pop(ident, None)
            elif ident:  # 0: a slot of the batch that no sequence holds
                new = {name: elements[at][rows].clone() for name, at in self._positions.items()}
                self._kept[ident] = (now, new)
