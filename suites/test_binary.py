"""Stage 03: binary tensors and compressed bodies, right ones and wrong ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pytest_triton.asking import json_arrays, json_request, post_json
from pytest_triton.binary import (
    binary_request,
    pack,
    raw_samples,
    result_of,
    send_raw,
    strings,
    unpacked,
)
from pytest_triton.compare import mismatch
from pytest_triton.evidence import Evidence
from pytest_triton.probe.codec import as_tensor, encode_raw
from pytest_triton.probe.http import model_path
from pytest_triton.probe.message import LENGTH_HEADER, encode_infer
from pytest_triton.probe_set import TYPES
from pytest_triton.subject import Subject
from pytest_triton.wrong import SAMPLE, of_several, reason_of, says, sized

TEXTS = np.array([b"first", b"second"], object)


@pytest.mark.clause("BIN-01")
def test_json_by_default(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            answer = binary_request(case.inputs, "bin-01").send(triton_subject, name)
            got = result_of(triton_subject, name, case, answer)
            length = answer.headers.get(LENGTH_HEADER.lower())
            assert length is None, f"{LENGTH_HEADER} is {length!r}: the answer is not plain JSON"
            assert not got.raw_sizes, f"binary without being asked for: {sorted(got.raw_sizes)}"
            plain = post_json(triton_subject, name, json_request(case), case)
            text = mismatch(got.outputs, json_arrays(plain), datatypes=got.datatypes)
            assert not text, f"binary and JSON inputs differ: {text}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("BIN-03")
def test_own_word_first(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            wanted = triton_subject.answer(name, case)
            for own in (True, False):
                listed = [
                    {"name": output, "parameters": {"binary_data": own}}
                    for output in wanted.outputs
                ]
                request = binary_request(
                    case.inputs,
                    "bin-03",
                    outputs=listed,
                    parameters={"binary_data_output": not own},
                )
                got = result_of(triton_subject, name, case, request.send(triton_subject, name))
                expected = set(wanted.outputs) if own else set()
                assert set(got.raw_sizes) == expected, (
                    f"binary_data is {own}: binary came {sorted(got.raw_sizes)}"
                )
                text = mismatch(got.outputs, wanted.outputs, datatypes=wanted.datatypes)
                assert not text, f"binary_data is {own}: {text}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("BIN-13")
def test_listed_and_not(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            wanted = triton_subject.answer(name, case)
            listed = [{"name": output} for output in wanted.outputs]
            for outputs, expected in ((None, set(wanted.outputs)), (listed, set())):
                what = "listed" if outputs else "not listed"
                request = binary_request(
                    case.inputs, "bin-13", outputs=outputs, parameters={"binary_data_output": True}
                )
                got = result_of(triton_subject, name, case, request.send(triton_subject, name))
                assert set(got.raw_sizes) == expected, (
                    f"binary_data_output, {what}: binary came {sorted(got.raw_sizes)}"
                )
                text = mismatch(got.outputs, wanted.outputs, datatypes=wanted.datatypes)
                assert not text, f"binary_data_output, {what}: {text}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("BIN-05")
def test_raw(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case, raw in raw_samples(triton_subject):
        with triton_evidence.case(name):
            wanted = triton_subject.answer(name, case)
            answer = send_raw(triton_subject, name, raw)
            got = result_of(triton_subject, name, case, answer)
            assert set(got.raw_sizes) == set(wanted.outputs), (
                f"binary came {sorted(got.raw_sizes)} of {sorted(wanted.outputs)}"
            )
            text = mismatch(got.outputs, wanted.outputs, datatypes=wanted.datatypes)
            assert not text, f"raw and whole request differ: {text}"
    triton_evidence.need("model with a single input that bytes alone can say")


@pytest.mark.clause("BIN-10")
def test_raw_of_several(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in of_several(triton_subject):
        with triton_evidence.case(name):
            body = b"".join(encode_raw(as_tensor(value)) for value in case.inputs.values())
            reason = reason_of(send_raw(triton_subject, name, body), 400)
            lacking = says(reason, name, "inputs")
            assert not lacking, f"the error does not say {lacking}: {reason!r}"
    triton_evidence.need("model with several inputs that takes JSON")


@pytest.mark.clause("BIN-11")
def test_raw_of_another_size(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, _, raw in raw_samples(triton_subject, fixed=True):
        with triton_evidence.case(name):
            for wrong in (raw[:-1], raw * 2):
                reason = reason_of(send_raw(triton_subject, name, wrong), 400)
                assert not says(reason, str(len(wrong))), (
                    f"the error does not say that {len(wrong)} bytes came: {reason!r}"
                )
    triton_evidence.need("model with a single input of a fixed size")


@pytest.mark.clause("BIN-06")
def test_body_and_tensors(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            good = binary_request(case.inputs, "bin-06")
            short, long = good.with_data(good.data[:-1]), good.with_data(good.data + b"more")
            reason = reason_of(short.send(triton_subject, name), 400)
            lacking = says(reason, name, list(case.inputs)[-1])
            assert not lacking, f"a byte too few: the error does not name {lacking}: {reason!r}"
            reason = reason_of(long.send(triton_subject, name), 400)
            lacking = says(reason, name, "additional")
            assert not lacking, f"bytes too many: the error does not say {lacking}: {reason!r}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("BIN-12")
def test_bytes_and_shape(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        if not sized(case):
            continue
        with triton_evidence.case(name):
            first, value = next(iter(case.inputs.items()))
            right = encode_raw(as_tensor(value))
            element = len(right) // as_tensor(value).array.size
            for wrong in (right[:-element], right + right[:element]):
                request = binary_request(case.inputs, "bin-12", first=wrong)
                reason = reason_of(request.send(triton_subject, name), 400)
                lacking = says(reason, first, str(len(right)), str(len(wrong)))
                assert not lacking, f"the error does not say {lacking}: {reason!r}"
    triton_evidence.need(f"{SAMPLE}, the first one of numbers")


@pytest.mark.clause("BIN-07")
def test_header_length(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            before = triton_subject.answer(name, case)
            request = binary_request(case.inputs, "bin-07")
            whole = request.header_size + len(request.data)
            for length in (whole + 1, whole + 99_999, -1):
                reason = reason_of(request.send(triton_subject, name, length=length), 400)
                assert not says(reason, str(length)), (
                    f"header length {length}: the error does not name it: {reason!r}"
                )
            reason_of(request.send(triton_subject, name, length=request.header_size - 1), 400, 500)
            reason_of(request.send(triton_subject, name, length=None), 400, 500)
            text = mismatch(triton_subject.answer(name, case).outputs, before.outputs)
            assert not text, f"after wrong header lengths: {text}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("BIN-14")
def test_header_length_no_number(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case, _ in raw_samples(triton_subject, fixed=True):
        with triton_evidence.case(name):
            before = triton_subject.answer(name, case)
            request = binary_request(case.inputs, "bin-14")
            reason_of(request.send(triton_subject, name, length="x"), 400)
            text = mismatch(triton_subject.answer(name, case).outputs, before.outputs)
            assert not text, f"after a header length that is no number: {text}"
    triton_evidence.need("model with a single input of a fixed size")


@pytest.mark.clause("BIN-08")
def test_text_overruns(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for what, wrong in (
        ("the last text is 7 bytes longer than the data", strings([b"first", b"se"], last=7)),
        ("the first text is 4 GiB long", strings([b"first"], last=0xFFFFFFFF - 5)),
        ("the second length is cut", strings([b"first"], tail=b"\x01\x00")),
    ):
        with triton_evidence.case(what):
            request = binary_request({"IN_BYTES": TEXTS}, "bin-08", first=wrong)
            reason = reason_of(request.send(triton_probes, TYPES), 400)
            assert not says(reason, "IN_BYTES"), f"it does not name the input: {reason!r}"
    got = triton_probes.http.infer(TYPES, {"IN_BYTES": TEXTS})
    text = mismatch(got.outputs, {"OUT_BYTES": TEXTS})
    assert not text, f"after texts that overrun their data: {text}"


@pytest.mark.clause("BIN-09")
def test_number_of_texts(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for texts in ([b"one"], [b"one", b"two", b"three"]):
        with triton_evidence.case(f"{len(texts)} texts for shape [2]"):
            request = binary_request({"IN_BYTES": TEXTS}, "bin-09", first=strings(texts))
            reason = reason_of(request.send(triton_probes, TYPES), 400)
            lacking = says(reason, "IN_BYTES", "2", str(len(texts)))
            assert not lacking, f"the error does not say {lacking}: {reason!r}"


@pytest.mark.clause("NEG-23")
def test_compressed_request(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            wanted = triton_subject.answer(name, case)
            headers, body = encode_infer(case.inputs, binary=False, request_id="neg-23")
            for encoding in ("gzip", "deflate"):
                answer = triton_subject.http.request(
                    "POST",
                    f"{model_path(name)}/infer",
                    body=pack(encoding, body),
                    headers={**headers, "Content-Encoding": encoding},
                )
                got = result_of(triton_subject, name, case, answer)
                assert got.id == "neg-23", f"{encoding}: the answer has the id {got.id!r}"
                text = mismatch(got.outputs, wanted.outputs, datatypes=wanted.datatypes)
                assert not text, f"{encoding}: {text}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("NEG-25")
def test_compressed_answer(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            wanted = triton_subject.answer(name, case)
            for binary in (False, True):
                headers, body = encode_infer(case.inputs, binary=binary, request_id="neg-25")
                for encoding in ("gzip", "deflate"):
                    answer = triton_subject.http.request(
                        "POST",
                        f"{model_path(name)}/infer",
                        body=body,
                        headers={**headers, "Accept-Encoding": encoding},
                    )
                    if answer.status == 200:
                        answer = unpacked(answer, encoding)
                    got = result_of(triton_subject, name, case, answer)
                    text = mismatch(got.outputs, wanted.outputs, datatypes=wanted.datatypes)
                    assert not text, f"{encoding}: {text}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("NEG-26")
def test_unknown_compression(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case in triton_subject.json_samples():
        with triton_evidence.case(name):
            answer = triton_subject.http.request(
                "POST",
                f"{model_path(name)}/infer",
                body=json.dumps(json_request(case, request_id="neg-26")).encode(),
                headers={"Content-Encoding": "br"},
            )
            reason = reason_of(answer, triton_subject.error_status(501))
            assert not says(reason, "compression"), f"no word of compression: {reason!r}"
    triton_evidence.need(SAMPLE)


@pytest.mark.clause("NEG-29")
def test_not_compressed(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for name, case, _ in raw_samples(triton_subject, fixed=True):
        with triton_evidence.case(name):
            before = triton_subject.answer(name, case)
            answer = triton_subject.http.request(
                "POST",
                f"{model_path(name)}/infer",
                body=json.dumps(json_request(case, request_id="neg-29")).encode(),
                headers={"Content-Encoding": "gzip"},
            )
            reason_of(answer, 400)
            text = mismatch(triton_subject.answer(name, case).outputs, before.outputs)
            assert not text, f"after a body that is no gzip: {text}"
    triton_evidence.need("model with a single input of a fixed size")
