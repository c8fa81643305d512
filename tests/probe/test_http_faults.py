"""Whatever a server does to the wire: one clear error, within the deadline, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
from stub_server import floods, hangs_up, http, inference, says, stalls, stub_server

from pytest_triton.errors import ToolError
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import ConnectionFailed, MalformedAnswer, RequestFailed

LIMIT = 1 << 20
X = {"IN": np.ones((1, 2), np.float32)}
HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "kind", "says_so"),
    [
        pytest.param(hangs_up, "closed", "closed connection", id="drop"),
        pytest.param(
            says(http(b"{}", length=50), then_close=True), "closed", "48 bytes short", id="short"
        ),
        pytest.param(stalls(), "timeout", "within 0.3 s", id="stall"),
        pytest.param(stalls(HEAD), "timeout", "within 0.3 s", id="stall in the headers"),
        pytest.param(stalls(http(b"{", length=9)), "timeout", "within", id="stall in the body"),
        pytest.param(stalls(HEAD, trickle=b"X: y\r\n"), "timeout", "", id="trickling headers"),
        pytest.param(
            stalls(http(b"", length=10**5), trickle=b"x"), "timeout", "", id="trickling body"
        ),
        pytest.param(
            stalls(HEAD + b"\r\n", trickle=b"x"), "timeout", "", id="trickle without a length"
        ),
        pytest.param(
            says(http(b"x", length=10 * 2**30)), "too_large", "10737418240 bytes", id="10 GB"
        ),
        pytest.param(floods(HEAD + b"\r\n"), "too_large", f"over {LIMIT}", id="endless"),
        pytest.param(
            says(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", then_close=True),
            "garbled",
            "chunk",
            id="bad chunk",
        ),
        pytest.param(says(b"SSH-2.0-OpenSSH\r\n", then_close=True), "garbled", "", id="not HTTP"),
        pytest.param(
            says(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
            "garbled",
            "Content-Length",
            id="two lengths",
        ),
        pytest.param(floods(HEAD + b"X: "), "garbled", "", id="endless header"),
    ],
)
def test_no_whole_answer(answer, kind: str, says_so: str) -> None:
    # only what has to run into its deadline gets a short one: the machine may be slow
    timeout = 0.3 if kind == "timeout" else 20.0
    with stub_server(answer) as stub, HttpProbe(stub.url, timeout=timeout, limit=LIMIT) as probe:
        with pytest.raises(ConnectionFailed) as caught:
            probe.request("GET", "/v2")
        assert caught.value.kind == kind
        assert says_so in str(caught.value)


@pytest.mark.parametrize(
    ("body", "says_so"),
    [
        pytest.param(b"<html>", "not JSON", id="garbage"),
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b'{"name": "\xff"}', "not UTF-8 at byte 10", id="not UTF-8"),
        pytest.param(b"[" * 200_000, "not JSON", id="deep"),
        pytest.param(b"[1]", "expected a JSON object", id="no object"),
    ],
)
def test_answer_that_is_no_metadata(body: bytes, says_so: str) -> None:
    with (
        stub_server(says(http(body))) as stub,
        HttpProbe(stub.url) as probe,
        pytest.raises(MalformedAnswer, match=says_so),
    ):
        probe.server_metadata()


def output(**changes: object) -> dict[str, object]:
    return {"name": "OUT", "datatype": "FP32", "shape": [2], "data": [1.0, 2.0], **changes}


@pytest.mark.parametrize(
    ("outputs", "says_so"),
    [
        ([output(shape=[3])], "has 2 values"),
        ([output(shape=[-1])], "whole numbers >= 0"),
        ([output(shape=["2"])], "whole numbers >= 0"),
        ([output(shape=[True, 2])], "whole numbers >= 0"),
        ([output(datatype="FP128")], "unknown data type"),
        ([output(datatype="INT32")], "has the value 1.0"),
        ([output(datatype="INT8", data=[1, 300])], "OUT"),
        ([output(datatype="BOOL", data=[1, 0])], "has the value 1"),
        ([output(data=[1.0, True])], "has the value True"),
        ([output(data=[1.0, "2"])], "has the value '2'"),
        ([output(data="12")], "no array"),
        ([output(), output()], "comes twice"),
        ([{"name": "OUT", "datatype": "FP32", "shape": [2]}], "carries no data"),
        ([output(parameters={"binary_data_size": 8})], "0 are left"),
        ([output(parameters={"binary_data_size": -1})], "0 are left"),
        ([output(parameters=[1])], "parameters"),
        (["OUT"], "not an object"),
        ([output(name=7)], "not a string"),
        ("OUT", "array 'outputs'"),
    ],
)
def test_answer_that_is_no_inference(outputs: object, says_so: str) -> None:
    import json

    body = json.dumps({"model_name": "m", "model_version": "1", "outputs": outputs}).encode()
    with (
        stub_server(says(http(body))) as stub,
        HttpProbe(stub.url) as probe,
        pytest.raises(MalformedAnswer, match=says_so),
    ):
        probe.infer("m", X)


@pytest.mark.parametrize(
    ("old", "new", "says_so"),
    [
        (b"Content-Length: 1", b"Content-Length: 9", "is '9"),
        (b'"binary_data_size": 8', b'"binary_data_size": 4', "takes 8"),
        (b'"binary_data_size": 8', b'"binary_data_size": 9', "8 are left"),
        (b'"shape": [1, 2]', b'"shape": [1, 3]', "takes 12"),
        (b'"shape": [1, 2]', b'"shape": [9**9]', "not JSON"),
        (b'"datatype": "FP32"', b'"datatype": "FP64"', "takes 16"),
        (b'"FP32"', b'"BYTES"'[:6], "not JSON"),
    ],
)
def test_binary_answer_that_does_not_add_up(old: bytes, new: bytes, says_so: str) -> None:
    right = inference([1.0, 2.0])
    assert old in right
    # only the inference header's length is changed, never the HTTP one
    at = right.index(old, right.index(b"Inference-Header"))
    with (
        stub_server(says(right[:at] + new + right[at + len(old) :])) as stub,
        HttpProbe(stub.url) as probe,
        pytest.raises(MalformedAnswer, match=says_so),
    ):
        probe.infer("m", X)


def test_bytes_after_the_last_output() -> None:
    right = inference([1.0, 2.0])
    body = right.partition(b"\r\n\r\n")[2]
    length = len(body) - 8
    header = f"Inference-Header-Content-Length: {length}\r\n"
    with (
        stub_server(says(http(body + b"1234", headers=header))) as stub,
        HttpProbe(stub.url) as probe,
        pytest.raises(MalformedAnswer, match="4 bytes follow"),
    ):
        probe.infer("m", X)


def test_error_answers_keep_status_and_text() -> None:
    answers = says(http(b'{"error":"no such thing"}', 404), http(b"plain", 502))
    with stub_server(answers) as stub, HttpProbe(stub.url) as probe:
        with pytest.raises(RequestFailed) as caught:
            probe.model_metadata("m")
        assert (caught.value.protocol, caught.value.status) == ("http", 404)
        assert caught.value.message == "no such thing"
        with pytest.raises(RequestFailed, match="http 502: plain"):
            probe.model_metadata("m")


def test_one_connection_is_kept_and_a_broken_one_is_not() -> None:
    answers = says(http(b"{}"), http(b"{}"), http(b"{}", length=90), http(b"{}"))
    with stub_server(answers) as stub, HttpProbe(stub.url) as probe:
        assert probe.server_metadata() == probe.server_metadata() == {}
        assert stub.connections == 1
        with pytest.raises(ConnectionFailed):
            probe.request("GET", "/v2", timeout=0.3)
        assert probe.server_metadata() == {}
        assert stub.connections == 2


def test_nobody_listens() -> None:
    with stub_server(hangs_up) as stub:
        url = stub.url
    with HttpProbe(url) as probe, pytest.raises(ConnectionFailed) as caught:
        probe.live()
    assert caught.value.kind == "refused"
    assert url in str(caught.value)


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://[::1"])
def test_no_url(url: str) -> None:
    with pytest.raises(ToolError, match="no URL"):
        HttpProbe(url)


def test_headers_base_path_and_quoting_reach_the_server() -> None:
    with (
        stub_server(says(http(b"{}"))) as stub,
        HttpProbe(f"{stub.url}/triton/", headers=[("X-Key", "s3cret")]) as probe,
    ):
        probe.model_metadata("a b/c", "1")
    assert stub.requests[0].startswith(b"GET /triton/v2/models/a%20b%2Fc/versions/1 HTTP/1.1\r\n")
    assert b"X-Key: s3cret\r\n" in stub.requests[0]


@pytest.mark.parametrize(
    ("body", "says_so"),
    [
        (b'data: {"a":1}\n\ndata: {"b"', "inside an event"),
        (b"hello\n\n", "not a server-sent event"),
        (b"data: nothing\n\n", "not JSON"),
        (b"data: [1]\n\n", "expected a JSON object"),
    ],
)
def test_broken_event_streams(body: bytes, says_so: str) -> None:
    with (
        stub_server(says(http(body))) as stub,
        HttpProbe(stub.url) as probe,
        pytest.raises(MalformedAnswer, match=says_so),
    ):
        list(probe.generate_stream("m", {}))


def test_stream_that_stalls_ends_at_its_deadline() -> None:
    first = http(b'data: {"a":1}\n\n', length=99)
    with stub_server(stalls(first)) as stub, HttpProbe(stub.url, timeout=1.0) as probe:
        events = probe.generate_stream("m", {})
        assert next(events) == {"a": 1}
        with pytest.raises(ConnectionFailed) as caught:
            next(events)
        assert caught.value.kind == "timeout"


def test_error_inside_a_stream_or_under_status_200() -> None:
    event = http(b'data: {"a":1}\n\ndata: {"error":"it broke"}\n\n')
    with stub_server(says(event, http(b'{"error":"no"}'))) as stub, HttpProbe(stub.url) as probe:
        events = probe.generate_stream("m", {})
        assert next(events) == {"a": 1}
        with pytest.raises(RequestFailed, match="it broke"):
            next(events)
        with pytest.raises(RequestFailed, match="http 200: no"):
            probe.generate("m", {})
