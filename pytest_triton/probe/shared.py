"""The shared-memory extensions over both protocols, and inference whose tensors lie in a region."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from pytest_triton.probe.codec import as_tensor
from pytest_triton.probe.http import HttpProbe, model_path
from pytest_triton.probe.types import HttpAnswer, Inputs, MalformedAnswer, RequestFailed

if TYPE_CHECKING:
    from pytest_triton.probe.grpc import GrpcProbe


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies: a registered region, its size and its offset in bytes."""

    region: str
    size: int
    offset: int = 0

    @property
    def parameters(self) -> dict[str, str | int]:
        """The tensor's parameters in a request."""
        return {
            "shared_memory_region": self.region,
            "shared_memory_byte_size": self.size,
            "shared_memory_offset": self.offset,
        }


class Regions(Protocol):
    """The calls of the extension; each raises RequestFailed, MalformedAnswer, ConnectionFailed."""

    #: "HTTP" or "gRPC".
    name: str

    def status(self, region: str = "") -> dict[str, dict[str, Any]]:
        """Name -> name, key, offset and byte_size of a region, or of all."""

    def register(self, region: str, key: str, size: int, offset: int = 0) -> Any:
        """Register ``size`` bytes of what the server opens under ``key``."""

    def unregister(self, region: str = "") -> Any:
        """Unregister a region, or all."""

    def cuda_status(self) -> dict[str, dict[str, Any]]:
        """Name -> name, device_id and byte_size of every region of CUDA memory."""

    def cuda_register(self, region: str, handle: bytes, size: int) -> Any:
        """Register memory of device 0 by its handle."""

    def cuda_unregister(self, region: str) -> Any:
        """Unregister a region of CUDA memory."""


def said(answer: HttpAnswer) -> Any:
    """The JSON of an answer with status 200 (None: no body).

    Any other status raises RequestFailed with its ``error``, and MalformedAnswer without one.
    """
    if answer.status == 200:
        return answer.json() if answer.body.strip() else None
    if answer.error is None:
        raise MalformedAnswer(
            f"status {answer.status} comes without JSON 'error': {answer.text[:120]!r}"
            f"{answer.speaker}"
        )
    raise RequestFailed("http", answer.status, answer.error)


def _listed(document: Any) -> dict[str, dict[str, Any]]:
    """The entries of a status by name. Raises MalformedAnswer."""
    if not isinstance(document, list):
        raise MalformedAnswer(f"the status is {document!r:.80}, not an array")
    for entry in document:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise MalformedAnswer(f"the status lists {entry!r:.80}, without a name")
    return {entry["name"]: entry for entry in document}


class HttpRegions:
    """Over HTTP."""

    name = "HTTP"

    def __init__(self, http: HttpProbe) -> None:
        self._http = http

    def _post(self, path: str, document: Any) -> Any:
        return said(self._http.request("POST", path, body=json.dumps(document).encode()))

    def status(self, region: str = "") -> dict[str, dict[str, Any]]:
        path = f"/region/{quote(region, safe='')}/status" if region else "/status"
        return _listed(said(self._http.request("GET", f"/v2/systemsharedmemory{path}")))

    def register(self, region: str, key: str, size: int, offset: int = 0) -> Any:
        return self.register_as(region, {"key": key, "offset": offset, "byte_size": size})

    def register_as(self, region: str, document: Mapping[str, Any]) -> Any:
        """Register with a body of one's own making."""
        path = f"/v2/systemsharedmemory/region/{quote(region, safe='')}/register"
        return self._post(path, dict(document))

    def unregister(self, region: str = "") -> Any:
        path = f"/region/{quote(region, safe='')}/unregister" if region else "/unregister"
        return self._post(f"/v2/systemsharedmemory{path}", {})

    def cuda_status(self) -> dict[str, dict[str, Any]]:
        return _listed(said(self._http.request("GET", "/v2/cudasharedmemory/status")))

    def cuda_register(self, region: str, handle: bytes, size: int) -> Any:
        import base64

        body = {
            "raw_handle": {"b64": base64.b64encode(handle).decode("ascii")},
            "device_id": 0,
            "byte_size": size,
        }
        return self._post(f"/v2/cudasharedmemory/region/{quote(region, safe='')}/register", body)

    def cuda_unregister(self, region: str) -> Any:
        return self._post(f"/v2/cudasharedmemory/region/{quote(region, safe='')}/unregister", {})


