"""gRPC servers that misbehave: one clear error each, within the deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
from stub_server import hangs_up, stalls, stub_server
from tritonclient.grpc import service_pb2 as pb

from pytest_triton.errors import ToolError
from pytest_triton.probe.grpc import GrpcProbe
from pytest_triton.probe.types import ConnectionFailed, MalformedAnswer, RequestFailed

X = {"IN": np.ones(2, np.float32)}


@contextmanager
def grpc_server(answer: Callable[[grpc.ServicerContext], bytes]) -> Iterator[str]:
    """Every unary call gets the bytes of ``answer``."""

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(lambda _, context: answer(context))

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None)


def response(*raws: bytes, shape: tuple[int, ...] = (2,), datatype: str = "FP32") -> bytes:
    message = pb.ModelInferResponse(model_name="m", model_version="1")
    message.outputs.add(name="OUT", datatype=datatype, shape=shape)
    message.raw_output_contents.extend(raws)
    return bytes(message.SerializeToString())


@pytest.mark.parametrize(
    ("answer", "says_so"),
    [
        (response(b"1234"), "holds 4 bytes"),
        (response(b"12345678", shape=(3,)), "takes 12"),
        (response(b"12345678", shape=(-1, 2)), "whole numbers >= 0"),
        (response(b"12345678", datatype="FP31"), "unknown data type"),
        (response(), "carries no data"),
        (response(b"12345678", b"more"), "2 raw outputs for 1 outputs"),
        (response(b"\x09\0\0\0ab", datatype="BYTES"), "overruns"),
        (response(b"\x02\0\0\0ab", datatype="BYTES"), "holds 1 strings"),
        (response(b"\x02\0", datatype="BYTES"), "inside a length prefix"),
    ],
)
def test_answers_that_do_not_add_up(answer: bytes, says_so: str) -> None:
    with (
        grpc_server(lambda _: answer) as url,
        GrpcProbe(url) as probe,
        pytest.raises(MalformedAnswer, match=says_so),
    ):
        probe.infer("m", X)


def test_a_right_answer_is_read() -> None:
    raw = np.array([1.5, 2.5], np.float32).tobytes()
    with grpc_server(lambda _: response(raw)) as url, GrpcProbe(f"grpc://{url}") as probe:
        assert probe.infer("m", X)["OUT"].tolist() == [1.5, 2.5]


def test_garbage_is_no_message() -> None:
    with grpc_server(lambda _: b"\xff\xff\xff") as url, GrpcProbe(url) as probe:
        with pytest.raises(ConnectionFailed) as caught:
            probe.server_metadata()
        assert caught.value.kind == "garbled"


def test_an_answer_over_the_limit() -> None:
    with grpc_server(lambda _: b"x" * 5000) as url, GrpcProbe(url, limit=1000) as probe:
        with pytest.raises(ConnectionFailed) as caught:
            probe.server_metadata()
        assert caught.value.kind == "too_large"


def test_status_and_text_of_the_server() -> None:
    def refuse(context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")
        return b""

    with grpc_server(refuse) as url, GrpcProbe(url) as probe:
        with pytest.raises(RequestFailed) as caught:
            probe.infer("m", X)
        assert caught.value.status == "UNAVAILABLE"
        assert caught.value.message == "Exceeds maximum queue size"
        assert str(caught.value) == "grpc UNAVAILABLE: Exceeds maximum queue size"


@pytest.mark.parametrize(
    ("answer", "kinds"),
    [(hangs_up, {"refused", "closed", "timeout"}), (stalls(), {"timeout"})],
)
def test_no_grpc_behind_the_port(answer: object, kinds: set[str]) -> None:
    with stub_server(answer) as stub, GrpcProbe(f"127.0.0.1:{stub.port}", timeout=0.3) as probe:
        with pytest.raises(ConnectionFailed) as caught:
            probe.live()
        assert caught.value.kind in kinds


def test_nobody_listens() -> None:
    with stub_server(hangs_up) as stub:
        url = f"127.0.0.1:{stub.port}"
    with GrpcProbe(url) as probe, pytest.raises(ConnectionFailed) as caught:
        probe.live()
    assert caught.value.kind == "refused"
    assert caught.value.status == "UNAVAILABLE"


@pytest.mark.parametrize("url", ["", "ftp://x:1"])
def test_no_url(url: str) -> None:
    with pytest.raises(ToolError, match="no URL"):
        GrpcProbe(url)
