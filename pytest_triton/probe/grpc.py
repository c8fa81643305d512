"""The gRPC protocol, with the methods and the answers' shapes of HttpProbe."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc

from pytest_triton.errors import ToolError
from pytest_triton.probe import transcript
from pytest_triton.probe.connection import MAX_BYTES
from pytest_triton.probe.protobuf import (
    Version,
    infer_request,
    infer_result,
    server_version,
    to_plain,
)
from pytest_triton.probe.types import (
    LOAD_TIMEOUT,
    ConnectionFailed,
    InferResult,
    Inputs,
    RequestFailed,
)

T = TypeVar("T")

_TRANSPORT_TEXTS = (
    "failed to connect",
    "Socket closed",
    "Connection reset",
    "Broken pipe",
    "DNS resolution failed",
    "GOAWAY",
    "Stream removed",
    "recvmsg",
)
FINAL = "triton_final_response"
"""The response parameter that marks the last response of a stream."""


class GrpcProbe:
    """Calls over gRPC. Thread-safe; usable as a context manager.

    ``url`` is host:port, also with grpc:// or grpcs:// in front. ``timeout`` (seconds) covers
    one whole call. Errors as HttpProbe's; a deadline is ConnectionFailed of kind ``timeout``
    with status DEADLINE_EXCEEDED.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        timeout: float = 10.0,
        credentials: Any = None,
        limit: int = MAX_BYTES,
        pace: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._pace = pace or nullcontext()
        scheme, _, rest = url.rpartition("://")
        if scheme not in ("", "grpc", "grpcs", "http", "https") or not rest:
            raise ToolError(f"{url!r} is no URL of a server", "give one like 127.0.0.1:8001")
        self.url = rest.rstrip("/")
        self._timeout = timeout
        self._metadata = [(name.lower(), value) for name, value in headers]
        options = [
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_retries", 0),
            # a second server on the port of a first must not inherit its connection
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self._secure = scheme in ("grpcs", "https") or credentials is not None
        if self._secure:
            self._channel = grpc.secure_channel(
                self.url, credentials or grpc.ssl_channel_credentials(), options
            )
        else:
            self._channel = grpc.insecure_channel(self.url, options)
        self._version: Version | None = None
        self._stub = pb_grpc.GRPCInferenceServiceStub(self._channel)

    def __enter__(self) -> GrpcProbe:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel; what is in flight is cancelled."""
        self._channel.close()

    def _call(self, method: Callable[..., T], request: Any, timeout: float | None = None) -> T:
        limit = self._timeout if timeout is None else timeout
        try:
            with self._pace:
                if not transcript.recorded():
                    return method(request, timeout=limit, metadata=self._metadata)
                call = self._recorded(method, limit)
                with call:
                    call.sent.add(request)
                    answer = method(request, timeout=limit, metadata=self._metadata)
                    call.received.add(answer)
                return answer
        except grpc.RpcError as error:
            raise _translate(error, self.url, limit) from None

    def _recorded(self, method: Any, timeout: float) -> transcript.GrpcCall:
        """Begin a call's entry in the transcript."""
        told = getattr(method, "_method", b"")  # grpc has no public name for it
        rpc = (told.decode() if isinstance(told, bytes) else str(told)).lstrip("/")
        call = transcript.GrpcCall(self.url, rpc, self._metadata, self._secure, timeout)
        transcript.record(call)
        return call

    # -- health and metadata

    def live(self) -> bool:
        """ServerLive."""
        return bool(self._call(self._stub.ServerLive, pb.ServerLiveRequest()).live)

    def ready(self) -> bool:
        """ServerReady. Says nothing about models that were unloaded."""
        return bool(self._call(self._stub.ServerReady, pb.ServerReadyRequest()).ready)

    def model_ready(self, model: str, version: str = "") -> bool:
        """ModelReady; an unknown model is not ready, and no error."""
        request = pb.ModelReadyRequest(name=model, version=str(version))
        return bool(self._call(self._stub.ModelReady, request).ready)

    def health_check(self, service: str = "") -> int:
        """grpc.health.v1.Health/Check: 1 is SERVING."""
        name = service.encode("utf-8")
        request = b"\x0a" + bytes([len(name)]) + name if name else b""
        method = self._channel.unary_unary("/grpc.health.v1.Health/Check")
        answer = bytes(self._call(method, request))
        return answer[1] if len(answer) == 2 and answer[0] == 0x08 else 0

    def server_metadata(self) -> dict[str, Any]:
        """name, version, extensions."""
        return to_plain(self._call(self._stub.ServerMetadata, pb.ServerMetadataRequest()))

    def model_metadata(self, model: str, version: str = "") -> dict[str, Any]:
        """name, versions, platform, inputs and outputs."""
        request = pb.ModelMetadataRequest(name=model, version=str(version))
        plain = to_plain(self._call(self._stub.ModelMetadata, request))
        plain.pop("properties", None)  # HTTP has no such field
        return plain

    def model_config(self, model: str, version: str = "") -> dict[str, Any]:
        """The configuration as served, defaults filled in."""
        request = pb.ModelConfigRequest(name=model, version=str(version))
        config = self._call(self._stub.ModelConfig, request).config
        return to_plain(config, self._server_version())

    def statistics(self, model: str = "", version: str = "") -> dict[str, Any]:
        """``{"model_stats": [...]}``; of every model when none is named."""
        request = pb.ModelStatisticsRequest(name=model, version=str(version))
        return to_plain(self._call(self._stub.ModelStatistics, request), self._server_version())

    def _server_version(self) -> Version:
        if self._version is None:
            try:
                self._version = server_version(self.server_metadata()["version"])
            except RequestFailed:  # a restricted protocol: show every field
                self._version = server_version("")
        return self._version

    # -- repository control

    def index(self, ready: bool | None = None) -> list[dict[str, Any]]:
        """The repository index; fields that are empty are left out, as over HTTP."""
        request = pb.RepositoryIndexRequest(ready=bool(ready))
        models = self._call(self._stub.RepositoryIndex, request).models
        return [{key: value for key, value in to_plain(model).items() if value} for model in models]

    def load(
        self,
        model: str,
        *,
        config: str | Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
        timeout: float = LOAD_TIMEOUT,
    ) -> None:
        """Load or reload. ``config`` overrides; ``files`` maps "1/model.pt" to contents."""
        request = pb.RepositoryModelLoadRequest(model_name=model)
        if config is not None:
            text = config if isinstance(config, str) else json.dumps(dict(config))
            request.parameters["config"].string_param = text
        for path, content in (files or {}).items():
            request.parameters[f"file:{path}"].bytes_param = content
        self._call(self._stub.RepositoryModelLoad, request, timeout)

    def unload(self, model: str, *, dependents: bool = False, timeout: float | None = None) -> None:
        """Ask for an unload; Triton answers before it is done."""
        request = pb.RepositoryModelUnloadRequest(model_name=model)
        if dependents:
            request.parameters["unload_dependents"].bool_param = True
        self._call(self._stub.RepositoryModelUnload, request, timeout)

    # -- inference

    def infer(
        self,
        model: str,
        inputs: Inputs,
        *,
        version: str = "",
        outputs: Iterable[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        raw: bool = True,
        request_id: str = "",
        classification: int = 0,
        timeout: float | None = None,
    ) -> InferResult:
        """One inference. All outputs when ``outputs`` is None."""
        request = infer_request(
            model,
            inputs,
            version=version,
            outputs=outputs,
            parameters=parameters,
            raw=raw,
            request_id=request_id,
            classification=classification,
        )
        return infer_result(self.call("ModelInfer", request, timeout=timeout))

    def stream_infer(
        self,
        model: str,
        inputs: Inputs,
        *,
        version: str = "",
        outputs: Iterable[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        raw: bool = True,
        request_id: str = "",
        timeout: float | None = None,
    ) -> Iterator[InferResult]:
        """Responses of one request as they come, until the server ends the stream.

        The deadline covers the whole stream; giving the iterator up cancels it. The parameter
        ``triton_enable_empty_final_response`` makes a decoupled model say when it is done.
        """
        request = infer_request(
            model,
            inputs,
            version=version,
            outputs=outputs,
            parameters=parameters,
            raw=raw,
            request_id=request_id,
        )
        return self.stream([request], timeout=timeout)

    def stream(
        self, requests: Iterable[pb.ModelInferRequest], *, timeout: float | None = None
    ) -> Iterator[InferResult]:
        """Several requests on one stream. A response that is an error raises RequestFailed."""
        for response in self.responses(requests, timeout=timeout):
            if response.error_message:
                raise RequestFailed("grpc", "", response.error_message)
            yield infer_result(response.infer_response)

    def responses(
        self, requests: Iterable[pb.ModelInferRequest], *, timeout: float | None = None
    ) -> Iterator[pb.ModelStreamInferResponse]:
        """As :meth:`stream`, the messages as they are, those that carry an error too."""
        limit = self._timeout if timeout is None else timeout
        method = self._stub.ModelStreamInfer
        self._pace.__enter__()
        kept = self._recorded(method, limit)
        call = method(kept.sending(requests), timeout=limit, metadata=self._metadata)
        try:
            with kept:
                for response in call:
                    kept.received.add(response)
                    yield response
        except grpc.RpcError as error:
            raise _translate(error, self.url, limit) from None
        finally:
            call.cancel()
            self._pace.__exit__(None, None, None)

    def call(self, method: str, request: Any, *, timeout: float | None = None) -> Any:
        """Any unary method of the service with a message of one's own making."""
        return self._call(getattr(self._stub, method), request, timeout)

    def call_raw(self, method: str, request: bytes, *, timeout: float | None = None) -> bytes:
        """Any unary method with a request's bytes, be they a message or not; the answer's bytes."""
        raw = self._channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        return bytes(self._call(raw, request, timeout))


def _translate(error: Any, url: str, timeout: float) -> RequestFailed | ConnectionFailed:
    status, details = error.code().name, error.details() or ""
    if status == "DEADLINE_EXCEEDED":
        return ConnectionFailed("timeout", f"{url}: no answer within {timeout:g} s", status=status)
    if status == "RESOURCE_EXHAUSTED" and "larger than max" in details:
        return ConnectionFailed("too_large", f"{url}: {details}", status=status)
    if status == "UNAVAILABLE" and any(text in details for text in _TRANSPORT_TEXTS):
        kind = "refused" if "connect" in details or "DNS" in details else "closed"
        return ConnectionFailed(
            "refused" if kind == "refused" else "closed", f"{url}: {details}", status=status
        )
    if status in ("INTERNAL", "UNKNOWN") and details.startswith("Exception deserializing response"):
        return ConnectionFailed("garbled", f"{url}: {details}", status=status)
    return RequestFailed("grpc", status, details)
