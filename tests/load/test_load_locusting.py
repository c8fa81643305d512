"""Locust, distributed: two workers against a real Triton, and against servers that misbehave."""

from __future__ import annotations

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
        before = requests_seen(subject)["mlp"]
        told: list[str] = []
        record = drive_with_locust(
            triton.http_url, requests, users=6, duration_s=2.0, warmup_s=1.0, check_every=3,
            model="mlp", progress=told.append,
        )  # fmt: skip
        seen = requests_seen(subject)["mlp"] - before
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
