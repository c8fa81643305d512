"""What a probe sends and gets, and the three ways in which a call can go wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from pytest_triton.errors import SubjectFault

LOAD_TIMEOUT = 120.0
"""Seconds that loading a model may take: a first import of torch is in it, twice."""
#: How Triton refuses an API that is restricted, before the header's name.
RESTRICTED = re.compile(r"This (?:API|protocol) is restricted, expecting header ")
#: Bytes of a body in which a page of HTML says that it is one.
_START = 1000

Array: TypeAlias = "np.ndarray[Any, Any]"


class ProbeError(SubjectFault):
    """A call did not give the answer that was asked for."""


class RequestFailed(ProbeError):
    """The server answered, and its answer is an error.

    ``status`` is the HTTP status (an int) or the name of the gRPC status ("NOT_FOUND");
    it is "" for an error inside a gRPC stream, which carries only a text. ``readable`` is
    false where an answer over HTTP has no JSON with ``error``: ``message`` is its body then.
    """

    def __init__(
        self,
        protocol: Literal["http", "grpc"],
        status: int | str,
        message: str,
        *,
        readable: bool = True,
    ) -> None:
        super().__init__(protocol, status, message)
        self.protocol = protocol
        self.status = status
        self.message = message
        self.readable = readable

    def __str__(self) -> str:
        return f"{self.protocol} {self.status}: {self.message}"


class ConnectionFailed(ProbeError):
    """No whole answer arrived: refused, broken off, too late or too large.

    ``kind`` is one of ``refused``, ``timeout``, ``closed``, ``too_large``, ``garbled``;
    ``status`` holds the name of the gRPC status when there is one.
    """

    def __init__(
        self,
        kind: Literal["refused", "timeout", "closed", "too_large", "garbled"],
        message: str,
        *,
        status: str = "",
    ) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message


class MalformedAnswer(ProbeError):
    """A whole answer arrived, and it is not what the protocol says (the subject's fault)."""


class HttpAnswer:
    """One HTTP answer. ``headers`` has lower-case names; ``body`` is as it was on the wire."""

    __slots__ = ("body", "elapsed_s", "headers", "status")

    def __init__(
        self, status: int, headers: Mapping[str, str], body: bytes, elapsed_s: float
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.elapsed_s = elapsed_s

    def __repr__(self) -> str:
        return f"HttpAnswer({self.status}, {len(self.body)} bytes, {self.elapsed_s:.4f} s)"

    @property
    def text(self) -> str:
        """The body for people to read; bytes that are not UTF-8 are replaced."""
        return self.body.decode("utf-8", "replace")

    @property
    def speaker(self) -> str:
        """Who speaks in Triton's place, in brackets for the end of a message; "" if nobody does.

        Also what Triton says itself of an API that is restricted: nobody asked it then.

        Triton writes JSON and names itself in no header; a gateway with answers of its own
        does not.
        """
        start = self.body[:_START].lstrip().lower()
        page = start.startswith(b"<") and (b"<html" in start or b"<!doctype html" in start)
        packed, named = self.headers.get("content-encoding", ""), self.gateway
        if RESTRICTED.match(self.error or ""):
            told = str(self.error)[:300]
        elif page:
            told = "an HTML page: another server answers in Triton's place"
        elif packed and self.error is None:
            told = f"its Content-Encoding is {packed[:40]!r}"
        elif named and self.error is None:
            told = "no error of Triton's: a gateway may answer in its place"
        else:
            told = "through a gateway" if named else ""
        return f" ({'; '.join(filter(None, (told, named)))})" if told else ""

    @property
    def gateway(self) -> str:
        """The headers that a gateway sets and Triton does not, as "server: nginx"; "": none."""
        return ", ".join(
            f"{name}: {''.join(c if c.isprintable() else '?' for c in self.headers[name][:80])}"
            for name in ("server", "via")
            if self.headers.get(name)
        )

    @property
    def failure(self) -> RequestFailed:
        """The error that an answer with another status than 200 is."""
        error = self.error
        if error:
            return RequestFailed("http", self.status, error)
        text = f"{self.text[:400]}{self.speaker}"
        return RequestFailed("http", self.status, text, readable=False)

    def json(self) -> Any:
        """The parsed body. Raises MalformedAnswer when it is not JSON in UTF-8."""
        try:
            return parse_json(self.body)
        except MalformedAnswer as error:
            raise MalformedAnswer(f"{error}{self.speaker}") from None

    @property
    def error(self) -> str | None:
        """The text under ``error``, or None when the body has none."""
        try:
            parsed = parse_json(self.body)
        except MalformedAnswer:
            return None
        text = parsed.get("error") if isinstance(parsed, dict) else None
        return text if isinstance(text, str) else None


def parse_json(body: bytes) -> Any:
    """JSON in UTF-8; NaN and Infinity as Triton writes them. Raises MalformedAnswer."""
    try:
        return json.loads(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise MalformedAnswer(f"not UTF-8 at byte {error.start}: {body[:80]!r}") from None
    except (ValueError, RecursionError) as error:
        raise MalformedAnswer(f"not JSON ({error}): {body[:80]!r}") from None


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor as metadata tells it: Triton's data type, -1 for a variable dimension."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """An array with the data type said, where numpy cannot (BF16 as raw uint16) or must not."""

    array: Array
    datatype: str


TensorInput: TypeAlias = "Array | Tensor"
Inputs: TypeAlias = "Mapping[str, TensorInput]"


@dataclass(frozen=True, slots=True, eq=False)
class InferResult:
    """One inference response; ``result["name"]`` is the array of an output.

    BYTES outputs are object arrays of bytes, BF16 outputs uint16 arrays of the raw bits.
    ``datatypes`` holds what the server said, ``raw_sizes`` the wire sizes in bytes of
    outputs that travelled in binary.
    """

    model_name: str
    model_version: str
    id: str
    outputs: dict[str, Array]
    parameters: dict[str, Any] = field(default_factory=dict)
    datatypes: dict[str, str] = field(default_factory=dict)
    raw_sizes: dict[str, int] = field(default_factory=dict)
    output_parameters: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Array:
        try:
            return self.outputs[name]
        except KeyError:
            raise KeyError(f"no output {name!r}; there are {sorted(self.outputs)}") from None
