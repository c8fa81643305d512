"""Certificates of the moment: a strict TLS library takes them, each with its own CA alone."""

from __future__ import annotations

import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest

from pytest_triton.certificates import Certificates, write_certificates


def _handshake(own: Certificates, ca: Path, client: Certificates | None, host: str) -> str:
    """Both sides in one process; the version of TLS."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(own.server_cert, own.server_key)
    server.load_verify_locations(own.ca)
    server.verify_mode = ssl.CERT_REQUIRED
    context = ssl.create_default_context(cafile=str(ca))
    for one in (server, context):
        one.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    if client:
        context.load_cert_chain(client.client_cert, client.client_key)
    here, there = socket.socketpair()
    here.settimeout(5)
    there.settimeout(5)

    def answer() -> None:
        try:
            with server.wrap_socket(there, server_side=True) as wrapped:
                wrapped.sendall(b"ok")
        except OSError:
            there.close()

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with context.wrap_socket(here, server_hostname=host) as wrapped:
            assert wrapped.recv(2) == b"ok", "the server ends the connection"
            return str(wrapped.version())
    finally:
        here.close()
        thread.join(10)


def test_handshake(tmp_path: Path) -> None:
    own, other = (write_certificates(tmp_path / name) for name in ("own", "other"))
    assert _handshake(own, own.ca, own, "127.0.0.1") == "TLSv1.3"
    for ca, client, host in (
        (other.ca, own, "127.0.0.1"),
        (own.ca, other, "127.0.0.1"),
        (own.ca, None, "127.0.0.1"),
        (own.ca, own, "127.0.0.2"),
    ):
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            _handshake(own, ca, client, host)


def test_keys_are_private_and_never_the_same(tmp_path: Path) -> None:
    made = [write_certificates(tmp_path / str(number)) for number in range(8)]
    assert len({one.server_key.read_text() for one in made}) == 8
    assert stat.S_IMODE(made[0].server_key.stat().st_mode) == 0o600
    for one in made:  # small and negative looking integers, too, are read by OpenSSL
        assert _handshake(one, one.ca, one, "127.0.0.1") == "TLSv1.3"


def test_another_host(tmp_path: Path) -> None:
    own = write_certificates(tmp_path, host="::1")
    assert _handshake(own, own.ca, own, "::1") == "TLSv1.3"
