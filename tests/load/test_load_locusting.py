"""Locust, distributed: two workers against a real Triton, and against servers that misbehave."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest

from pytest_triton.errors import ToolError
from pytest_triton.load.locusting import driving
from pytest_triton.load.locusting.driving import drive_with_locust
from pytest_triton.load.locusting.exchange import Exchange, Failed
from pytest_triton.load.records import from_json
from pytest_triton.load.requests import prepare_http
from pytest_triton.load_tested import requests_seen
from pytest_triton.measuring import prepare
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

sys.path.append(str(Path(__file__).parents[1] / "probe"))
from stub_server import floods, hangs_up, http, inference, says, stalls, stub_server

# Not imported: it would patch this process for gevent.
pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="needs Locust")
ARRAY = np.array([(1.0, 2.0)], np.float32)
REQUEST = prepare_http("m", "", {"IN": ARRAY}, expected={"OUT": ARRAY})


def test_two_workers_against_a_real_server(triton) -> None:
    subject = Subject(triton, Settings(seed=7))
    try:
        requests = prepare(subject, "mlp", count=16)
        before = requests_seen(subject)["mlp"].total
        told: list[str] = []
        record = drive_with_locust(
            triton.http_url, requests, users=6, duration_s=2.0, warmup_s=1.0, check_every=3,
            model="mlp", progress=told.append,
        )  # fmt: skip
        seen = requests_seen(subject)["mlp"].total - before
    finally:
        subject.close()
    assert record.errors == 0, record.more
    assert (record.concurrency, record.engine, record.more["workers"]) == (6, "locust", 2)
    assert seen == record.more["sent"] > record.requests > 0
    assert record.more["checked"] > 0
    assert record.more["little"] == pytest.approx(6, rel=0.25)
    p50, p95, p99 = (record.latency_us[name] for name in ("p50", "p95", "p99"))
    assert 0 < p50 <= p95 <= p99
    assert p50 % 1000  # not rounded to milliseconds
    assert told[-1] == "measuring"


def test_one_command_and_a_worker_that_joins(triton, tmp_path: Path) -> None:
    """As on two machines: a master with one worker, and another that joins it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    cli = [sys.executable, "-m", "pytest_triton.cli", "locust"]
    file = tmp_path / "record.json"
    master = subprocess.Popen(
        [*cli, "mlp", "--url", triton.http_url, "--users", "4", "--duration", "1", "--warmup", "1",
         "--workers", "1", "--expect-workers", "2", "--port", str(port), "--json", str(file)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    joins = subprocess.Popen(
        [*cli, "--join", f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        output, _ = master.communicate(timeout=120)
        assert master.returncode == 0, output
        joins.wait(30)  # its master is gone
    finally:
        for process in (master, joins):
            process.kill()
            process.wait()
    (record,) = from_json(file.read_text())
    assert (record.model, record.concurrency, record.more["workers"]) == ("mlp", 4, 2)
    assert record.errors == 0
    assert record.more["seen"] == record.more["sent"]
    assert "concurrency 4 from 2 workers" in output


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "says no MODEL or no --url"),
        (("--join", "nowhere"), 2, "is not HOST:PORT"),
        (("m", "--url", "http://127.0.0.1:1"), 12, "refused|cannot be reached|Connection"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: tuple[str, ...], status: int, message: str
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest_triton.cli", "locust", *arguments], capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == status, ran.stderr
    assert re.search(message, ran.stderr), ran.stderr


def test_wrong_content_is_found() -> None:
    with stub_server(says(inference([1.0, 2.5]))) as stub:
        record = drive_with_locust(
            stub.url, [REQUEST], users=2, duration_s=1.0, warmup_s=0.5, workers=1
        )
    assert record.more["wrong"] == record.more["checked"] == record.errors > 0
    assert "off by up to 0.5" in next(iter(record.more["error_texts"]))


def test_errors_are_counted_with_their_texts() -> None:
    with stub_server(says(http(b'{"error":"overloaded"}', 503))) as stub:
        record = drive_with_locust(
            stub.url, [REQUEST], users=2, duration_s=1.0, warmup_s=0.5, workers=1
        )
    assert record.requests == record.errors > 0
    assert record.throughput_rps == 0
    assert list(record.more["error_texts"]) == ["503 overloaded"]


def test_workers_that_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "REMOTE_S", 1.0)
    with pytest.raises(ToolError, match="2 workers did not come within 1 s"):
        drive_with_locust("http://127.0.0.1:1", [REQUEST], users=2, duration_s=1.0, workers=0,
                          expect_workers=2)  # fmt: skip


def test_a_worker_that_is_lost() -> None:
    def kill_one(text: str) -> None:
        if text != "measuring":
            return
        mine = psutil.Process().children()
        worker = next(one for one in mine if "worker.py" in " ".join(one.cmdline()))
        worker.kill()

    with stub_server(says(inference([1.0, 2.0]))) as stub:
        started = time.monotonic()
        with pytest.raises(ToolError, match="1 of 2 workers were lost"):
            drive_with_locust(stub.url, [REQUEST], users=2, duration_s=60.0, progress=kill_one)
        assert time.monotonic() - started < 60
    assert not [one for one in psutil.Process().children() if "worker.py" in str(one.cmdline())]


def test_usage() -> None:
    with pytest.raises(ToolError, match="no http URL"):
        drive_with_locust("https://127.0.0.1:1", [REQUEST], users=2, duration_s=1.0)
    with pytest.raises(ValueError, match="a user for each worker"):
        drive_with_locust("http://127.0.0.1:1", [REQUEST], users=1, duration_s=1.0, workers=2)


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (says(http(b"no JSON", 500)), "500 no JSON"),
        (says(http(b"{}")), "no inference response"),
        (says(b"HTTP/1.1 200 OK\r\n\r\n"), "without status or Content-Length"),
        (says(b"nonsense\r\n\r\n"), "without status"),
        (hangs_up, "closed|reset"),
        (stalls(), "no answer in time"),
        (floods(b"HTTP/1.1 200 OK\r\nA: "), "without end|bytes"),
    ],
)
def test_answers_are_read_strictly(behaviour, message: str) -> None:
    with stub_server(behaviour) as stub:
        host, port = stub.url.rpartition("/")[2].split(":")
        exchange = Exchange(host, int(port), 2.0)
        wire = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n" + REQUEST.headers + b"\r\n"
        with pytest.raises(Failed, match=message):
            exchange.ask(wire + REQUEST.body)
        exchange.close()
