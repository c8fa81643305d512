"""Tensors in files of traces: what went into a model, and what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pytest_triton.tracing.asked import Asked
from pytest_triton.tracing.files import TraceFile
from pytest_triton.tracing.stamps import Tensor, Trace

#: Activities of the level TENSORS. Source: Triton user guide, trace.md.
INPUT, OUTPUT = "TENSOR_QUEUE_INPUT", "TENSOR_BACKEND_OUTPUT"
#: Tensors of the ensemble's steps, and its own outputs, in the order in which they are chained.
_IN, _OUT, _CHAINED = ("INPUT0", "INPUT1"), ("OUTPUT0", "OUTPUT1"), ("SUM", "DIFFERENCE")
_SHOWN = 40


def tensor_flaws(files: Sequence[TraceFile], asked: Sequence[Asked]) -> list[str]:
    """How the tensors of traces differ from what clients sent and got.

    Each step of the ensemble gets what the one before gave, the first what the client sent.
    """
    traces = [trace for file in files for trace in file.traces]
    tops = {trace.request_id: trace for trace in traces if not trace.parent}
    said = []
    for each in asked:
        top = tops.get(each.id)
        if top is None:
            continue  # it has no trace: said elsewhere
        found = _differing(top, INPUT, each.inputs) + _differing(top, OUTPUT, each.outputs)
        steps = sorted(
            (trace for trace in traces if trace.parent == top.id),
            key=lambda trace: trace.times.get("REQUEST_START", 0),
        )
        if steps:
            through = [
                _data(step, what, names)
                for step in steps
                for what, names in ((INPUT, _IN), (OUTPUT, _OUT))
            ]
            found += _broken_chain([_data(top, INPUT, _IN), *through, _data(top, OUTPUT, _CHAINED)])
        said += [f"the trace of {each} {text}" for text in found]
    return said


def _data(trace: Trace, what: str, names: Sequence[str]) -> list[str]:
    """The values of tensors, in the order of their names; "" for one that is not there."""
    found = {tensor.name: tensor.data for tensor in trace.tensors if tensor.what == what}
    return [found.get(name, "") for name in names]


def _broken_chain(told: Sequence[list[str]]) -> list[str]:
    """Of a request and its steps what was given and what was taken, in turn."""
    places = [*(f"in front of step {at}" for at in range(1, len(told) // 2)), "behind its steps"]
    return [
        f"has other tensors {place}"
        for place, given, taken in zip(places, told[::2], told[1::2], strict=True)
        if given != taken
    ]


def _differing(trace: Trace, what: str, wanted: Mapping[str, Any]) -> list[str]:
    found = [tensor for tensor in trace.tensors if tensor.what == what]
    names = sorted(tensor.name for tensor in found)
    if names != sorted(wanted):
        return [f"has {what} of {names}, not of {sorted(wanted)}"]
    return [text for tensor in found if (text := _differs(tensor, wanted[tensor.name]))]


def _differs(tensor: Tensor, wanted: np.ndarray[Any, Any]) -> str:
    shape = ",".join(map(str, wanted.shape))
    values = ",".join(map(str, wanted.reshape(-1).tolist()))
    for key, told, right in (
        ("type", tensor.datatype, "INT32"), ("shape", tensor.shape, shape),
        ("data", tensor.data, values),
    ):  # fmt: skip
        if told != right:
            return (
                f"has {tensor.what} {tensor.name} with {key} {told[:_SHOWN]}, not {right[:_SHOWN]}"
            )
    return ""
