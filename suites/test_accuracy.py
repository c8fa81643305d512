"""Stage 03: the answers of PyTorch models are right, honest, and each request's own."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_triton.compare import largest_difference, mismatch
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.evidence import Evidence
from pytest_triton.honest import other_batch, undeclared
from pytest_triton.probe.cases import stack
from pytest_triton.probe.types import InferResult
from pytest_triton.subject import Subject

#: Different requests for the question whether a model looks at its input.
VARIED = 4
#: The same where every output is a class or a flag.
MANY_VARIED = 64


@pytest.mark.clause("ACC-01")
def test_reference(triton_subject: Subject, triton_evidence: Evidence) -> None:
    errors: list[float] = []
    compared = 0
    asked = triton_subject.references
    for name, model in triton_subject.pytorch.items():
        for version in model.versions:
            with triton_evidence.case(name):
                for case in triton_subject.batches(name, version):
                    wanted = triton_subject.reference(
                        name, version, case, made_for=version, files=True
                    )
                    if wanted is None:
                        continue
                    answer = triton_subject.answer(name, case, version=version)
                    compared += 1
                    errors += [
                        largest_difference(answer.outputs[key], np.asarray(value))
                        for key, value in wanted.items()
                        if key in answer.outputs
                    ]
                    rtol, atol = triton_subject.tolerances(case, wanted)
                    text = mismatch(
                        answer.outputs, wanted, datatypes=answer.datatypes, rtol=rtol, atol=atol
                    )
                    told = f" (by {asked.last})"
                    assert not text, f"version {version}, batch {case.batch}: {text}{told}"
    triton_evidence.attach("references.json", {"asked": asked.used, "without": asked.missing})
    if not compared and not triton_evidence.found:
        why = "".join(f"\n{name}: {reason}" for name, reason in asked.missing.items())
        raise NotAssessed(Reason.NOT_APPLICABLE, f"no model has a reference{why}")
    triton_evidence.measure("max error", max(errors, default=0.0), "absolute")
    triton_evidence.measure("compared", compared, "answers")


@pytest.mark.clause("ACC-02")
def test_honest_metadata(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.pytorch.items():
        with triton_evidence.case(name):
            declared = triton_subject.metadata(name)["outputs"]
            for case in triton_subject.batches(name):
                answer = triton_subject.answer(name, case)
                assert not (text := undeclared(answer, declared)), text
                if model.max_batch_size:
                    assert not (text := other_batch(answer, case.batch)), text


@pytest.mark.clause("ACC-03")
def test_finite_and_varied(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name in triton_subject.pytorch:
        with triton_evidence.case(name):
            cases = triton_subject.varied(name, VARIED)
            answers = [triton_subject.answer(name, case) for case in cases]
            for answer in answers:
                for key, value in answer.outputs.items():
                    if value.dtype.kind == "f":
                        assert np.isfinite(value).all(), f"{key} has NaN or infinity"
            if len(cases) < 2:
                raise NotAssessed(Reason.NO_INPUTS, f"only {len(cases)} input is known")
            if not _all_alike(answers):
                continue
            if all(value.dtype.kind != "f" for value in answers[0].outputs.values()):
                # A class or a flag is often the same for a few inputs.
                cases = triton_subject.varied(name, MANY_VARIED)
                if not _all_alike([triton_subject.answer(name, case) for case in cases]):
                    continue
                raise NotAssessed(
                    Reason.NO_INPUTS,
                    f"{len(cases)} different inputs got the same class: give --triton-inputs FILE "
                    "with inputs whose answers differ",
                )
            raise AssertionError(f"{len(cases)} different inputs got the same answer")


def _all_alike(answers: list[InferResult]) -> bool:
    """Whether all answers are the same, bit for bit."""
    first = answers[0].outputs
    return not any(mismatch(answer.outputs, first, rtol=0, atol=0) for answer in answers[1:])


@pytest.mark.clause("ACC-04")
def test_batch_invariance(triton_subject: Subject, triton_evidence: Evidence) -> None:
    worst = 0.0
    batching = [
        name
        for name, model in triton_subject.pytorch.items()
        if model.max_batch_size > 1 and not model.stateful
    ]
    if not batching:
        raise NotAssessed(Reason.NOT_APPLICABLE, "no PyTorch model takes more than one row")
    for name in batching:
        with triton_evidence.case(name):
            most = triton_subject.models[name].max_batch_size
            singles = triton_subject.distinct(name, min(5, most))
            if len(singles) == 1:  # the only row that is known, batched with itself
                singles *= 2
            whole = stack(singles, "batched")
            batched = triton_subject.answer(name, whole)
            for index, case in enumerate(singles):
                alone = triton_subject.answer(name, case)
                for key, value in batched.outputs.items():
                    assert value.shape[:1] == (len(singles),), (
                        f"{key} has shape {list(value.shape)} for a batch of {len(singles)}"
                    )
                row = {key: value[index : index + 1] for key, value in batched.outputs.items()}
                worst = max(
                    [worst]
                    + [
                        largest_difference(row[key], value)
                        for key, value in alone.outputs.items()
                        if key in row
                    ]
                )
                rtol, atol = triton_subject.rounding(case, alone.outputs)
                text = mismatch(row, alone.outputs, datatypes=alone.datatypes, rtol=rtol, atol=atol)
                assert not text, f"row {index} of {len(singles)}, batched and alone: {text}"
    triton_evidence.measure("batched against alone", worst, "absolute")
