"""Stage 03: lengths, padding, and tensors of many megabytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pytest_triton.compare import mismatch
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.evidence import Evidence
from pytest_triton.exactly import altered
from pytest_triton.export.oracle import ReferenceRefused
from pytest_triton.honest import undeclared
from pytest_triton.padding import length_of, longest, padding_problem
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.codec import as_tensor
from pytest_triton.probe_set import TYPES
from pytest_triton.sharing import exchange, told_by_json
from pytest_triton.subject import Subject
from pytest_triton.varying import masked, shortened, variable_axis

#: Bytes of a large tensor: 64 MB, which newer releases still take by default.
LARGE = 64_000_000
#: Seconds for one of them, there and back.
SLOWEST = 60.0


@pytest.mark.clause("ACC-08")
def test_padding_is_hidden(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.unary.items():
        tensors = masked(model)
        if tensors is None:
            continue
        with triton_evidence.case(name):
            text = padding_problem(triton_subject, name, tensors)
            assert not text, text
    triton_evidence.need("model with a mask of variable length beside integers of the same dims")


@pytest.mark.clause("ACC-09")
def test_lengths(triton_subject: Subject, triton_evidence: Evidence) -> None:
    tried = 0
    for name, model in triton_subject.unary.items():
        found = variable_axis(model)
        if found is None:
            continue
        with triton_evidence.case(name):
            whole = longest(triton_subject, name, *found)
            _no_length_besides(whole, *found)
            cases = list(shortened(whole, *found))
            answered = sum(_one_length(triton_subject, name, case) for case in cases)
            if not answered:
                raise NotAssessed(
                    Reason.NO_INPUTS,
                    f"it refuses {whole.provenance} inputs of every length: give "
                    "--triton-inputs FILE",
                )
            tried += answered
    triton_evidence.need("model with one variable dimension")
    triton_evidence.measure("lengths", tried, "requests")


def _no_length_besides(case: InputCase, axis: int, names: tuple[str, ...]) -> None:
    """NotAssessed where another input may say how long the request is."""
    length = max(length_of(case, name, axis) for name in names)
    for name, value in case.inputs.items():
        array = as_tensor(value).array
        if name not in names and array.dtype.kind in "iu" and (array == length).any():
            raise NotAssessed(
                Reason.NO_INPUTS, f"input {name!r} may say the length: a cut would contradict it"
            )


def _one_length(subject: Subject, name: str, case: InputCase) -> bool:
    """Judge the answer to one length; False: the model, or its reference, is not made for it."""
    version = subject.models[name].versions[-1]
    try:
        wanted = subject.reference(name, version, case, files=True)
    except ReferenceRefused:
        return False
    except NotAssessed as hole:
        if hole.code is Reason.NO_INPUTS:
            return False
        raise
    # Without a reference nobody knows whether the model is made for this length.
    asked = case if wanted is not None else replace(case, provenance="generated")
    try:
        answer = subject.answer(name, asked, version=version)
    except NotAssessed:
        return False
    otherwise = undeclared(answer, subject.metadata(name)["outputs"])
    assert not otherwise, f"{case.name}: {otherwise}"
    if wanted is not None:
        rtol, atol = subject.tolerances(case, wanted)
        text = mismatch(answer.outputs, wanted, datatypes=answer.datatypes, rtol=rtol, atol=atol)
        assert not text, f"{case.name}: {text}"
    return True


@pytest.mark.clause("ACC-11")
def test_large(triton_probes: Subject, triton_evidence: Evidence) -> None:
    random = np.random.default_rng(triton_probes.settings.seed)
    sent = {"IN_FP32": random.standard_normal(LARGE // 4, dtype=np.float32)}
    wanted = {"OUT_FP32": sent["IN_FP32"]}
    ways = {"binary data": triton_probes.http}
    if triton_probes.grpc is not None:
        ways["gRPC"] = triton_probes.grpc  # type: ignore[assignment]
    for way, probe in ways.items():
        with triton_evidence.case(f"{LARGE // 1_000_000} MB over {way}"):
            text = altered(probe.infer(TYPES, sent, request_id="acc-11", timeout=SLOWEST), wanted)
            assert not text, text
    if triton_probes.capability("shared_memory"):
        case = InputCase("large", sent, None, "generated", 0)
        with (
            triton_evidence.case(f"{LARGE // 1_000_000} MB through shared memory"),
            exchange(triton_probes, TYPES, case, "acc11") as made,
        ):
            problem = made.problem(told_by_json(made.post("acc-11")))
            assert not problem, problem
