"""The log of a start: which lines are errors, in each release's format; releases."""

from __future__ import annotations

import pytest

from pytest_triton.releases import RELEASES, release_of
from pytest_triton.serverlog import HARMLESS, errors_until_ready, until_ready

OLD = "E1122 09:48:36.213902 12984 model_lifecycle.cc:641] failed to load 'm' version 1"
NEW = "E1122 09:48:36.213902 12984 model_lifecycle.cc:641] \"failed to load 'm' version 1\""
PROTOBUF = "[libprotobuf ERROR google/protobuf/text_format.cc:337] Error parsing text-format"
STARTED = [
    "I1122 09:48:37.1 12984 grpc_server.cc:2558] Started GRPCInferenceService at 127.0.0.1:8001",
    'I1122 09:48:37.1 12984 http_server.cc:4755] "Started HTTPService at 127.0.0.1:8000"',
    "I1122 09:48:37.1 12984 http_server.cc:362] Started Metrics Service at 127.0.0.1:8002",
]


@pytest.mark.parametrize("line", [OLD, NEW, PROTOBUF, "error: creating server: Internal - failed"])
def test_errors_of_the_start_are_found(line: str) -> None:
    assert errors_until_ready(f"I1122 a\n{line}\nW1122 b\n") == [line]
    assert errors_until_ready(f"{line}\r\n") == [line]


@pytest.mark.parametrize("started", STARTED)
def test_what_comes_after_the_start_is_ignored(started: str) -> None:
    text = f"{OLD}\n{started}\n{NEW}\n"
    assert errors_until_ready(text) == [OLD]
    assert "Started" not in until_ready(text)


@pytest.mark.parametrize("words", HARMLESS)
def test_harmless_lines(words: str) -> None:
    assert errors_until_ready(f"E1122 09:48:36.2 1 x.cc:1] {words} 0\n") == []


@pytest.mark.parametrize(
    "line",
    [
        "W1122 09:48:36.2 1 x.cc:1] an error in a warning",
        "I1122 09:48:36.2 1 x.cc:1] E1122 09:48:36.2 quoted",
        "Error in a line of a library",
        "| E1122 09:48:36.2 | in a table |",
        "",
    ],
)
def test_lines_that_are_no_errors(line: str) -> None:
    assert errors_until_ready(line + "\n") == []


def test_a_log_without_an_end() -> None:
    assert until_ready("abc") == "abc"
    assert errors_until_ready("") == []


def test_releases() -> None:
    assert release_of("2.48.0") == "24.07"
    assert release_of("2.51.0-dev") == "24.10"
    assert release_of("2.51") == "24.10"
    for nothing in ("", "2", "x.y", "3.0.0", "2.510.0", "None"):
        assert release_of(nothing) is None
    assert sorted(RELEASES.values()) == list(RELEASES.values())  # compared as text elsewhere
