"""What clauses say of a healthy server behind a gateway that does things of its own."""

from __future__ import annotations

import gzip
import json

import pytest

from pytest_triton.binary import unpacked
from pytest_triton.criteria import NotAssessed
from pytest_triton.errors import SubjectFault
from pytest_triton.probe.types import HttpAnswer, MalformedAnswer

ANSWER = json.dumps(
    {
        "model_name": "m",
        "model_version": "1",
        "outputs": [{"name": "Y", "datatype": "FP32", "shape": [1], "data": [1.0]}],
    }
).encode()


def _answer(body: bytes, **headers: str) -> HttpAnswer:
    return HttpAnswer(
        200, {name.replace("_", "-"): told for name, told in headers.items()}, body, 0
    )


def test_a_plain_answer_through_a_gateway_tells_nothing_of_the_server() -> None:
    with pytest.raises(NotAssessed, match=r"server: nginx.*drops Accept-Encoding") as hole:
        unpacked(_answer(ANSWER, server="nginx"), "gzip")
    assert hole.value.code.value == "blocked"


def test_a_plain_answer_of_the_server_itself_is_its_fault() -> None:
    with pytest.raises(SubjectFault, match=r"Content-Encoding is '', gzip was accepted$"):
        unpacked(_answer(ANSWER), "gzip")


def test_a_gateway_that_loses_the_header_is_no_excuse() -> None:
    packed = gzip.compress(ANSWER)
    with pytest.raises(SubjectFault, match=r"Content-Encoding is ''.*server: nginx"):
        unpacked(_answer(packed, server="nginx"), "gzip")
    with pytest.raises(SubjectFault, match=r"Content-Encoding is 'br'"):
        unpacked(_answer(packed, server="nginx", content_encoding="br"), "gzip")


def test_a_gateway_that_compresses_itself_is_right() -> None:
    packed = _answer(gzip.compress(ANSWER), server="nginx", content_encoding="gzip")
    assert unpacked(packed, "gzip").body == ANSWER


def test_compression_that_nobody_asked_for_is_named() -> None:
    packed = _answer(gzip.compress(ANSWER), server="nginx", content_encoding="gzip")
    with pytest.raises(MalformedAnswer, match=r"Content-Encoding is 'gzip'; server: nginx"):
        packed.json()
