"""Stage 01 and 03: inference over HTTP and gRPC; every answer is read, value by value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pytest_triton.asking import (
    json_arrays,
    json_outputs,
    json_request,
    one_by_one,
    parse_class,
    post_json,
    round_robin,
)
from pytest_triton.compare import mismatch
from pytest_triton.evidence import Evidence
from pytest_triton.messages import foreign
from pytest_triton.probe.codec import as_tensor, element_count
from pytest_triton.subject import Subject

CALLS = 100


@pytest.mark.clause("INF-01")
def test_json(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_cases():
        with triton_evidence.case(name):
            request = json_request(case, request_id=f"inf-01 {name}")
            answer = post_json(triton_subject, name, request, case)
            assert answer.get("model_name") == name, f"model_name {answer.get('model_name')!r}"
            versions = triton_subject.models[name].versions
            assert answer.get("model_version") == versions[-1], (
                f"model_version {answer.get('model_version')!r}, ready are {versions}"
            )
            assert answer.get("id") == request["id"], f"id {answer.get('id')!r} was not ours"
            declared = {t["name"]: t["datatype"] for t in triton_subject.metadata(name)["outputs"]}
            found = {t["name"]: t["datatype"] for t in json_outputs(answer)}
            assert found == declared, f"outputs {found}, declared are {declared}"
            for tensor in json_outputs(answer):
                element_count(tensor["shape"])
                assert len(tensor["data"]) == math.prod(tensor["shape"]), (
                    f"{tensor['name']}: {len(tensor['data'])} data for shape {tensor['shape']}"
                )
            binary = triton_subject.answer(name, case)
            text = mismatch(json_arrays(answer), binary.outputs, datatypes=binary.datatypes)
            assert not text, f"JSON and binary differ: {text}"


@pytest.mark.clause("INF-02")
def test_nested_data(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_cases():
        with triton_evidence.case(name):
            flat = post_json(triton_subject, name, json_request(case), case)
            nested = post_json(triton_subject, name, json_request(case, nested=True), case)
            text = mismatch(json_arrays(nested), json_arrays(flat))
            assert not text, f"nested data: {text}"


@pytest.mark.clause("INF-03")
def test_selected_outputs(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.unary_cases():
        with triton_evidence.case(name):
            everything = triton_subject.answer(name, case)
            declared = [tensor["name"] for tensor in triton_subject.metadata(name)["outputs"]]
            assert sorted(everything.outputs) == sorted(declared), (
                f"without a list: outputs {sorted(everything.outputs)}, declared are {declared}"
            )
            for output in declared:
                one = triton_subject.answer(name, case, outputs=[output])
                assert list(one.outputs) == [output], f"{output} asked, got {list(one.outputs)}"
                text = mismatch(one.outputs, {output: everything[output]})
                assert not text, f"alone and among others: {text}"


@pytest.mark.clause("INF-08")
def test_named_version(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.unary_cases():
        with triton_evidence.case(name):
            for version in triton_subject.models[name].versions:
                answer = triton_subject.answer(name, case, version=version)
                assert answer.model_name == name, f"{answer.model_name} answered"
                assert answer.model_version == version, (
                    f"version {version} was asked, {answer.model_version} answered"
                )


@pytest.mark.clause("INF-20")
def test_a_hundred_calls(triton_subject: Subject, triton_evidence: Evidence) -> None:
    first: dict[str, dict[str, Any]] = {}
    for number, (name, case) in enumerate(round_robin(triton_subject.unary_cases(), CALLS)):
        identity = f"call-{number}-{triton_subject.settings.seed}"
        protocol = triton_subject.grpc if number % 2 else triton_subject.http
        answer = triton_subject.answer(
            name, case, protocol=protocol or triton_subject.http, request_id=identity
        )
        assert answer.id == identity, f"call {number}: id {answer.id!r}, sent {identity!r}"
        text = mismatch(answer.outputs, first.setdefault(name, answer.outputs))
        assert not text, f"call {number} of {name}: {text}"
    triton_evidence.measure("calls", CALLS, "calls")


@pytest.mark.clause("BIN-02")
def test_binary(triton_subject: Subject, triton_evidence: Evidence) -> None:
    as_json = {name for name, _ in triton_subject.json_cases()}
    for name, case in triton_subject.unary_cases():
        with triton_evidence.case(name):
            everything = triton_subject.answer(name, case)
            listed = triton_subject.answer(name, case, outputs=sorted(everything.outputs))
            text = mismatch(listed.outputs, everything.outputs)
            assert not text, f"outputs listed and not: {text}"
            assert listed.model_name == name, f"{listed.model_name!r} answered"
            for output, datatype in listed.datatypes.items():
                size = listed.raw_sizes.get(output)
                assert size is not None, f"{output} did not come in binary"
                if datatype != "BYTES":
                    assert size == listed[output].nbytes, (
                        f"{output}: {size} bytes for {list(listed[output].shape)} of {datatype}"
                    )
            if name in as_json:
                answer = post_json(triton_subject, name, json_request(case), case)
                text = mismatch(everything.outputs, json_arrays(answer))
                assert not text, f"binary and JSON differ: {text}"
            if not case.expected:
                continue
            text = mismatch(listed.outputs, case.expected, rtol=case.rtol, atol=case.atol)
            assert not text, f"against the expected outputs: {text}"


@pytest.mark.clause("GRP-01")
def test_typed_contents(triton_subject: Subject, triton_evidence: Evidence) -> None:
    grpc = triton_subject.grpc
    for name, case in triton_subject.json_cases():
        with triton_evidence.case(name):
            raw = triton_subject.answer(name, case, protocol=grpc)
            typed = triton_subject.answer(name, case, protocol=grpc, raw=False)
            text = mismatch(typed.outputs, raw.outputs)
            assert not text, f"typed contents: {text}"


@pytest.mark.clause("GRP-09")
def test_http_equals_grpc(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.unary_cases():
        with triton_evidence.case(name):
            over_http = triton_subject.answer(name, case, request_id="grp-09")
            over_grpc = triton_subject.answer(
                name, case, protocol=triton_subject.grpc, request_id="grp-09"
            )
            for field in ("model_name", "model_version", "id", "datatypes"):
                one, two = getattr(over_http, field), getattr(over_grpc, field)
                assert one == two, f"{field}: {one} over HTTP, {two} over gRPC"
            text = mismatch(over_grpc.outputs, over_http.outputs, rtol=0, atol=0)
            assert not text, f"over gRPC: {text}"


@pytest.mark.clause("CLS-01")
def test_classification(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.unary_cases():
        for output in triton_subject.models[name].labelled_outputs:
            with triton_evidence.case(name):
                plain = triton_subject.answer(name, case).outputs.get(output)
                assert plain is not None, f"no output {output}"
                rows_asked = case.batch or 1
                assert plain.size // rows_asked * rows_asked == plain.size > 0, (
                    f"{output} has shape {list(plain.shape)} for {rows_asked} rows"
                )
                assert plain.dtype.kind in "iuf", f"{output} has type {plain.dtype}: no scores"
                scores = plain.reshape(rows_asked, -1)
                count = min(3, scores.shape[1])
                got = triton_subject.answer(name, case, outputs=[output], classification=count)
                told = got.datatypes.get(output)
                assert told == "BYTES", f"datatype {told}"
                found = got.outputs.get(output)
                assert found is not None, f"{output} came without data"
                assert found.size == len(scores) * count, (
                    f"{found.size} classes for {len(scores)} rows, {count} each were asked"
                )
                rows = found.reshape(len(scores), count)
                labels = triton_subject.labels(name, output)
                for row, values in zip(rows, scores, strict=True):
                    parsed = [parse_class(text, len(values)) for text in row]
                    indices = [index for _, index, _ in parsed]
                    assert len(set(indices)) == count, f"classes {indices}: one comes twice"
                    best = sorted(range(len(values)), key=lambda at: -values[at])[:count]
                    assert [values[at] for at in indices] == [values[at] for at in best], (
                        f"classes {indices}, the highest values are at {best}"
                    )
                    for value, at, label in parsed:
                        assert math.isclose(value, values[at], rel_tol=1e-3, abs_tol=1e-5), (
                            f"value {value} for class {at}, whose output is {values[at]:.6f}"
                        )
                        if labels is not None:
                            wanted = labels[at] if at < len(labels) else ""
                            assert label == wanted, (
                                f"class {at} is labelled {label!r}, not {wanted!r}"
                            )
                        else:
                            assert label, f"class {at} has no label"
    triton_evidence.need("labelled output of a model that answers one request with one response")


@pytest.mark.clause("ENS-01")
def test_ensemble(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.unary.items():
        if not model.is_ensemble:
            continue
        with triton_evidence.case(name):
            case = triton_subject.case(name)
            whole = triton_subject.answer(name, case)
            tensors = one_by_one(triton_subject, model, case)
            parts = {key: as_tensor(tensors[key]).array for key in whole.outputs if key in tensors}
            text = mismatch(whole.outputs, parts, datatypes=whole.datatypes)
            assert not text, f"against its steps one by one: {text}"
    triton_evidence.need("ensemble that answers one request with one response")


@pytest.mark.clause("DEC-01")
def test_decoupled_unary(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, model in triton_subject.models.items():
        if not model.decoupled:
            continue
        with triton_evidence.case(name):
            answer = triton_subject.http_infer(name, triton_subject.case(name))
            expected = triton_subject.error_status(501)
            assert answer.status == expected, (
                f"unary inference answers {answer.status}{answer.speaker}"
            )
            assert "decoupled" in (answer.error or ""), (
                f"no reason: {answer.text[:200]!r}{answer.speaker}"
            )


@pytest.mark.clause("DEC-02")
def test_decoupled_stream(triton_subject: Subject, triton_evidence: Evidence) -> None:
    grpc = triton_subject.grpc
    assert grpc is not None
    for name, model in triton_subject.models.items():
        if not model.decoupled:
            continue
        with triton_evidence.case(name):
            case = triton_subject.case(name)
            asked = {"triton_enable_empty_final_response": True}
            responses = list(
                grpc.stream_infer(name, case.inputs, parameters=asked, request_id="dec-02")
            )
            assert responses, "the stream ended without a response"
            final = [bool(r.parameters.get("triton_final_response")) for r in responses]
            assert final == [False] * (len(final) - 1) + [True], f"final marks {final}"
            assert all(r.id == "dec-02" for r in responses), "a response has another id"
            versions: dict[str, str] = {}
            for at, response in enumerate(responses):
                told = foreign(response, name, "", versions)
                assert not told, f"response {at} of {len(responses)}: {told}"
            full = [r for r in responses if r.outputs]
            again = [r for r in grpc.stream_infer(name, case.inputs) if r.outputs]
            assert len(full) == len(again), f"{len(full)} responses, then {len(again)}"
            if not case.expected:
                continue
            for output, wanted in case.expected.items():
                assert all(output in r.outputs for r in full), f"a response without {output}"
                got = np.concatenate([r[output].reshape(-1) for r in full])
                text = mismatch({output: got}, {output: np.asarray(wanted).reshape(-1)})
                assert not text, f"the responses, one after the other: {text}"
