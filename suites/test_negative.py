"""Stage 03: what is wrong is refused, with the right status and a reason that helps."""

from __future__ import annotations

import pytest

from pytest_triton.asking import json_request
from pytest_triton.evidence import Evidence
from pytest_triton.probe.http import model_path
from pytest_triton.probe_set import ADDSUB, TYPES
from pytest_triton.subject import Subject
from pytest_triton.wrong import (
    BEYOND,
    OTHER_VALUES,
    SAMPLE,
    altered,
    disagreeing,
    judge_beyond,
    of_several,
    other_batch_dimension,
    other_kinds,
    refused,
    says,
    sized,
    unknown_datatype,
)


@pytest.mark.clause("NEG-02")
def test_no_inputs(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, _ in triton_subject.json_samples():
        with triton_evidence.case(name):
            wrongs: tuple[dict[str, object], ...] = (
                {}, {"inputs": None}, {"inputs": "x"}, {"inputs": {}},
            )  # fmt: skip
            for wrong in wrongs:
                reason = refused(triton_subject, name, {"id": "neg-02", **wrong}, 400, 500)
                assert not says(reason, "inputs"), f"{wrong}: it does not name them: {reason!r}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("NEG-03")
def test_input_lacks_a_part(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            for key in ("name", "shape", "datatype"):
                request = altered(case, "neg-03", **{key: None})
                reason = refused(triton_subject, name, request, 400, 500)
                assert not says(reason, key), f"the error does not name {key!r}: {reason!r}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("NEG-04")
def test_no_data(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            reason = refused(triton_subject, name, altered(case, "neg-04", data=None), 400)
            assert not says(reason, "data"), f"the error does not name 'data': {reason!r}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("NEG-06")
def test_input_too_many(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            request = json_request(case, request_id="neg-06")
            request["inputs"].append({**request["inputs"][0], "name": "no_such_input"})
            reason = refused(triton_subject, name, request, 400)
            assert not says(reason, name), f"the error does not name the model: {reason!r}"
            counted = not says(reason, f"{len(request['inputs'])} inputs")
            assert counted or not says(reason, "no_such_input"), (
                f"the error neither counts the inputs nor names the one too many: {reason!r}"
            )
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("NEG-07")
def test_input_twice(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            request = json_request(case, request_id="neg-07")
            first = request["inputs"][0]
            request["inputs"].append(dict(first))
            reason = refused(triton_subject, name, request, 400)
            assert not says(reason, first["name"]), f"it does not name the input: {reason!r}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("NEG-09")
def test_unknown_datatype(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            request = altered(case, "neg-09", datatype="NOPE")
            reason = refused(triton_subject, name, request, 400)
            told = not says(reason, request["inputs"][0]["name"])
            assert told, f"the error does not name the input: {reason!r}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("NEG-27")
def test_unknown_datatype_grpc(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            first = json_request(case)["inputs"][0]
            reason = unknown_datatype(triton_subject, name, case, "neg-27")
            lacking = says(reason, first["name"], first["datatype"])
            assert not lacking, f"the error does not name {lacking}: {reason!r}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("NEG-11")
def test_batch_dimension(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            batches = triton_subject.models[name].max_batch_size > 0
            request = other_batch_dimension(case, "neg-11", batches=batches)
            reason = refused(triton_subject, name, request, 400)
            assert not says(reason, name), f"the error does not name the model: {reason!r}"
            assert not says(reason, "expected") or "<=" in reason, (
                f"the error says neither the limit nor what was expected: {reason!r}"
            )
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("NEG-13")
def test_rows_disagree(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in of_several(triton_subject, batching=True):
        with triton_evidence.case(name):
            reason = refused(triton_subject, name, disagreeing(case, "neg-13"), 400)
            lacking = says(reason, name, "batch")
            assert not lacking, f"the error does not say {lacking}: {reason!r}"
    triton_evidence.need("batching model with several inputs that takes JSON")


@pytest.mark.clause("NEG-14")
def test_elements(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        if not sized(case):
            continue
        with triton_evidence.case(name):
            data = json_request(case)["inputs"][0]["data"]
            for what, wrong in (("one too few", data[:-1]), ("one too many", [*data, data[0]])):
                request = altered(case, "neg-14", data=wrong)
                reason = refused(triton_subject, name, request, 400, 500)
                lacking = says(reason, "shape", "data")
                assert not lacking, f"{what}: the error does not say {lacking}: {reason!r}"
    triton_evidence.need(f"{SAMPLE}, the first one of numbers")


@pytest.mark.clause("NEG-15")
def test_dimensions(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            shape = json_request(case)["inputs"][0]["shape"]
            for wrong in ([-1, *shape[1:]], [-dim for dim in shape], [*shape[:-1], 1.5]):
                request = altered(case, "neg-15", shape=wrong)
                reason = refused(triton_subject, name, request, 400, 500)
                assert not says(reason, "shape"), f"{wrong}: it does not say 'shape': {reason!r}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("NEG-16")
def test_no_rows(triton_probes: Subject) -> None:
    # A model of ours: no rows for one that has reshape end Triton 2.51.
    tensors = [
        {"name": name, "shape": [0, 16], "datatype": "INT32", "data": []}
        for name in ("INPUT0", "INPUT1")
    ]
    reason = refused(triton_probes, ADDSUB, {"id": "neg-16", "inputs": tensors}, 400)
    named = [one for one in ("INPUT0", "INPUT1", "batch") if not says(reason, one)]
    assert named, f"the error names neither an input nor the batch: {reason!r}"


@pytest.mark.clause("NEG-17")
def test_elements_of_another_kind(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            first = json_request(case)["inputs"][0]
            for wrong in other_kinds(first["datatype"]):
                request = altered(case, "neg-17", data=[wrong, *first["data"][1:]])
                reason = refused(triton_subject, name, request, 400, 500)
                assert not says(reason, "parse"), f"{wrong!r}: no word of parsing: {reason!r}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("NEG-28")
def test_no_conversion(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for datatype, value in OTHER_VALUES:
        with triton_evidence.case(f"{value!r} for {datatype}"):
            tensor = {"name": f"IN_{datatype}", "shape": [1], "datatype": datatype, "data": [value]}
            request = {"id": "neg-28", "inputs": [tensor]}
            reason = refused(triton_probes, TYPES, request, 400, 500)
            assert not says(reason, "parse"), f"no word of parsing: {reason!r}"


@pytest.mark.clause("NEG-18")
def test_integers_out_of_range(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for datatype, values in BEYOND.items():
        with triton_evidence.case(datatype):
            for value in values:
                tensor = {"name": f"IN_{datatype}", "shape": [1], "datatype": datatype}
                request = {"id": "neg-18", "inputs": [{**tensor, "data": [value]}]}
                answer = triton_probes.post(f"{model_path(TYPES)}/infer", request)
                wrong = judge_beyond(answer, datatype, value)
                assert not wrong, wrong
