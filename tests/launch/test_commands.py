"""serve, server and doctor, as a person runs them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_triton.launch.ports import reserve
from pytest_triton.launch.ready import listens, request

CLI = [sys.executable, "-m", "pytest_triton.cli"]


@pytest.fixture
def serve(repository: Path, model):
    """Start ``serve``; everything that is still there afterwards is ended."""
    model()
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*CLI, "serve", str(repository), "--device", "cpu", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


def line_of(process: subprocess.Popen[str], seconds: float = 30.0) -> str:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], seconds)[0], "no line in time"
    return process.stdout.readline()


def free_ports() -> int:
    """The first of three free ports in a row."""
    while True:
        with reserve() as ports:
            first = ports.http
        try:
            with reserve(first, first + 1, first + 2):
                return first
        except Exception:
            continue


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_it_is_told_to_end(serve, number: signal.Signals) -> None:
    port = free_ports()
    process = serve("--http-port", str(port), "--", "--log-verbose=1")
    line = line_of(process)
    assert f"http://127.0.0.1:{port} · grpc 127.0.0.1:{port + 1}" in line
    assert f"metrics http://127.0.0.1:{port + 2}/metrics" in line
    assert request(port, "GET", "/v2/health/ready")[0] == 200
    process.send_signal(number)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert not listens(port)
    assert "Started HTTPService" in log
    assert "Waiting for in-flight requests to complete" in log


def test_told_to_end_while_it_boots(serve) -> None:
    process = serve("--http-port", str(free_ports()))
    assert process.stderr is not None
    assert "booting" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_server_that_ends_by_itself(serve) -> None:
    port = free_ports()
    process = serve("--http-port", str(port))
    line_of(process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    supervisor = int(children[0])
    server = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()[0]
    os.kill(int(server), signal.SIGKILL)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 12
    assert "the server ended by itself, status -9" in log


def test_a_port_in_use_is_one_message(serve) -> None:
    with reserve() as ports:
        ports.held[0].listen(1)
        process = serve("--http-port", str(ports.http))
        _, said = process.communicate(timeout=30)
    assert process.returncode == 12
    assert f"port {ports.http} for HTTP is in use" in said
    assert "remedy" in said
    assert "Traceback" not in said


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **env},
    )


def test_server_list() -> None:
    rows = {row["release"]: row for row in json.loads(run("server", "list", "--json").stdout)}
    assert rows["24.10"]["installed"]
    assert rows["24.10"]["version"] == "2.51.0"
    assert "24.10" in run("server", "list").stdout


def test_server_install_at_once_when_it_is_there() -> None:
    began = time.monotonic()
    done = run("server", "install", "24.10")
    assert done.returncode == 0
    assert "Triton 2.51.0 (24.10) is in" in done.stdout
    assert time.monotonic() - began < 10


def test_server_remove_what_is_not_there(tmp_path: Path) -> None:
    done = run("server", "remove", "23.10", PYTEST_TRITON_CACHE=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "23.10 was not installed\n")


def test_doctor_on_a_machine_that_can() -> None:
    done = run("doctor", "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["ready"]) == (0, True)
    names = {check["name"] for check in told["checks"]}
    assert {"glibc", "Python", "/dev/shm", "GPU", "Docker", "bubblewrap", "Prometheus"} <= names
    assert "the embedded server can run here" in run("doctor").stdout


def test_doctor_on_a_machine_that_cannot(tmp_path: Path) -> None:
    done = run("doctor", "--json", PYTEST_TRITON_CACHE=str(tmp_path), PIP_NO_INDEX="1")
    told = json.loads(done.stdout)
    assert (done.returncode, told["ready"]) == (12, False)
    missing = {check["name"]: check for check in told["checks"] if check["verdict"] == "missing"}
    assert set(missing) == {"Triton 24.10", "numpy in the server"}
    assert "server install" in missing["Triton 24.10"]["remedy"]
