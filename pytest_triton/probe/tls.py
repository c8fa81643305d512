"""Certificates for the probes, out of files."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from pytest_triton.errors import ToolError


def ssl_context(ca: Path | None, cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """A context for HTTPS; None when nothing was given. Raises ToolError for unusable files."""
    if not (ca or cert or key):
        return None
    if key and not cert:
        raise ToolError("a key without a certificate", "give --triton-tls-cert too")
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        if cert:
            context.load_cert_chain(str(cert), str(key) if key else None)
    except (ssl.SSLError, OSError) as error:
        raise ToolError(
            f"the certificates cannot be used: {error}",
            "--triton-tls-ca, --triton-tls-cert and --triton-tls-key are PEM files",
        ) from None
    return context


def grpc_credentials(ca: Path | None, cert: Path | None, key: Path | None) -> Any:
    """Channel credentials for gRPC; None when nothing was given. Raises ToolError, too."""
    if ssl_context(ca, cert, key) is None:
        return None
    import grpc

    def read(path: Path | None) -> bytes | None:
        return path.read_bytes() if path else None

    return grpc.ssl_channel_credentials(read(ca), read(key or cert), read(cert))
