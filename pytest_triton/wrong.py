"""Requests that are wrong in one way, and what a refusal has to be: a status, and a reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pytest_triton.asking import json_request
from pytest_triton.errors import SubjectFault
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.codec import as_tensor
from pytest_triton.probe.http import model_path
from pytest_triton.probe.types import HttpAnswer, RequestFailed
from pytest_triton.subject import Subject

#: What a clause needs that asks the two samples of a subject.
SAMPLE = "model with inputs whose tensors travel as JSON"
#: Triton puts the request's id before its reasons: it must not be taken for one.
_ID = re.compile(r"\[request id: [^\]]*\] ")
#: A value of JSON that no element of the data type may have.
_OTHER_KIND: dict[str, Any] = {"BYTES": 7, "BOOL": 1}


def reason_of(answer: HttpAnswer, *statuses: int) -> str:
    """The reason of a refusal that has one of the statuses, without the request's id.

    Raises SubjectFault for another status, and for a body that is no JSON with ``error``.
    """
    if answer.status not in statuses:
        wanted = " or ".join(map(str, statuses))
        raise SubjectFault(
            f"answers {answer.status} ({answer.text[:200]!r}), expected {wanted} with a reason"
            f"{answer.speaker}"
        )
    if not answer.error:
        raise SubjectFault(
            f"the body is no JSON with 'error': {answer.text[:200]!r}{answer.speaker}"
        )
    return _ID.sub("", answer.error)


def refused(subject: Subject, model: str, request: Any, *statuses: int) -> str:
    """POST infer with a document that has to be refused; the reason. Raises SubjectFault."""
    return reason_of(subject.post(f"{model_path(model)}/infer", request), *statuses)


def altered(case: InputCase, request_id: str, **changes: Any) -> dict[str, Any]:
    """The JSON request of a case with other parts in its first input; None takes a part away."""
    request = json_request(case, request_id=request_id)
    first = request["inputs"][0]
    for key, value in changes.items():
        if value is None:
            del first[key]
        else:
            first[key] = value
    return request


def other_batch_dimension(case: InputCase, request_id: str, *, batches: bool) -> dict[str, Any]:
    """The JSON request without the batch dimension where the model has one, else with one."""
    request = json_request(case, request_id=request_id)
    for tensor in request["inputs"]:
        tensor["shape"] = tensor["shape"][1:] if batches else [1, *tensor["shape"]]
    return request


def sized(case: InputCase) -> bool:
    """Whether the first input has elements of a fixed size: it is not BYTES, and not empty."""
    tensor = as_tensor(next(iter(case.inputs.values())))
    return tensor.datatype != "BYTES" and tensor.array.size > 0


def other_kinds(datatype: str) -> tuple[Any, ...]:
    """Values of JSON that are none of a data type: text for a number, a number for a text."""
    return (_OTHER_KIND.get(datatype, "x"), None, {})


def of_several(subject: Subject, *, batching: bool = False) -> list[tuple[str, InputCase]]:
    """The smallest model that takes JSON and has two required inputs or more, if there is one.

    ``batching``: and takes two rows at least.
    """
    found = []
    for name, case in subject.json_cases():
        rows = subject.models[name].max_batch_size
        if (
            len(case.inputs) > 1
            and subject.required_inputs(name) > 1
            and (rows > 1 or not batching)
        ):
            size = sum(len(tensor["data"]) for tensor in json_request(case)["inputs"])
            found.append((size, name, case))
    return [(name, case) for _, name, case in sorted(found, key=lambda one: one[:2])[:1]]


def disagreeing(case: InputCase, request_id: str) -> dict[str, Any]:
    """The request with one row in every input but the first, which has two."""
    request = json_request(case, request_id=request_id)
    first = request["inputs"][0]
    first["shape"] = [2, *first["shape"][1:]]
    first["data"] = first["data"] * 2
    return request


def says(reason: str, *words: str) -> list[str]:
    """The words that a reason lacks; numbers and names as a whole."""
    return [
        word
        for word in words
        if not re.search(rf"(?<![\w]){re.escape(word)}(?![\w])", reason, re.IGNORECASE)
    ]


def refuses_twice(subject: Subject, model: str, request: Any) -> bool:
    """Whether an output that is listed twice is to be refused; an unknown release decides."""
    if subject.release is not None:
        return subject.release >= "26.05"
    return subject.post(f"{model_path(model)}/infer", request).status == 400


def refused_grpc(ask: Callable[[], Any], status: str) -> str:
    """The text of a gRPC call that has to end with a status. Raises SubjectFault."""
    try:
        answer = ask()
    except RequestFailed as error:
        if error.status != status:
            raise SubjectFault(f"status {error}, expected {status}") from None
        return _ID.sub("", error.message)
    raise SubjectFault(f"answers {answer!r:.80}, expected {status}")


def unknown_datatype(subject: Subject, model: str, case: InputCase, request_id: str) -> str:
    """Infer over gRPC with a type that does not exist in the first input; the refusal's text."""
    from pytest_triton.probe.protobuf import infer_request

    assert subject.grpc is not None
    grpc, request = subject.grpc, infer_request(model, case.inputs, request_id=request_id)
    request.inputs[0].datatype = "NOPE"
    return refused_grpc(lambda: grpc.call("ModelInfer", request), "INVALID_ARGUMENT")


def wrapped(value: int, bits: int, signed: bool) -> int:
    """An integer cut to the width of a type, as two's complement does it."""
    low = value & ((1 << bits) - 1)
    return low - (1 << bits) if signed and low >> (bits - 1) else low


#: Data types, and values of JSON that a lenient reader would turn into one of theirs.
OTHER_VALUES: tuple[tuple[str, Any], ...] = (
    ("INT32", 1.5),
    ("INT64", 1.0),
    ("UINT8", -1),
    ("UINT64", -1),
    ("BOOL", 1),
    ("FP32", True),
    ("FP32", "1.5"),
    ("BYTES", 7),
)
#: Data type -> integers that it cannot hold.
BEYOND: Mapping[str, tuple[int, ...]] = {
    "INT8": (128, -129),
    "INT16": (32768, -40000),
    "INT32": (2**31, 2**40 + 7),
    "UINT8": (256, 259),
    "UINT16": (65536 + 5,),
    "UINT32": (2**32 + 9,),
    "INT64": (2**63, -(2**63) - 1),
    "UINT64": (2**64,),
}


def judge_beyond(answer: HttpAnswer, datatype: str, value: int) -> str | None:
    """What is wrong with the answer to an integer that does not fit; None: nothing.

    Refused with a reason is right; up to 64 bits, wrapped to the type's width is right too.
    """
    if answer.status != 200:
        reason_of(answer, 400, 500)
        return None
    bits, signed = int(datatype.lstrip("UINT")), datatype.startswith("I")
    if bits == 64:
        return f"{datatype} {value} is beyond 64 bits and was accepted"
    document = answer.json()
    outputs = document.get("outputs") if isinstance(document, dict) else None
    found = [one.get("data") for one in outputs or () if isinstance(one, dict)]
    wanted = wrapped(value, bits, signed)
    if found != [[wanted]]:
        return f"{datatype} {value} gives {found!r:.80}, neither refused nor [[{wanted}]]"
    return None
