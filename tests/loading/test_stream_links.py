"""Streams through TLS, with headers, over both protocols."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from streaming_server import Streaming, write_models
from stub_stream import grpc_stub, response

from pytest_triton.certificates import Certificates, write_certificates
from pytest_triton.launch.embedded import ServerSpec, embedded

HEADER = ("--header", "X-Key: secret")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return write_certificates(tmp_path_factory.mktemp("tls"))


@contextmanager
def _terminated(url: str, files: Certificates, heard: bytearray) -> Iterator[str]:
    """TLS in front of a server; ``heard`` gets what clients say."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server_cert, files.server_key)
    upstream = urlsplit(url)
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket, copy: bytearray | None) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if copy is not None:
                    copy.extend(data)
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                plain, _ = listener.accept()
                client = context.wrap_socket(plain, server_side=True)
                server = socket.create_connection((upstream.hostname, upstream.port or 80))
                for way in ((client, server, heard), (server, client, None)):
                    threading.Thread(target=pump, args=way, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_https_and_headers(streaming: Streaming, files: Certificates) -> None:
    heard = bytearray()
    with _terminated(streaming.deployment.http_url, files, heard) as url:
        done = streaming.load("steady", "--url", url, "--tls-ca", str(files.ca), *HEADER)
    assert done.exit_code == 0, done.output
    streams = [part for part in bytes(heard).split(b"POST ") if b"/generate_stream " in part]
    assert len(streams) > 6
    assert all(b"\r\nX-Key: secret\r\n" in part for part in streams)


def test_an_authority_that_is_unknown_is_refused(
    streaming: Streaming, files: Certificates, tmp_path: Path
) -> None:
    other = write_certificates(tmp_path / "other")
    with _terminated(streaming.deployment.http_url, files, bytearray()) as url:
        done = streaming.load("steady", "--url", url, "--tls-ca", str(other.ca))
    assert done.exit_code
    assert "certificate" in str(done.exception).lower()


def test_grpc_with_certificates(files: Certificates, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    write_models(repository, ("steady",))
    flags = (
        "--grpc-use-ssl=true", "--grpc-use-ssl-mutual=true",
        f"--grpc-server-cert={files.server_cert}", f"--grpc-server-key={files.server_key}",
        f"--grpc-root-cert={files.ca}",
    )  # fmt: skip
    with embedded(ServerSpec(repository, device="cpu", server_args=flags)) as server:
        done = Streaming(server, repository).load(
            "steady", "--protocol", "grpc", "--tls-ca", str(files.ca),
            "--tls-cert", str(files.client_cert), "--tls-key", str(files.client_key),
        )  # fmt: skip
    assert done.exit_code == 0, done.output


def test_headers_are_metadata(streaming: Streaming) -> None:
    seen: list[dict[str, str]] = []
    with grpc_stub([response(1), response(None, True)], seen=seen) as address:
        streaming.load("steady", "--protocol", "grpc", "--grpc-url", address, *HEADER)
    assert seen
    assert all(one["x-key"] == "secret" for one in seen)
