"""Certificates for a test of TLS: a CA of the moment, and what it has signed.

Made by trustme, for tests and nothing else: whoever has the files is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM: a CA's certificate, and two pairs that it has signed."""

    ca: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


def write_certificates(directory: Path, *, host: str = "127.0.0.1") -> Certificates:
    """A new CA, a server's certificate for an IP address or host name, and a client's."""
    import trustme

    directory.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)

    def write(name: str, blob: trustme.Blob) -> Path:
        path = directory / name
        path.touch(mode=0o600)
        path.write_bytes(blob.bytes())
        return path

    written = [write("ca.pem", authority.cert_pem)]
    for name, identity in (("server", host), ("client", "client.pytest-triton.test")):
        pair = authority.issue_cert(identity, key_type=trustme.KeyType.ECDSA)
        written += [
            write(f"{name}.pem", pair.cert_chain_pems[0]),
            write(f"{name}.key", pair.private_key_pem),
        ]
    return Certificates(*written)
