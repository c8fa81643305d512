"""pytest-triton load --stream on a real server: known times, both protocols, and faults."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from streaming_server import Streaming, write_models

from pytest_triton.errors import ToolError
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.load.records import from_json
from pytest_triton.load.stats import percentile
from pytest_triton.probe.http import HttpProbe

PROTOCOLS = ("grpc", "http")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_times_are_those_of_the_model(streaming: Streaming, tmp_path: Path, protocol: str) -> None:
    file = tmp_path / "load.json"
    before = len(streaming.stamps("steady"))
    done = streaming.load(
        "steady", "--protocol", protocol, "--concurrency", "1,4", "--json", str(file),
        "--prompt-tokens", "5", "--max-tokens", "6",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "steady is decoupled: its token streams are measured" in done.output
    assert "TTFT p50" in done.output
    assert "streams compared with what they were alone" in done.output
    records = from_json(file.read_text())
    assert [record.concurrency for record in records] == [1, 4]
    own = streaming.stamps("steady")[before:]
    ttft = percentile([1e3 * (sent[0] - began) for began, sent in own], 50)
    itl = percentile([1e3 * (sent[-1] - sent[0]) / (len(sent) - 1) for _, sent in own], 50)
    for record in records:
        stream: Any = record.stream
        assert record.protocol == protocol
        assert record.errors == record.more["wrong"] == 0
        assert 0 < record.more["checked"] <= record.requests
        assert record.more["doubts"] == []
        assert stream["ttft_ms"]["p50"] == pytest.approx(ttft, rel=0.5)
        assert stream["itl_ms"]["p50"] == pytest.approx(itl, rel=0.5)
        assert stream["ttft_ms"]["p50"] > 45
        assert stream["tokens_per_s"] == pytest.approx(6 * record.throughput_rps, rel=0.5)
        assert stream["tokens_per_s_per_user"] == pytest.approx(1e3 / stream["itl_ms"]["p50"])
        assert abs(record.server["requests"] - record.requests) <= 8


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("wrong", "checked answers are wrong: token 3 is"),
        ("mixed", "checked answers are wrong: token 0 is"),
        ("error", "out of memory"),
        ("silent", "the stream ended without a token"),
        ("stalled", "not at its end within 0.5 s, 3 tokens came"),
    ],
)
def test_a_fault_under_load_is_no_success(
    streaming: Streaming, tmp_path: Path, protocol: str, model: str, told: str
) -> None:
    file = tmp_path / "load.json"
    done = streaming.load(
        model, "--protocol", protocol, "--concurrency", "3", "--timeout", "0.5",
        "--json", str(file),
    )  # fmt: skip
    assert done.exit_code == 1, done.output
    assert told in done.output
    (record,) = from_json(file.read_text())
    assert record.errors + record.more["wrong"] > 0


def test_contents_are_left_out_where_that_is_asked(streaming: Streaming) -> None:
    done = streaming.load("wrong", "--concurrency", "3", "--skip-contents")
    assert done.exit_code == 0, done.output
    assert "contents are not compared: --skip-contents" in done.output


def test_contents_of_a_model_that_samples_are_not_compared(
    streaming: Streaming, tmp_path: Path
) -> None:
    file = tmp_path / "load.json"
    done = streaming.load("sampled", "--concurrency", "2", "--json", str(file))
    assert done.exit_code == 0, done.output
    told = "contents are not compared: asked twice alone, the model said two things"
    assert told in done.output
    (record,) = from_json(file.read_text())
    assert record.more["checked"] == 0


def test_a_model_that_refuses_everything_is_told(streaming: Streaming) -> None:
    done = streaming.load("refusing")
    assert isinstance(done.exception, ToolError)
    assert "refuses every request" in str(done.exception)
    assert "on purpose" in str(done.exception)


@pytest.mark.parametrize("connections", ["1", "1000"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_open_loop_counts_from_the_planned_send(
    streaming: Streaming, tmp_path: Path, protocol: str, connections: str
) -> None:
    """One stream at a time, and twice as many as it can take: waiting shows in the TTFT, whether
    it is at the server or for the client's only connection."""
    file = tmp_path / "load.json"
    done = streaming.load(
        "single", "--request-rate", "20", "--protocol", protocol, "--json", str(file),
        "--connections", connections,
    )  # fmt: skip
    assert done.exit_code in {0, 13}, done.output
    (record,) = from_json(file.read_text())
    assert record.requests == record.more["planned"] == 20
    own = streaming.stamps("single")[-record.requests :]
    alone = percentile([1e3 * (sent[0] - began) for began, sent in own], 50)
    stream: Any = record.stream
    # 24 requests within 1.2 s, of at least 100 ms each: the last one waits for a second
    assert stream["ttft_ms"]["p99"] > 3 * alone > 3 * 45
    assert stream["itl_ms"]["p50"] == pytest.approx(
        percentile([1e3 * (sent[-1] - sent[0]) / 5 for _, sent in own], 50), rel=0.5
    )


