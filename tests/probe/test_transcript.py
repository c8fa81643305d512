"""What is kept of what was asked and answered: exact, bounded, silent about secrets, repeatable."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from stub_server import floods, hangs_up, http, inference, says, stalls, stub_server
from tritonclient.grpc import service_pb2 as pb

from pytest_triton.evidence import Evidence
from pytest_triton.monitor.metrics import scrape
from pytest_triton.probe.bounded import BODY
from pytest_triton.probe.grpc import GrpcProbe
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.repeating import repeat
from pytest_triton.probe.transcript import HttpCall, Transcript, recall, recording, unrecorded
from pytest_triton.probe.transcript_text import to_json, to_text
from pytest_triton.probe.types import ConnectionFailed, RequestFailed

SECRET = "Bearer swordfish-7d1f3c"
CURL = shutil.which("curl")
X = {"IN": np.array([[1.5, -2.0]], np.float32)}


def told(transcript: Transcript) -> list[dict[str, Any]]:
    """Its JSON, as a reader gets it."""
    entries: list[dict[str, Any]] = json.loads(json.dumps(to_json(transcript)))
    return entries


def raw(body: dict[str, Any]) -> bytes:
    return body["text"].encode() if "text" in body else base64.b64decode(body["base64"])


# -- HTTP


def test_a_thread_may_ask_unrecorded() -> None:
    with stub_server(says(inference([1.0]))) as stub, HttpProbe(stub.url) as probe:
        with recording(Transcript()) as transcript:
            with unrecorded(), ThreadPoolExecutor(1) as other:
                probe.request("GET", "/silent")
                other.submit(probe.request, "GET", "/other").result()
            probe.request("GET", "/after")
    assert [call["url"].rpartition("/")[2] for call in told(transcript)] == ["other", "after"]


def test_the_exact_bytes() -> None:
    answer = inference([1.0, float("nan")])
    with stub_server(says(answer)) as stub, HttpProbe(stub.url) as probe:
        with recording(Transcript()) as transcript:
            probe.infer("m", X)
            probe.request("POST", "/v2/models/ä b/infer?x=1", body=b"{not json", headers={"A": "b"})
        probe.live()  # nobody records any more
    first, second = told(transcript)
    assert (first["protocol"], first["method"]) == ("http", "POST")
    assert first["url"] == f"{stub.url}/v2/models/m/infer"
    head, _, body = stub.requests[0].partition(b"\r\n\r\n")
    assert raw(first["request"]["body"]) == body
    assert first["request"]["body"]["json"].startswith('{"inputs":[{"name":"IN"')
    for name, value in first["request"]["headers"]:
        assert f"\r\n{name}: {value}\r\n".encode() in head + b"\r\n"
    assert first["response"]["status"] == 200
    assert raw(first["response"]["body"]) == answer.partition(b"\r\n\r\n")[2]
    assert 0 < first["seconds"] < 10
    assert second["request"]["body"] == {"size": 9, "kept": 9, "text": "{not json"}
    assert second["request"]["headers"] == [["A", "b"]]


def test_streams_and_metrics() -> None:
    events = [b'data: {"text_output": "a"}\n\n', b'data: {"text_output": "b"}\n\n']
    with stub_server(says(http(b"".join(events)), http(b"# x\n"))) as stub:
        with HttpProbe(stub.url) as probe, recording(Transcript()) as transcript:
            list(probe.generate_stream("m", {"text_input": "x"}))
            scrape(stub.url, headers=[("X-Tenant", "blue")])
            given_up = probe.generate_stream("m", {})
            with pytest.raises(Exception, match="event"):
                next(given_up)
    stream, metrics, _ = told(transcript)
    assert raw(stream["response"]["body"]) == b"".join(events)
    assert metrics["url"].endswith("/metrics")
    assert metrics["request"] == {"headers": [["X-Tenant", "***"]], "body": None}


@pytest.mark.parametrize(
    ("answer", "says_so", "status"),
    [
        (hangs_up, "closed", None),
        (stalls(b""), "no whole answer within", None),
        (says(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nabc", then_close=True), "short", 200),
    ],
)
def test_no_whole_answer(answer: Any, says_so: str, status: int | None) -> None:
    with stub_server(answer) as stub, HttpProbe(stub.url, timeout=0.5) as probe:
        with recording(Transcript()) as transcript, pytest.raises(ConnectionFailed):
            probe.live()
    (entry,) = told(transcript)
    assert says_so in entry["error"].lower()
    assert (entry["response"] or {}).get("status") == status
    if status:
        assert entry["response"]["body"]["text"] == "abc"
    assert entry["error"] in to_text(to_json(transcript), title="X")


# -- bounds


def test_a_hundred_megabytes_leave_their_beginning() -> None:
    size = 100 << 20
    answer = http(b"\xff" * size)
    body = b"\x00" * size
    with stub_server(says(answer)) as stub, HttpProbe(stub.url) as probe:
        with recording(Transcript()) as transcript:
            probe.request("GET", "/large/infer", timeout=60)
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(40):
                call = HttpCall("POST", "/", {}, body, {}, 1.0)
                transcript.add(call)
                with call:
                    call.received.add(body)
            now, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    assert now - before < 6 << 20
    assert peak - before < 7 << 20
    entries = told(transcript)
    assert sum(call.weight for call, _ in transcript.calls()) <= 4 << 20
    assert len(entries) < 40
    assert transcript.dropped == 41 - len(entries)
    last = entries[-1]["request"]["body"]
    assert (last["size"], last["kept"]) == (size, BODY)
    assert raw(last) == body[:BODY]
    assert f"# BODY: {size} bytes" in entries[-1]["curl"]
    assert len(entries[-1]["curl"]) < 300


def test_a_large_answer_is_cut_as_it_comes() -> None:
    first = b"HTTP/1.1 200 X\r\nTransfer-Encoding: identity\r\n\r\n"
    with stub_server(floods(first)) as stub, HttpProbe(stub.url, limit=30 << 20) as probe:
        with recording(Transcript()) as transcript, pytest.raises(ConnectionFailed):
            probe.request("GET", "/")
    (entry,) = told(transcript)
    assert "is over" in entry["error"]
    assert entry["response"]["body"]["kept"] == BODY
    assert entry["response"]["body"]["size"] > 30 << 20


def test_what_is_marked_stays() -> None:
    evidence = Evidence("X-01", None)
    with recording(Transcript(calls=20)) as transcript:
        evidence.transcript = transcript
        for number in range(100):
            call = HttpCall("GET", f"/{number}", {}, None, {}, 1.0)
            transcript.add(call)
            with evidence.case(f"model {number}"), call:
                assert number not in (3, 50)
    entries = told(transcript)
    assert [(e["url"], e["case"]) for e in entries if e["marked"]] == [
        ("/3", "model 3"), ("/50", "model 50")
    ]  # fmt: skip
    assert len(entries) == 20
    assert [entry["url"] for entry in entries[2:]] == [f"/{number}" for number in range(82, 100)]
    assert transcript.dropped == 80


def test_marks_are_bounded_too() -> None:
    transcript = Transcript(calls=500, total=1 << 20)
    for number in range(1000):
        call = HttpCall("POST", f"/{number}", {}, b"x" * BODY, {}, 1.0)
        transcript.add(call)
        transcript.mark(f"case {number}")
    assert sum(call.weight for call, _ in transcript.calls()) <= 1 << 20
    cases = [case for _, case in transcript.calls() if case]
    assert cases[0] == "case 0"


def test_headers_without_end_are_cut() -> None:
    headers = {f"X-{n}": "v" * 10_000 for n in range(100)}
    call = HttpCall("GET", "/", headers, None, {}, 1.0)
    assert call.weight < 64 << 10


def test_threads() -> None:
    with recording(Transcript(calls=50)) as transcript, ThreadPoolExecutor(8) as pool:

        def one(number: int) -> None:
            call = HttpCall("GET", f"/{number}", {}, b"x" * 100, {}, 1.0)
            transcript.add(call)
            with call:
                call.received.add(b"y" * 1000)
            transcript.mark(f"{threading.get_ident()}")

        list(pool.map(one, range(2000)))
    assert len(told(transcript)) == 50
    assert transcript.dropped == 1950
    assert transcript._weight == sum(call.weight for call, _ in transcript.calls())


def test_an_answer_that_is_remembered_is_told_again() -> None:
    with recording(Transcript()) as earlier:
        call = HttpCall("GET", "/v2", {}, None, {}, 1.0)
        earlier.add(call)
        with call:
            call.answered(200, {})
    with recording(Transcript()) as later:
        recall([call for call, _ in earlier.calls()])
    (entry,) = told(later)
    assert entry["earlier"] is True
    assert "asked before this test" in to_text(to_json(later), title="X")


# -- secrets


def test_secrets_are_in_no_file() -> None:
    echo = json.dumps({"error": f"who is {SECRET}?"}).encode()
    headers = f"Set-Cookie: session=0123456789abcdef\r\nX-Seen: {SECRET}\r\n"
    with stub_server(says(http(echo, 401, headers=headers))) as stub:
        url = stub.url.replace("//", "//user:pass@")
        given = [("Authorization", SECRET), ("X-Tenant", "a-tenant-of-ours")]
        with HttpProbe(url, headers=given) as probe, recording(Transcript()) as transcript:
            probe.request("GET", "/v2", headers={"X-Api-Key": "k" * 20, "X-Plain": "seen"})
    assert b"a-tenant-of-ours" in stub.requests[0]
    entries = to_json(transcript)
    written = json.dumps(entries) + to_text(entries, title="X")
    for secret in (SECRET, "swordfish", "a-tenant", "0123456789abcdef", "k" * 20, "user:pass"):
        assert secret not in written
    assert "seen" in written
    assert '-H "Authorization: ${AUTHORIZATION:?}"' in entries[0]["curl"]
    assert entries[0]["response"]["body"]["redacted"] is True


def test_a_models_name_is_no_secret() -> None:
    with stub_server(says(http(b'{"name":"text_classifier"}'))) as stub:
        route = [("X-Route", "text_classifier")]
        with HttpProbe(stub.url, headers=route) as probe, recording(Transcript()) as transcript:
            probe.model_metadata("text_classifier")
    (entry,) = told(transcript)
    assert entry["request"]["headers"] == [["X-Route", "***"]]
    assert entry["response"]["body"]["text"] == '{"name":"text_classifier"}'


# -- once more


def parts(request: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """First line, headers without what every client has of its own, body."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    pairs = (one.decode("latin-1").partition(":") for one in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    own = ("host", "user-agent", "accept", "accept-encoding")
    return line, {name: value for name, value in headers.items() if name not in own}, body


