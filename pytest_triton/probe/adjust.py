"""The trace and logging extensions over both protocols, with the same values on both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from pytest_triton.probe.http import HttpProbe, model_path
from pytest_triton.probe.shared import said
from pytest_triton.probe.types import MalformedAnswer

if TYPE_CHECKING:
    from pytest_triton.probe.grpc import GrpcProbe

#: The trace setting that is an array; every other one is a string.
LEVEL = "trace_level"


class Adjusting(Protocol):
    """The calls; each raises RequestFailed, MalformedAnswer, ConnectionFailed."""

    #: "HTTP" or "gRPC".
    name: str

    def trace(self, changes: Mapping[str, Any] | None = None, model: str = "") -> dict[str, Any]:
        """The trace settings (of a model), after ``changes``; None clears a setting."""

    def log(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The log settings, after ``changes``."""


class HttpAdjusting:
    """Over HTTP."""

    name = "HTTP"

    def __init__(self, http: HttpProbe) -> None:
        self._http = http

    def _ask(self, path: str, changes: Mapping[str, Any] | None) -> dict[str, Any]:
        if changes is None:
            answer = said(self._http.request("GET", path))
        else:
            body = json.dumps(dict(changes)).encode()
            answer = said(self._http.request("POST", path, body=body))
        if not isinstance(answer, dict):
            raise MalformedAnswer(f"the settings are {answer!r:.80}, not an object")
        return answer

    def trace(self, changes: Mapping[str, Any] | None = None, model: str = "") -> dict[str, Any]:
        path = model_path(model) if model else "/v2"
        return self._ask(f"{path}/trace/setting", changes)

    def log(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._ask("/v2/logging", changes)


class GrpcAdjusting:
    """Over gRPC."""

    name = "gRPC"

    def __init__(self, grpc: GrpcProbe) -> None:
        self._grpc = grpc

    def trace(self, changes: Mapping[str, Any] | None = None, model: str = "") -> dict[str, Any]:
        from tritonclient.grpc import service_pb2 as pb

        request = pb.TraceSettingRequest(model_name=model)
        for key, value in (changes or {}).items():
            values = [] if value is None else [value] if isinstance(value, str) else list(value)
            # an empty value clears the setting: it has to be there
            request.settings[key].value.extend(values)
        answer = self._grpc.call("TraceSetting", request)
        told: dict[str, Any] = {}
        for key, value in answer.settings.items():
            values = list(value.value)
            told[key] = values if key == LEVEL or len(values) != 1 else values[0]
        return told

    def log(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        from tritonclient.grpc import service_pb2 as pb

        request = pb.LogSettingsRequest()
        for key, value in (changes or {}).items():
            entry = request.settings[key]
            if isinstance(value, bool):
                entry.bool_param = value
            elif isinstance(value, int):
                entry.uint32_param = value
            else:
                entry.string_param = value
        answer = self._grpc.call("LogSettings", request)
        told: dict[str, Any] = {}
        for key, value in answer.settings.items():
            choice = value.WhichOneof("parameter_choice")
            told[key] = getattr(value, choice) if choice else None
        return told