def test_a_trace_of_streams_is_played(streaming: Streaming, tmp_path: Path) -> None:
    trace, file = tmp_path / "trace.csv", tmp_path / "load.json"
    trace.write_text("0.0\n0.1\n0.1\n0.3\n")
    done = streaming.load("steady", "--trace", str(trace), "--json", str(file))
    assert done.exit_code in {0, 13}, done.output
    assert from_json(file.read_text())[0].requests == 4


def test_somebody_else_on_the_same_model_is_noticed(streaming: Streaming) -> None:
    over = threading.Event()

    def meddle() -> None:
        payload = {"input_ids": [1, 2], "max_tokens": 1, "ignore_eos": True}
        with HttpProbe(streaming.deployment.http_url) as probe:
            while not over.is_set():
                list(probe.generate_stream("steady", payload))

    other = threading.Thread(target=meddle)
    other.start()
    try:
        done = streaming.load("steady")
    finally:
        over.set()
        other.join()
    assert done.exit_code == 12, done.output
    assert "somebody else asks this model" in done.output


def test_a_generator_that_stood_still_is_not_on_time(streaming: Streaming) -> None:
    before = len(streaming.stamps("steady"))
    running = subprocess.Popen(
        [sys.executable, "-m", "pytest_triton.cli",
         *streaming.arguments("steady", "--request-rate", "40", "--duration", "2")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    # 6 are asked alone, and 8 before the window opens
    while len(streaming.stamps("steady")) < before + 25 and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGSTOP)
    time.sleep(0.5)  # twenty planned requests
    running.send_signal(signal.SIGCONT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 13, out + err
    assert "cannot generate 40 requests/s on time" in out


def test_a_server_that_goes_leaves_what_was_measured(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file, repository = tmp_path / "load.json", tmp_path / "models"
    write_models(repository, ("steady",))
    with embedded(ServerSpec(repository, device="cpu")) as server:
        running = subprocess.Popen(
            [sys.executable, "-m", "pytest_triton.cli",
             *Streaming(server, repository).arguments(
                 "steady", "--concurrency", "1,2,3", "--timeout", "2", "--json", str(file))],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(2)]  # the head, and the first level
        assert lines[1].split()[0] == "1"
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 12, out + err
    assert "Traceback" not in err
    assert from_json(file.read_text())[0].more["doubts"] == []


def test_ctrl_c_is_quiet(streaming: Streaming) -> None:
    before = len(streaming.stamps("steady"))
    running = subprocess.Popen(
        [sys.executable, "-m", "pytest_triton.cli",
         *streaming.arguments("steady", "--duration", "60", "--protocol", "grpc")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(streaming.stamps("steady")) < before + 12 and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 143, err
    assert "Traceback" not in err
    assert "was destroyed" not in err


def test_prompts_of_a_file(streaming: Streaming, tmp_path: Path) -> None:
    """Rows of different lengths are all asked; --max-tokens holds for them too."""
    inputs, file = tmp_path / "inputs.json", tmp_path / "load.json"
    rows = [{"input_ids": list(range(1, size)), "max_tokens": [2]} for size in (3, 9)]
    inputs.write_text(json.dumps({"data": rows}))
    before = len(streaming.stamps("steady"))
    common = ("--inputs", str(inputs), "--max-tokens", "5", "--concurrency", "2")
    done = streaming.load("steady", *common, "--json", str(file))
    assert done.exit_code == 0, done.output
    assert {len(sent) for _, sent in streaming.stamps("steady")[before:]} == {5}
    (record,) = from_json(file.read_text())
    assert record.more["checked"] == record.requests
    done = streaming.load("steady", *common, "--prompt-tokens", "4")
    assert "--prompt-tokens is of prompts that are made up" in str(done.exception)
