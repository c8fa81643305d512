"""A batch with a row that is no ordinary number: what becomes of the rows beside it."""

from __future__ import annotations

from dataclasses import replace

from pytest_triton.compare import mismatch
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.isolating import steady
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.types import InferResult, RequestFailed
from pytest_triton.subject import Subject
from pytest_triton.varying import between, float_inputs, strange


def odd_row_flaw(subject: Subject, model: str) -> str | None:
    """How an odd row shows in the rows beside it; None: it does not.

    Compared with the same batch whose middle row is ordinary: whether rows are whose they
    should be is ACC-04's question. NotAssessed where answers differ by themselves, have no row
    for each row, or no known input holds floats.
    """
    served = subject.models[model]
    distinct = subject.distinct(model, 3)
    first, last = distinct[0], distinct[-1]
    floats = float_inputs(served)
    if not set(floats) & set(first.inputs):
        raise NotAssessed(Reason.NO_INPUTS, "its known inputs have no floats")
    ordinary = between(first, distinct[len(distinct) // 2], last)
    plain = subject.answer(model, ordinary)
    plain = replace(plain, outputs=steady(served, plain.outputs))
    if text := _differs(subject.answer(model, ordinary), plain, first):
        raise NotAssessed(
            Reason.NOT_APPLICABLE, f"it answers one request in several ways (see ACC-07): {text}"
        )
    if any(value.shape[:1] != (3,) for value in plain.outputs.values()):
        raise NotAssessed(Reason.NOT_APPLICABLE, "an output has no row for each row")
    for what, middle in strange(first, floats):
        try:
            got = subject.http.infer(
                model, between(first, middle, last).inputs, request_id="acc-10"
            )
        except RequestFailed as error:
            if _refused(subject, model, middle):
                continue
            return f"a row of {what} is answered alone, beside others not: {error}"
        for row in (0, 2):
            if text := _differs(_row(got, row), _row(plain, row), first):
                return f"row {row} beside a row of {what}: {text}"
    return None


def _row(answer: InferResult, row: int) -> InferResult:
    outputs = {key: value[row : row + 1] for key, value in answer.outputs.items()}
    return replace(answer, outputs=outputs)


def _differs(got: InferResult, wanted: InferResult, case: InputCase) -> str | None:
    """In the outputs of ``wanted``."""
    mine = {name: value for name, value in got.outputs.items() if name in wanted.outputs}
    return mismatch(
        mine, wanted.outputs, datatypes=wanted.datatypes, rtol=case.rtol, atol=case.atol
    )


def _refused(subject: Subject, model: str, case: InputCase) -> bool:
    """Whether a request is refused for itself."""
    try:
        subject.http.infer(model, case.inputs)
    except RequestFailed:
        return True
    return False
