"""Who answers: Triton, or a gateway in its place."""

from __future__ import annotations

import pytest

from pytest_triton.declined import declined, reason
from pytest_triton.errors import SubjectFault
from pytest_triton.probe.types import HttpAnswer, MalformedAnswer
from pytest_triton.wrong import reason_of

PAGE = b"<html>\r\n<head><title>404 Not Found</title></head></html>"
TRITON = b'{"error":"Not Found"}'


def _answer(body: bytes, status: int = 404, **headers: str) -> HttpAnswer:
    return HttpAnswer(status, headers, body, 0.0)


@pytest.mark.parametrize("body", [TRITON, b"", b"Not Found", b"<3 pages", b"{}", b"[1]"])
def test_nobody_is_named_without_a_sign(body: bytes) -> None:
    assert _answer(body).speaker == ""


@pytest.mark.parametrize("body", [PAGE, b"\n <!DOCTYPE HTML><p>", b"<HTML>"])
def test_a_page_is_named(body: bytes) -> None:
    assert "an HTML page: another server answers in Triton's place" in _answer(body).speaker


def test_headers_are_named() -> None:
    assert _answer(PAGE, server="nginx/1.25.3", via="1.1 edge").speaker.endswith(
        "; server: nginx/1.25.3, via: 1.1 edge)"
    )
    assert (
        "a gateway may answer in its place; server: envoy" in _answer(b"", server="envoy").speaker
    )
    # What is Triton's own error came through; the gateway is named, and not blamed.
    assert _answer(TRITON, server="envoy").speaker == " (through a gateway; server: envoy)"


def test_a_name_is_printable_and_short() -> None:
    told = _answer(PAGE, server="\x1b[31m" + "x" * 500).speaker
    assert "\x1b" not in told
    assert len(told) < 200


def test_every_reader_of_errors_tells_it() -> None:
    answer = _answer(PAGE, server="nginx")
    for read in (
        lambda: reason_of(answer, 404), lambda: reason_of(answer, 405),
        lambda: reason(answer, 404), lambda: reason(answer, 405),
    ):  # fmt: skip
        with pytest.raises(SubjectFault, match="another server answers in Triton's place"):
            read()
    with pytest.raises(MalformedAnswer, match="server: nginx"):
        answer.json()


def test_a_page_that_repeats_the_path_is_no_reason() -> None:
    failure = _answer(b"<html>/v2/models/nobody was not found</html>").failure

    def call() -> None:
        raise failure

    assert not failure.readable
    with pytest.raises(SubjectFault, match="no JSON with 'error'"):
        declined(404, call)
