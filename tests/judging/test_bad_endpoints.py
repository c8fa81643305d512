"""Endpoints that are no Triton, or half of one: a clear failure in time, the rest blocked."""

from __future__ import annotations

import json
import os
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fake_triton import fake_triton

from pytest_triton.certificates import write_certificates

#: Seconds for one run of the judge on an endpoint that never answers: some ask for themselves.
LIMIT = 90.0
#: MB that the judge may take, whatever it is sent.
MEMORY = 200

#: Run a command and keep its peak in KB. Linux counts the memory of whoever starts a process as
#: its own, so that has to be a small one.
_MEASURED = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
open(sys.argv[1], "w").write(str(usage.ru_maxrss))
sys.exit(os.waitstatus_to_exitcode(status))
"""

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def _page(connection: socket.socket) -> None:
    _answer(connection, b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n", b"<h1>It works!</h1>")


def _not_found(connection: socket.socket) -> None:
    _answer(connection, b"HTTP/1.1 404 Not Found\r\n", b"nothing here")


def _forbidden(connection: socket.socket) -> None:
    _answer(connection, b"HTTP/1.1 401 Unauthorized\r\n", b'{"error":"who are you?"}')


def _invalid(connection: socket.socket) -> None:
    _answer(connection, OK, b'{"name": "\xff\xfe\x80", "version": "\xc3\x28"}')


def _silent(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(1 << 16):
            pass


def _closed(connection: socket.socket) -> None:
    connection.recv(1 << 16)


def _endless(connection: socket.socket) -> None:
    """10 GB, without saying so before."""
    connection.recv(1 << 16)
    with suppress(OSError):
        connection.sendall(OK + b"Connection: close\r\n\r\n")
        for _ in range(10 << 4):
            connection.sendall(b" " * (1 << 26))


def _huge(connection: socket.socket) -> None:
    """10 GB, as announced."""
    connection.recv(1 << 16)
    with suppress(OSError):
        connection.sendall(OK + b"Content-Length: 10737418240\r\n\r\n" + b" " * (1 << 20))
        time.sleep(0.2)


def _trickle(connection: socket.socket) -> None:
    """A byte now and then: no single read is ever late."""
    connection.recv(1 << 16)
    with suppress(OSError):
        for byte in OK + b"X-Slow: " + b"y" * 10_000:
            connection.sendall(bytes([byte]))
            time.sleep(0.2)


def _answer(connection: socket.socket, head: bytes, body: bytes) -> None:
    """The same to every request on the connection."""
    with suppress(OSError):
        while connection.recv(1 << 16):
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def serving(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port of this machine that behaves so."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            behave(self.request)

    with _Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def judge(directory: Path, url: str, *more: str) -> tuple[dict, str, float]:
    """The report of a run on an endpoint, what was printed, and the MB that it took."""
    (directory / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-c", _MEASURED, str(directory / "memory.txt"),
               sys.executable, "-m", "pytest", "--pyargs", "pytest_triton.suites", "-q",
               "-p", "no:cacheprovider", "--rootdir", str(directory), "-c",
               str(directory / "pytest.ini"), "--triton-report", str(directory / "report"),
               "--triton-url", url, *more]  # fmt: skip
    output = directory / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=directory, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        timer = threading.Timer(LIMIT, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        status = process.wait()
        timer.cancel()
    said = output.read_text(errors="replace")
    assert status == 1, said[-3000:]
    report = json.loads((directory / "report" / "report.json").read_text("utf-8"))
    return report, said, int((directory / "memory.txt").read_text()) / 1024


def _assert_clear(report: dict, said: str, memory: float, reason: str) -> None:
    by_status: dict[str, list[dict]] = {}
    for clause in report["clauses"]:
        by_status.setdefault(clause["status"], []).append(clause)
    assert "error" not in by_status, by_status["error"][:2]
    passed = {clause["id"] for clause in by_status.get("pass", ())}
    assert passed <= {"HLT-01", "HLT-02"}, passed
    assert "Traceback" not in said
    failed = {clause["id"]: clause["reason"] for clause in by_status["fail"]}
    assert len(failed) == 1, failed
    clause = "MET-01" if passed else "HLT-01"
    assert reason in failed[clause], failed
    blocked = [c for c in by_status["not_assessed"] if c["reason_code"] == "blocked"]
    assert len(blocked) > 30
    assert memory < MEMORY
    assert report["verdict"]["level"] == "none"


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (_page, "JSON"),
        (_not_found, "404"),
        (_forbidden, "401"),
        (_invalid, "UTF-8"),
        (_closed, "closed"),
        (_silent, "within"),
        (_trickle, "within"),
        (_endless, "over"),
        (_huge, "announces"),
    ],
)
def test_it_is_named_and_blocks_the_rest(
    tmp_path: Path, behave: Callable[[socket.socket], None], reason: str
) -> None:
    with serving(behave) as port:
        told = judge(tmp_path, f"http://127.0.0.1:{port}")
    _assert_clear(*told, reason)


@pytest.mark.parametrize(("scheme", "reason"), [("http", "reset"), ("https", "certificate")])
def test_tls_that_was_not_said_or_not_trusted(tmp_path: Path, scheme: str, reason: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = write_certificates(tmp_path / "certificates")
    context.load_cert_chain(own.server_cert, own.server_key)

    def speak(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as wrapped:
            _answer(wrapped, OK, b"{}")

    with serving(speak) as port:
        told = judge(tmp_path, f"{scheme}://127.0.0.1:{port}")
    _assert_clear(*told, reason)


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    report, said, memory = judge(tmp_path, f"http://127.0.0.1:{port}")
    _assert_clear(report, said, memory, "refused")


def test_one_protocol_only(tmp_path: Path) -> None:
    """HTTP answers as Triton does, gRPC does not: only what needs gRPC suffers."""
    with fake_triton() as fake, serving(_closed) as port:
        report, said, memory = judge(
            tmp_path, fake.url, "--triton-grpc-url", f"127.0.0.1:{port}",
            "--triton-metrics-url", fake.metrics_url, "--triton-scope", "setup",
        )  # fmt: skip
    clauses = {clause["id"]: clause for clause in report["clauses"]}
    assert clauses["SET-02"]["status"] == "fail"
    assert clauses["HLT-01"]["status"] == "pass"
    for name in ("HLT-07", "HLT-09", "HLT-11"):
        assert (clauses[name]["status"], clauses[name]["reason_code"]) == (
            "not_assessed",
            "blocked",
        )
    assert "Traceback" not in said
    assert memory < MEMORY
