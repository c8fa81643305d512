"""Files of traces, as Triton writes them in its mode ``triton``."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_triton.probe.types import MalformedAnswer
from pytest_triton.tracing.asked import Asked
from pytest_triton.tracing.stamps import WIRE, Tensor, Trace, request_flaws

#: Bytes of one file, at most.
MAX_BYTES = 16 << 20
#: Seconds between two looks at the directory.
_STEP = 0.05


@dataclass(frozen=True, slots=True)
class TraceFile:
    """One file and its traces: of requests, each with those of its steps."""

    name: str
    traces: tuple[Trace, ...]

    @property
    def requests(self) -> list[Trace]:
        """The traces without a parent."""
        return [trace for trace in self.traces if not trace.parent]


def read_file(path: Path) -> TraceFile:
    """One file. Raises MalformedAnswer for what is no array of traces."""
    if path.stat().st_size > MAX_BYTES:
        raise MalformedAnswer(f"{path.name} has more than {MAX_BYTES >> 20} MiB")
    try:
        return TraceFile(path.name, read_traces(path.read_text("utf-8")))
    except ValueError as error:
        raise MalformedAnswer(f"{path.name} is no JSON: {error}") from None
    except (KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise MalformedAnswer(f"{path.name} is no array of traces: {error!r:.200}") from None


def read_traces(text: str) -> tuple[Trace, ...]:
    """The traces of a file, in order. Raises ValueError, KeyError or TypeError."""
    found: dict[int, dict[str, Any]] = {}
    entries = json.loads(text)
    if not isinstance(entries, list):
        raise TypeError("no array")
    for entry in entries:
        known = found.setdefault(_whole(entry["id"]), {"heads": [], "stamps": [], "tensors": []})
        if "timestamps" in entry:
            known["stamps"] += [(str(at["name"]), _whole(at["ns"])) for at in entry["timestamps"]]
        elif "activity" in entry:
            known["tensors"].append(_tensor(entry))
        else:
            known["heads"].append(entry)
    return tuple(_trace(number, known) for number, known in found.items())


def _trace(number: int, known: Mapping[str, Any]) -> Trace:
    heads = known["heads"]
    if len(heads) != 1:
        raise KeyError(f"{len(heads)} entries say which model trace {number} is of")
    head = heads[0]
    return Trace(
        number, str(head["model_name"]), _whole(head["model_version"]),
        str(head.get("request_id", "")), _whole(head.get("parent_id", 0)),
        tuple(known["stamps"]), tuple(known["tensors"]),
    )  # fmt: skip


def _tensor(entry: Mapping[str, Any]) -> Tensor:
    told = entry["tensor"]
    return Tensor(
        str(entry["activity"]), *(str(told[key]) for key in ("name", "dtype", "shape", "data"))
    )


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 64:
        raise TypeError(f"{value!r:.60} is no number")
    return value


def parts(path: Path) -> list[Path]:
    """The files that belong to ``triton,file=path``, in order: path.0, path.1, path."""
    numbered = re.compile(re.escape(path.name) + r"(?:\.(\d+))?\Z")
    found = [(numbered.match(each.name), each) for each in path.parent.iterdir()]
    kept = [(int(match[1] or 1 << 31), each) for match, each in found if match]
    return [each for _, each in sorted(kept)]


def await_files(path: Path, count: int, timeout: float) -> list[TraceFile]:
    """The files once there are so many and all can be read, or after ``timeout`` seconds.

    Raises MalformedAnswer for one that cannot be read then: it is no longer being written.
    """
    deadline = time.monotonic() + timeout
    while True:
        over = time.monotonic() > deadline
        try:
            found = [read_file(each) for each in parts(path)]
        except MalformedAnswer:
            if over:
                raise
        else:
            if over or len(found) >= count:
                return found
        time.sleep(_STEP)


def file_flaws(files: Sequence[TraceFile], asked: Sequence[Asked]) -> list[str]:
    """What is wrong with the traces of requests that were sent one after the other."""
    traces = [trace for file in files for trace in file.traces]
    tops = {trace.request_id: trace for trace in traces if not trace.parent}
    count = sum(not trace.parent for trace in traces)
    said = []
    if len({trace.id for trace in traces}) != len(traces):
        said.append("two traces have one id")
    if count != len(asked):
        said.append(f"{count} requests are traced, {len(asked)} were sent")
    before: tuple[Asked, Trace] | None = None
    for each in asked:
        top = tops.get(each.id)
        if top is None:
            said.append(f"request {each} has no trace")
            continue
        steps = sorted(
            (trace for trace in traces if trace.parent == top.id),
            key=lambda trace: trace.times.get("REQUEST_START", 0),
        )
        found = request_flaws(each, top, steps)
        if not found and before is not None and _overlap(*before, each, top):
            found.append(f"is received before {before[0]} is answered")
        said += [f"the trace of {each} {text}" for text in found]
        before = (each, top)
    return said


def _overlap(one: Asked, first: Trace, two: Asked, second: Trace) -> bool:
    """Whether a request was there before the answer to the one before, which its client had."""
    sent, read = WIRE[one.protocol][2], WIRE[two.protocol][1]
    return sent in first.times and second.times[read] < first.times[sent]
