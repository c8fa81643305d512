"""Files of traces: read strictly, and matched with the requests that they are of."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tracing_made import asked, ensemble, trace

from pytest_triton.probe.types import MalformedAnswer
from pytest_triton.probe_set import CHAIN
from pytest_triton.tracing.files import (
    TraceFile,
    await_files,
    file_flaws,
    parts,
    read_file,
    read_traces,
)
from pytest_triton.tracing.stamps import Tensor, Trace
from pytest_triton.tracing.tensors import INPUT, OUTPUT, tensor_flaws


def entries(made: Trace) -> list[dict[str, Any]]:
    """As Triton writes them."""
    head: dict[str, Any] = {"id": made.id, "model_name": made.model, "model_version": made.version}
    head |= {"request_id": made.request_id} if made.request_id else {}
    head |= {"parent_id": made.parent} if made.parent else {}
    told = [{"id": made.id, "timestamps": [{"name": n, "ns": ns}]} for n, ns in made.stamps]
    tensors = [
        {"id": made.id, "activity": t.what,
         "tensor": {"name": t.name, "data": t.data, "shape": t.shape, "dtype": t.datatype}}
        for t in made.tensors
    ]  # fmt: skip
    return [*told[:2], head, *told[2:], *tensors]


def test_what_is_written_is_read() -> None:
    top, steps = ensemble()
    tensor = Tensor(INPUT, "A", "INT32", "1,2", "3,-4")
    made = [top, replace(steps[0], tensors=(tensor,)), steps[1]]
    assert list(read_traces(json.dumps([e for each in made for e in entries(each)]))) == made


@pytest.mark.parametrize(
    "text",
    [
        "", "[", "{}", "[[]]", "[1]", '[{"id":1}]', '[{"id":"1","timestamps":[]}]', "null",
        '[{"id":1,"timestamps":[{"name":"A","ns":-1}]}]', '[{"id":1,"timestamps":[{"name":"A"}]}]',
        '[{"id":1,"timestamps":[{"name":"A","ns":1}]}]', '[{"id":1,"activity":"A","tensor":1}]',
        '[{"id":1,"model_name":"m","model_version":1},{"id":1,"model_name":"m","model_version":1}]',
        '[{"id":1,"model_name":"m","model_version":"1"}]', "[" * 100_000,
        '[{"id":1,"model_name":"a "quoted" name","model_version":1}]', '[{"id":true}]',
        '[{"id":1,"timestamps":[{"name":"A","ns":NaN}]}]', "[" + "9" * 5000 + "]",
    ],
)  # fmt: skip
def test_what_is_no_file_of_traces_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "trace.0").write_text(text)
    with pytest.raises(MalformedAnswer, match=r"^trace\.0 is no "):
        read_file(tmp_path / "trace.0")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "trace").write_bytes(b"\xff[]")
    with pytest.raises(MalformedAnswer, match="no JSON"):
        read_file(tmp_path / "trace")


def test_the_files_of_one_setting_in_order(tmp_path: Path) -> None:
    for name in ("trace.10", "trace.2", "trace", "trace.x", "trace.2.json", "other.1"):
        (tmp_path / name).write_text("[]")
    assert [path.name for path in parts(tmp_path / "trace")] == ["trace.2", "trace.10", "trace"]
    assert len(await_files(tmp_path / "trace", 9, 0.1)) == 3


def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "trace.0"
    path.write_text("[")
    with pytest.raises(MalformedAnswer):
        await_files(tmp_path / "trace", 1, 0.1)
    later = threading.Timer(0.2, path.write_text, ("[]",))
    later.start()
    assert await_files(tmp_path / "trace", 1, 5) == [TraceFile("trace.0", ())]
    later.join()


def test_requests_are_found_in_their_files() -> None:
    two = replace(trace(2, 40), request_id="s")
    sent = [asked(), asked(id="s")]
    whole = [TraceFile("a", (trace(1, 10),)), TraceFile("b", (two,))]
    assert not file_flaws(whole, sent)
    assert [len(file.requests) for file in whole] == [1, 1]
    assert file_flaws(whole[:1], sent) == [
        "1 requests are traced, 2 were sent",
        f"request {sent[1]} has no trace",
    ]
    told = file_flaws([*whole, TraceFile("c", (replace(two, request_id="t"),))], sent)
    assert told[:2] == ["two traces have one id", "3 requests are traced, 2 were sent"]
    (told_late,) = file_flaws([TraceFile("a", (trace(1, 39), two))], sent)
    assert told_late.endswith(f"is received before {sent[0]} is answered")


def tensors(what: str, names: str, *values: int) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(what, name, "INT32", "1,1", str(value))
        for name, value in zip(names.split(), values, strict=True)
    )


def chained() -> tuple[Trace, Trace, Trace]:
    top, (one, two) = ensemble()
    ins, outs = "INPUT0 INPUT1", "OUTPUT0 OUTPUT1"
    return (
        replace(top, tensors=tensors(INPUT, ins, 1, 2) + tensors(OUTPUT, "SUM DIFFERENCE", 5, 6)),
        replace(one, tensors=tensors(INPUT, ins, 1, 2) + tensors(OUTPUT, outs, 3, 4)),
        replace(two, tensors=tensors(INPUT, ins, 3, 4) + tensors(OUTPUT, outs, 5, 6)),
    )


def values(**named: int) -> dict[str, Any]:
    return {name: np.array([[value]], np.int32) for name, value in named.items()}


def test_tensors_go_from_step_to_step() -> None:
    sent = asked(CHAIN, inputs=values(INPUT0=1, INPUT1=2), outputs=values(SUM=5, DIFFERENCE=6))
    top, one, two = chained()
    assert not tensor_flaws([TraceFile("a", (two, one, top))], [sent])
    for wrong, flaw in (
        ((replace(top, tensors=top.tensors[:2]), one, two), f"has {OUTPUT} of []"),
        ((top, replace(one, tensors=one.tensors[2:]), two), "has other tensors in front of step 1"),
        ((top, one, replace(two, tensors=two.tensors[:2])), "has other tensors behind its steps"),
        ((top, one, replace(two, tensors=one.tensors)), "has other tensors in front of step 2"),
        ((replace(top, tensors=top.tensors * 2), one, two), f"has {INPUT} of ['INPUT0', 'INPUT0'"),
    ):
        told = tensor_flaws([TraceFile("a", wrong)], [sent])
        assert flaw in "; ".join(told), (flaw, told)
    other = replace(sent, outputs=values(SUM=7, DIFFERENCE=6))
    (told_value,) = tensor_flaws([TraceFile("a", (top, one, two))], [other])
    assert told_value.endswith(f"has {OUTPUT} SUM with data 5, not 7")
