"""What of a user's headers shows in what a server says: short values, and ordinary words."""

from __future__ import annotations

import base64
import json

import pytest
from stub_server import http, says, stub_server

from pytest_triton.probe.grpc import GrpcProbe
from pytest_triton.probe.hiding import HIDDEN, Hiding
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.transcript import Transcript, recording
from pytest_triton.probe.transcript_text import to_json, to_text
from pytest_triton.probe.types import ProbeError

GIVEN = {
    "Authorization": "Bearer swordfsh",
    "X-Api-Key": "s3cret",
    "X-Tenant": "blue",
    "X-Flag": "1",
    "X-Team": "red-7",
}


@pytest.mark.parametrize(
    "text",
    [
        '{"error":"x","headers":{"x-flag":"1","X-TENANT":"blue","x-api-key":"s3cret"}}',
        '{"error":"{\\"x-flag\\": \\"1\\", \\"authorization\\": \\"Bearer swordfsh\\"}"}',
        "HTTP_X_FLAG=1 HTTP_X_TENANT=blue X_API_KEY: s3cret",
        "X-Flag: 1\nAuthorization: Bearer swordfsh",
        "('x-flag', '1'), ('x-team', 'red-7')",
        "wrong key s3cret for team red-7, and swordfsh is no token",
        '["blue"] "s3cret"',
    ],
)
def test_short_values_do_not_show(text: str) -> None:
    shown = Hiding(GIVEN).text(text)
    assert HIDDEN in shown
    for value in ("swordfsh", "s3cret", "blue", "red-7"):
        assert value not in shown
    assert not any(part in shown for part in ('"1"', "FLAG=1", "Flag: 1", "'1'"))
    assert Hiding(GIVEN).data(text.encode()) == shown.encode()


@pytest.mark.parametrize(
    "text",
    [
        '{"model_version":"1","shape":[1,16],"name":"bluebird"}',
        "blue birds and the bearer of 1 letter",
        "secret s3crets red-70 colored-7 x-flag: 10, x-flag 12",
        "",
    ],
)
def test_ordinary_words_and_numbers_stay(text: str) -> None:
    assert Hiding(GIVEN).text(text) == text


def test_what_was_sent_openly_is_no_secret_but_as_that_header() -> None:
    hiding = Hiding({"X-Route": "text_b1"}, b"/v2/models/text_b1")
    assert hiding.text('{"name":"text_b1","x-route":"text_b1"}') == (
        '{"name":"text_b1","x-route":"***"}'
    )


def test_headers_of_an_answer() -> None:
    hiding = Hiding(GIVEN)
    assert hiding.header("x-seen", "blue") == HIDDEN
    assert hiding.header("x-seen-flag", "1") == HIDDEN
    assert hiding.header("content-length", "1") == "1"
    assert hiding.header("x-colour", "light blue") == "light blue"


def test_messages_and_their_bytes() -> None:
    raw = base64.b64encode(b"\x06\0\0\0s3cret").decode()
    told = Hiding(GIVEN).walked(
        {"x-flag": "1", "version": "1", "parameters": {"t": {"string_param": "blue"}},
         "raw_output_contents": [raw, "AQAAAA=="]}
    )  # fmt: skip
    assert told["x-flag"] == HIDDEN
    assert told["version"] == "1"
    assert told["parameters"]["t"]["string_param"] == HIDDEN
    assert b"s3cret" not in base64.b64decode(told["raw_output_contents"][0])
    assert told["raw_output_contents"][1] == "AQAAAA=="


def test_in_no_file() -> None:
    echo = json.dumps({"error": "no", "seen": {name.lower(): told for name, told in GIVEN.items()}})
    with stub_server(
        says(http(echo.encode(), 401, headers="X-Who: s3cret\r\nX-Of: 1\r\n"))
    ) as stub:
        with HttpProbe(stub.url, headers=GIVEN.items()) as probe:
            with recording(Transcript()) as transcript:
                probe.request("GET", "/v2")
    entries = to_json(transcript)
    written = json.dumps(entries) + to_text(entries, title="X")
    for value in ("swordfsh", "s3cret", '"blue', "red-7", '"1"'):
        assert value not in written
    assert entries[0]["response"]["body"]["redacted"] is True
    assert ["x-of", HIDDEN] in [
        [name.lower(), told] for name, told in entries[0]["response"]["headers"]
    ]


def test_a_grpc_address_without_its_password() -> None:
    with GrpcProbe("grpc://user:pa55@127.0.0.1:1", timeout=1.0) as probe:
        with recording(Transcript()) as transcript, pytest.raises(ProbeError):
            probe.live()
    entries = to_json(transcript)
    written = json.dumps(entries) + to_text(entries, title="X")
    assert "pa55" not in written
    assert entries[0]["url"] == "***@127.0.0.1:1"
