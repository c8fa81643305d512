"""A server that is already there: judged as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from pytest_triton.deployment import Deployment
from pytest_triton.errors import ToolError

#: Triton's default ports; the other two are assumed only beside the first.
_HTTP, _GRPC, _METRICS = 8000, 8001, 8002


def attach(
    url: str,
    *,
    grpc_url: str | None = None,
    metrics_url: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
) -> Deployment:
    """The Deployment at a URL; sends nothing. Raises ToolError for an address that is none."""
    parts = _split(url, "--triton-url")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    beside = _port(parts, "--triton-url") == _HTTP
    if grpc_url is None and beside:
        grpc_url = f"{host}:{_GRPC}"
    elif grpc_url is not None:
        grpc_url = _grpc(grpc_url)
    if metrics_url is None and beside:
        metrics_url = f"{parts.scheme}://{host}:{_METRICS}/metrics"
    elif metrics_url is not None:
        asked = _split(metrics_url, "--triton-metrics-url")
        path = asked.path if asked.path.strip("/") else "/metrics"
        metrics_url = asked._replace(path=path).geturl()
    return Deployment(
        kind="endpoint",
        http_url=f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/"),
        grpc_url=grpc_url,
        metrics_url=metrics_url,
        headers=tuple(headers),
    )


def _split(url: str, option: str) -> SplitResult:
    text = url.strip()
    parts = urlsplit(text if "://" in text else f"http://{text}")
    remedy = "write it like http://127.0.0.1:8000"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ToolError(f"{option} {url!r} is not the address of an HTTP endpoint", remedy)
    if parts.username is not None or parts.password is not None:
        raise ToolError(
            f"{option} holds a user name or password, which reports would show",
            "pass it as a header, which reports redact: --triton-header 'Authorization: …'",
        )
    if parts.query or parts.fragment:
        raise ToolError(f"{option} {url!r} has a query or a fragment", remedy)
    _port(parts, option)
    return parts


def _port(parts: SplitResult, option: str) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise ToolError(
            f"{option} {parts.geturl()!r} has a port that is none", "use 1 to 65535"
        ) from None


def _grpc(url: str) -> str:
    """``host:port`` of a gRPC endpoint, however it was written."""
    address = url.strip().rpartition("://")[2].rstrip("/")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536 or "/" in address:
        raise ToolError(
            f"--triton-grpc-url {url!r} is not the address of a gRPC endpoint",
            "write it like 127.0.0.1:8001",
        )
    return address