@pytest.mark.skipif(CURL is None, reason="there is no curl")
@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("GET", "/v2/models/a%20b/versions/1", None, {}),
        ("POST", "/v2/models/m/load", None, {}),
        ("POST", "/v2/models/m/infer", b"", {"Content-Type": "application/json"}),
        ("POST", "/v2/models/m/infer", b'{"it\'s": "$HOME `x` \\\\ \xc3\xa4 !"}', {}),
        ("POST", "/v2/models/m/infer", b"@/etc/hostname", {"Empty": "", "X-Y": "it's \"$HOME\""}),
        ("POST", "/v2/x[1]{a,b}/../y?q='1'&r=%2F", b"a\nb\r\n\x00\xff'", {"A": "b"}),
        ("POST", "/v2/m/infer", bytes(range(256)) * 200, {"Inference-Header-Content-Length": "3"}),
        ("POST", "/v2/m/infer", b"'" * (60 << 10), {"Content-Type": "application/json"}),
        ("GET", "/v2/models/100%/%e4 ü", None, {}),
        ("DELETE", "/v2/m", b"{}", {}),
        ("PATCH", "/v2/m", None, {}),
    ],
)  # fmt: skip
def test_curl_repeats_it(
    method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> None:
    with stub_server(says(http(b"{}"))) as stub:
        given = [("Authorization", SECRET)]
        with HttpProbe(stub.url, headers=given) as probe, recording(Transcript()) as transcript:
            probe.request(method, path, body=body, headers=headers)
        line = repeat(transcript.calls()[0][0])
        environment = {"AUTHORIZATION": SECRET, "PATH": "/usr/bin:/bin"}
        subprocess.run(["sh", "-c", line], env=environment, check=True, timeout=20,
                       capture_output=True)  # fmt: skip
        sent, repeated = stub.requests
    assert parts(repeated) == parts(sent)


@pytest.mark.skipif(CURL is None, reason="there is no curl")
def test_curl_without_the_secret_says_which() -> None:
    call = HttpCall("GET", "http://127.0.0.1:1/", {"X-Api-Key": "x"}, None, {}, 1.0)
    ran = subprocess.run(["sh", "-c", repeat(call)], env={"PATH": "/usr/bin:/bin"},
                         capture_output=True, text=True, timeout=20)  # fmt: skip
    assert ran.returncode != 0
    assert "X_API_KEY" in ran.stderr


def test_the_text_obeys_nobody() -> None:
    body = "\x1b[2Jred\x07\u202e \n".encode()
    call = HttpCall("POST", "http://h/\x1b", {"A": "\x1b[1m"}, body, {}, 1.0)
    transcript = Transcript()
    transcript.add(call)
    text = to_text(to_json(transcript), title="X\x1b")
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


# -- gRPC


@contextmanager
def grpc_server(answer: Any, stream: bool = False) -> Iterator[str]:
    class Handler(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            if stream:
                return grpc.stream_stream_rpc_method_handler(answer)
            return grpc.unary_unary_rpc_method_handler(answer)

    options = [("grpc.max_receive_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(2), handlers=[Handler()], options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None)


def response(values: bytes) -> pb.ModelInferResponse:
    message = pb.ModelInferResponse(model_name="m", model_version="1")
    message.outputs.add(name="OUT", datatype="UINT8", shape=(len(values),))
    message.raw_output_contents.append(values)
    return message


def test_grpc_messages() -> None:
    with grpc_server(lambda *_: response(b"abc").SerializeToString()) as url:
        given = [("authorization", SECRET)]
        with GrpcProbe(url, headers=given) as probe, recording(Transcript()) as transcript:
            probe.infer("m", X)
    (entry,) = told(transcript)
    assert (entry["protocol"], entry["method"]) == ("grpc", "ModelInfer")
    assert entry["rpc"] == "inference.GRPCInferenceService/ModelInfer"
    (sent,) = entry["request"]["messages"]
    assert sent["inputs"] == [{"name": "IN", "datatype": "FP32", "shape": ["1", "2"]}]
    assert base64.b64decode(sent["raw_input_contents"][0]) == X["IN"].tobytes()
    assert entry["request"]["headers"] == [["authorization", "***"]]
    assert entry["response"]["status"] == "OK"
    assert entry["response"]["messages"][0]["raw_output_contents"] == ["YWJj"]
    line = entry["curl"]
    assert line.startswith("grpcurl -plaintext -proto grpc_service.proto -max-time 10 -H ")
    assert line.endswith(f" {url} inference.GRPCInferenceService/ModelInfer")
    data = line.partition(" -d '")[2].partition("' ")[0]
    from google.protobuf import json_format

    again = json_format.Parse(data, pb.ModelInferRequest())
    assert list(again.raw_input_contents) == [X["IN"].tobytes()]


def test_grpc_errors() -> None:
    def refuses(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.NOT_FOUND, f"no model for {SECRET}")
        raise AssertionError

    with grpc_server(refuses) as url, GrpcProbe(url, headers=[("x-key", SECRET)]) as probe:
        with recording(Transcript()) as transcript, pytest.raises(RequestFailed):
            probe.model_metadata("m")
    (entry,) = told(transcript)
    assert entry["response"]["status"] == "NOT_FOUND"
    assert entry["response"]["details"] == "no model for ***"


def test_grpc_streams() -> None:
    def answers(requests: Iterator[bytes], _: Any) -> Iterator[bytes]:
        for number, _ in enumerate(requests):
            reply = pb.ModelStreamInferResponse(infer_response=response(bytes([number])))
            yield reply.SerializeToString()
        yield pb.ModelStreamInferResponse(error_message="enough").SerializeToString()

    with grpc_server(answers, stream=True) as url, GrpcProbe(url) as probe:
        requests = [pb.ModelInferRequest(model_name="m", id=str(n)) for n in range(3)]
        with recording(Transcript()) as transcript, pytest.raises(RequestFailed):
            list(probe.stream(requests))
    (entry,) = told(transcript)
    assert [message["id"] for message in entry["request"]["messages"]] == ["0", "1", "2"]
    assert entry["response"]["count"] == 4
    assert entry["response"]["messages"][-1] == {"error_message": "enough"}


@pytest.mark.parametrize("size", [1 << 20, 64 << 20])
def test_large_grpc_messages_leave_their_outline(size: int) -> None:
    with grpc_server(lambda *_: response(b"\xff" * 100_000).SerializeToString()) as url:
        with GrpcProbe(url, timeout=60) as probe, recording(Transcript()) as transcript:
            probe.infer("m", {"IN": np.zeros(size, np.uint8)})
    ((call, _),) = transcript.calls()
    assert call.weight < 16 << 10
    (entry,) = told(transcript)
    (sent,), (got,) = entry["request"]["messages"], entry["response"]["messages"]
    assert sent["inputs"] == [{"name": "IN", "datatype": "UINT8", "shape": [size]}]
    assert sent["cut"].startswith("a message of")
    assert got["raw_output_contents"][0]["size"] == 100_000
    assert "# a message was cut" in entry["curl"]


def test_a_message_that_is_changed_afterwards() -> None:
    with grpc_server(lambda *_: response(b"a").SerializeToString()) as url:
        with GrpcProbe(url) as probe, recording(Transcript()) as transcript:
            request = pb.ModelInferRequest(model_name="m", id="first")
            probe.call("ModelInfer", request)
            request.id = "second"
            probe.call("ModelInfer", request)
    ids = [entry["request"]["messages"][0]["id"] for entry in told(transcript)]
    assert ids == ["first", "second"]


def test_a_call_that_was_made_is_marked_before_one_that_is_remembered() -> None:
    calls = [HttpCall("GET", f"/{name}", {}, None, {}, 1.0) for name in ("old", "made", "memory")]
    evidence = Evidence("X-01", None)
    evidence.transcript = transcript = Transcript()
    transcript.add(calls[0])
    for case, made in (("a", True), ("b", False)):
        with evidence.case(case):
            if made:
                transcript.add(calls[1])
            transcript.add(calls[2], again=True)
            raise AssertionError
    assert {call.url: case for call, case in transcript.calls()} == {
        "/old": None, "/made": "a", "/memory": "b"
    }  # fmt: skip
