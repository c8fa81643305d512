"""The timestamps of a traced request, and the order that they have to have.

Both ways in which Triton hands traces out carry the same ones: a :class:`Trace` is one request
to one model out of either.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_triton.probe_set import VERSION
from pytest_triton.tracing.asked import GRPC, HTTP, Asked

#: Of a request to a model, and of its execution. Source: Triton user guide, trace.md.
REQUEST = ("REQUEST_START", "QUEUE_START", "REQUEST_END")
COMPUTE = ("COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END")
ORDER = (*REQUEST[:2], *COMPUTE, REQUEST[2])
#: Of a front end: the request is read, its answer is there, and it is written.
ANSWERED = "INFER_RESPONSE_COMPLETE"
WIRE: Mapping[str, tuple[str, str, str, str]] = {
    HTTP: ("HTTP_RECV_START", "HTTP_RECV_END", "HTTP_SEND_START", "HTTP_SEND_END"),
    GRPC: ("GRPC_WAITREAD_START", "GRPC_WAITREAD_END", "GRPC_SEND_START", "GRPC_SEND_END"),
}
#: Statistic -> the timestamps between which it counts. Source: extension_statistics.md.
STAGES: Mapping[str, tuple[str, str]] = {
    "queue": ("QUEUE_START", "COMPUTE_START"),
    "compute_input": ("COMPUTE_START", "COMPUTE_INPUT_END"),
    "compute_infer": ("COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START"),
    "compute_output": ("COMPUTE_OUTPUT_START", "COMPUTE_END"),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a trace, as its file has it: ``what`` it is, values joined by commas."""

    what: str
    name: str
    datatype: str
    shape: str
    data: str


@dataclass(frozen=True, slots=True)
class Trace:
    """One request to one model: Triton's number for it, and its timestamps in nanoseconds.

    ``parent`` is the number of the ensemble's trace, 0 without one.
    """

    id: int
    model: str
    version: int
    request_id: str
    parent: int
    stamps: tuple[tuple[str, int], ...]
    tensors: tuple[Tensor, ...] = ()

    @property
    def times(self) -> dict[str, int]:
        """Name -> nanoseconds."""
        return dict(self.stamps)

    def lasts(self, first: str, last: str) -> int:
        """Nanoseconds from one timestamp to another. KeyError without them."""
        times = self.times
        return times[last] - times[first]


def request_flaws(
    asked: Asked, top: Trace, steps: Sequence[Trace], *, named: bool = True
) -> list[str]:
    """What is wrong with the trace of a request; ``named``: it carries the request's id."""
    said = [f"is of model {top.model!r}"] if top.model != asked.model else []
    said += _common(asked, top, named)
    if top.parent:
        said.append(f"has parent {top.parent}, though it has none")
    wire = WIRE[asked.protocol]
    names = (*(REQUEST if asked.steps else ORDER), *wire, ANSWERED)
    if missing := _counted(top, names):
        return [*said, *missing, *_step_flaws(asked, top, steps, named)]
    times = top.times
    own = [name for name in ORDER if name in names]
    pairs = [
        *itertools.pairwise(own),
        (wire[0], wire[1]),
        (wire[1], REQUEST[0]),
        # A model may answer before its execution ends, not before it begins.
        ("QUEUE_START" if asked.steps else "COMPUTE_INPUT_END", ANSWERED),
        (ANSWERED, wire[2]),
        (wire[2], wire[3]),
    ]
    said += _disorder(times, pairs)
    # From the first byte of a request to the first of its answer: its client waits meanwhile.
    waited, took = asked.answered - asked.sent, times[wire[2]] - times[wire[1]]
    if took > waited:
        said.append(f"takes {_ms(took)} until {wire[2]}, its client waited {_ms(waited)}")
    if asked.busy and top.lasts(*STAGES["compute_infer"]) < asked.busy:
        slept = _ms(top.lasts(*STAGES["compute_infer"]))
        said.append(f"was executed for {slept}, though the model sleeps {_ms(asked.busy)}")
    return said + _step_flaws(asked, top, steps, named)


def _common(asked: Asked, trace: Trace, named: bool) -> list[str]:
    said = []
    if trace.version != int(VERSION):
        said.append(f"is of version {trace.version}, served is {VERSION}")
    if named and trace.request_id != asked.id:
        said.append(f"has the request id {trace.request_id!r}")
    return said


def _step_flaws(asked: Asked, top: Trace, steps: Sequence[Trace], named: bool) -> list[str]:
    """What is wrong with the traces of an ensemble's steps."""
    models = tuple(step.model for step in steps)
    if models != asked.steps:
        return [f"has the steps {list(models)}, executed are {list(asked.steps)}"]
    said: list[str] = []
    before: Trace | None = None
    for at, step in enumerate(steps, 1):
        found = _common(asked, step, named)
        if step.parent != top.id:
            found.append(f"has parent {step.parent}, the ensemble is {top.id}")
        found += _counted(step, ORDER)
        if not found:
            found += _disorder(step.times, [*itertools.pairwise(ORDER)])
            found += _outside(top, step, before)
            before = step
        said += [f"step {at}: {text}" for text in found]
    return said


def _outside(top: Trace, step: Trace, before: Trace | None) -> list[str]:
    """How a step is not inside its ensemble, or not behind the step before."""
    said, times, around = [], step.times, top.times
    if "QUEUE_START" in around and times["REQUEST_START"] < around["QUEUE_START"]:
        said.append("starts before its ensemble")
    if "REQUEST_END" in around and times["REQUEST_END"] > around["REQUEST_END"]:
        said.append("ends after its ensemble")
    # It has what the one before answered.
    if before is not None and times["REQUEST_START"] < before.times["COMPUTE_INPUT_END"]:
        said.append("starts before the step before was executed")
    return said


def _counted(trace: Trace, names: Sequence[str]) -> list[str]:
    counts = Counter(name for name, _ in trace.stamps)
    return [
        f"has {counts[name]} times {name}" if counts[name] else f"has no {name}"
        for name in names
        if counts[name] != 1
    ]


def _disorder(times: Mapping[str, int], pairs: Sequence[tuple[str, str]]) -> list[str]:
    return [
        f"has {second} {_ms(times[first] - times[second])} before {first}"
        for first, second in pairs
        if times[second] < times[first]
    ]


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.3f} ms"
