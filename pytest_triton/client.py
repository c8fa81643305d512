"""What a team's test calls: infer over HTTP or gRPC, with the model named first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_triton.errors import ToolError
from pytest_triton.probe.grpc import GrpcProbe
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import InferResult


class Protocols:
    """``infer`` over one protocol, whose probe is at ``.probe``."""

    def __init__(self, probe: Any) -> None:
        self.probe = probe

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        version: str = "",
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        **tensors: Any,
    ) -> InferResult:
        """One inference; returns an InferResult: ``result["OUTPUT__0"]`` is an array.

        Inputs are arrays by name, as a mapping or as keywords (the mapping works for every
        name; both are merged). ``timeout`` is in seconds. Raises RequestFailed with the
        server's status and text, ConnectionFailed when no whole answer came.
        """
        named = {**(inputs or {}), **tensors}
        answer: InferResult = self.probe.infer(
            model,
            named,
            version=version,
            outputs=outputs,
            parameters=parameters,
            timeout=timeout,
        )
        return answer


class TritonClient(Protocols):
    """HTTP by default (``client.infer``), gRPC as ``client.grpc.infer``."""

    def __init__(self, http: HttpProbe, grpc: GrpcProbe | None) -> None:
        super().__init__(http)
        self.http = Protocols(http)
        self._grpc = Protocols(grpc) if grpc else None

    @property
    def grpc(self) -> Protocols:
        """The same over gRPC. Raises ToolError where no endpoint is known."""
        if self._grpc is None:
            raise ToolError("no gRPC endpoint is known", "give --triton-grpc-url HOST:PORT")
        return self._grpc