class GrpcRegions:
    """Over gRPC."""

    name = "gRPC"

    def __init__(self, grpc: GrpcProbe) -> None:
        self._grpc = grpc

    def status(self, region: str = "") -> dict[str, dict[str, Any]]:
        from tritonclient.grpc import service_pb2 as pb

        from pytest_triton.probe.protobuf import to_plain

        request = pb.SystemSharedMemoryStatusRequest(name=region)
        answer = self._grpc.call("SystemSharedMemoryStatus", request)
        return {str(name): to_plain(entry) for name, entry in answer.regions.items()}

    def register(self, region: str, key: str, size: int, offset: int = 0) -> Any:
        from tritonclient.grpc import service_pb2 as pb

        request = pb.SystemSharedMemoryRegisterRequest(
            name=region, key=key, offset=offset, byte_size=size
        )
        return self._grpc.call("SystemSharedMemoryRegister", request)

    def unregister(self, region: str = "") -> Any:
        from tritonclient.grpc import service_pb2 as pb

        request = pb.SystemSharedMemoryUnregisterRequest(name=region)
        return self._grpc.call("SystemSharedMemoryUnregister", request)

    def cuda_status(self) -> dict[str, dict[str, Any]]:
        from tritonclient.grpc import service_pb2 as pb

        from pytest_triton.probe.protobuf import to_plain

        answer = self._grpc.call("CudaSharedMemoryStatus", pb.CudaSharedMemoryStatusRequest())
        return {str(name): to_plain(entry) for name, entry in answer.regions.items()}

    def cuda_register(self, region: str, handle: bytes, size: int) -> Any:
        from tritonclient.grpc import service_pb2 as pb

        request = pb.CudaSharedMemoryRegisterRequest(
            name=region, raw_handle=handle, device_id=0, byte_size=size
        )
        return self._grpc.call("CudaSharedMemoryRegister", request)

    def cuda_unregister(self, region: str) -> Any:
        from tritonclient.grpc import service_pb2 as pb

        request = pb.CudaSharedMemoryUnregisterRequest(name=region)
        return self._grpc.call("CudaSharedMemoryUnregister", request)


def placed_request(
    inputs: Inputs,
    places: Mapping[str, Mapping[str, Any]],
    outputs: Mapping[str, Mapping[str, Any]],
    request_id: str = "",
) -> dict[str, Any]:
    """The body of POST infer: every input and output with the parameters that say where it is."""
    listed = []
    for name, value in inputs.items():
        tensor = as_tensor(value)
        entry = {"name": name, "shape": list(tensor.array.shape), "datatype": tensor.datatype}
        listed.append({**entry, "parameters": dict(places[name])})
    wanted = [{"name": name, "parameters": dict(said)} for name, said in outputs.items()]
    return {
        **({"id": request_id} if request_id else {}),
        "inputs": listed,
        **({"outputs": wanted} if wanted else {}),
    }


def placed_message(
    model: str,
    inputs: Inputs,
    places: Mapping[str, Mapping[str, Any]],
    outputs: Mapping[str, Mapping[str, Any]],
    request_id: str = "",
) -> Any:
    """The same as a ModelInferRequest."""
    from tritonclient.grpc import service_pb2 as pb

    request = pb.ModelInferRequest(model_name=model, id=request_id)
    for name, value in inputs.items():
        tensor = as_tensor(value)
        entry = request.inputs.add(name=name, datatype=tensor.datatype, shape=tensor.array.shape)
        _parameters(entry, places[name])
    for name, told in outputs.items():
        _parameters(request.outputs.add(name=name), told)
    return request


def _parameters(entry: Any, told: Mapping[str, Any]) -> None:
    for name, value in told.items():
        if isinstance(value, str):
            entry.parameters[name].string_param = value
        else:
            entry.parameters[name].int64_param = value


def infer_path(model: str) -> str:
    """Where POST infer of a model goes."""
    return f"{model_path(model)}/infer"
