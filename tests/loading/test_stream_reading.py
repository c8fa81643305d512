"""Streams are read strictly: what is not whole is an error of its level, never a token."""

from __future__ import annotations

import sys
from pathlib import Path

import grpc
import pytest
from streaming_server import Streaming
from stub_stream import HEAD, chunk, event, grpc_stub, instead_of_streams, response

sys.path.append(str(Path(__file__).parents[1] / "probe"))
from stub_server import stub_server

SHORT = ("--duration", "0.3", "--warmup", "0", "--concurrency", "2")


@pytest.mark.parametrize(
    ("answers", "code", "told"),
    [
        ([response(1), response(2)], None, "the stream ended without a final response"),
        ([response(1), response(2)], grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE gone away"),
        ([response(1), response(None, True), response(2)], None,
         "a response came behind the final one"),
        ([response(None, True)], None, "the stream ended without a token"),
        ([], None, "the stream ended without a final response"),
        ([response(1), response(None, True, model="other")], None, "the model_name 'other'"),
        ([response(1, None), response(None, True)], None, "no parameter triton_final_response"),
        ([response(1, datatype="INT32"), response(None, True)], None, "is INT32, not INT64"),
        ([response(1), b"\xff\xff"], None, "no ModelStreamInferResponse"),
    ],
)  # fmt: skip
def test_over_grpc(
    streaming: Streaming, answers: list[bytes], code: grpc.StatusCode | None, told: str
) -> None:
    with grpc_stub(answers, code) as address:
        done = streaming.load("steady", "--protocol", "grpc", *SHORT, "--grpc-url", address)
    assert done.exit_code == 1, done.output
    assert told in done.output


EVENT = event(token_ids=1) + b"\n\n"
ONE = chunk(EVENT)
#: What a gateway says that held a stream back until it was whole.
SIZED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (HEAD + ONE, "the connection was closed before the stream's end"),
        (HEAD + ONE + b"40\r\ndata", "the connection was closed before the stream's end"),
        (HEAD + ONE + b"zz\r\n", "in place of a chunk"),
        (HEAD + ONE + chunk(event(token_ids=2)) + b"0\r\n\r\n", "the stream ended inside an event"),
        (HEAD + ONE + chunk(b"data: {]\n\n") + b"0\r\n\r\n", "an event is no JSON"),
        (HEAD + ONE + chunk(b"data: []\n\n") + b"0\r\n\r\n", "an event is no object"),
        (HEAD + ONE + chunk(b"event: x\n\n") + b"0\r\n\r\n", "no event 'data: …'"),
        (HEAD + ONE + chunk(b'data: {"error":"went wrong"}\n\n') + b"0\r\n\r\n", "went wrong"),
        (HEAD + ONE + chunk(event(token_ids="2") + b"\n\n") + b"0\r\n\r\n",
         "of type INT64 has '2'"),
        (HEAD + ONE + chunk(event(token_ids=2, model_name="other") + b"\n\n") + b"0\r\n\r\n",
         "the model_name 'other'"),
        (HEAD + b"0\r\n\r\n", "the stream ended without a token"),
        (HEAD + chunk(event(other=2) + b"\n\n") + b"0\r\n\r\n", "the stream ended without a token"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "the answer is no stream"),
        (SIZED % 500 + EVENT, "the connection was closed before the stream's end"),
    ],
)  # fmt: skip
def test_over_http(streaming: Streaming, answer: bytes, told: str) -> None:
    with stub_server(instead_of_streams(streaming.deployment.http_url, answer)) as stub:
        done = streaming.load("steady", *SHORT, "--url", stub.url)
    assert done.exit_code == 1, done.output
    assert told in done.output


def test_a_whole_answer_of_the_stub_is_right(streaming: Streaming) -> None:
    """What the tests above break was whole: but the server counts none of its streams."""
    final = response(None, True)
    with grpc_stub([response(1), response(2), final]) as address:
        done = streaming.load("steady", "--protocol", "grpc", *SHORT, "--grpc-url", address)
    assert done.exit_code == 12, done.output
    assert "the server counts 0: something between answers by itself" in done.output
    for whole in (HEAD + ONE + b"0\r\n\r\n", SIZED % len(EVENT) + EVENT):
        with stub_server(instead_of_streams(streaming.deployment.http_url, whole)) as stub:
            done = streaming.load("steady", *SHORT, "--url", stub.url)
        assert done.exit_code == 12, done.output
        assert "the server counts 0: something between answers by itself" in done.output
