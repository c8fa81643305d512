"""pytest-triton load on a real server: both protocols, both loops, and what people get wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from pytest_triton.cli import cli
from pytest_triton.deployment import Deployment
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.store import install
from pytest_triton.load.records import from_json
from pytest_triton.loading.levels import concurrencies, numbers, rates
from pytest_triton.repository.reference import reference_repository

sys.path.append(str(Path(__file__).parents[1] / "probe"))
from stub_server import http, stub_server

#: Statuses of a run whose answers were right, on a machine that may be too busy to be on time.
RIGHT = {0, 13}


@pytest.fixture(scope="module")
def served() -> Iterator[Deployment]:
    install()
    spec = ServerSpec(reference_repository(), models=("mlp", "generator"), device="cpu")
    with embedded(spec) as deployment:
        yield deployment


def _load(served: Deployment, *arguments: str) -> Result:
    return CliRunner().invoke(
        cli, ["load", "mlp", "--url", served.http_url, "--warmup", "0.1", *arguments]
    )


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_sweep_and_its_records(served: Deployment, tmp_path: Path, protocol: str) -> None:
    file = tmp_path / "load.json"
    done = _load(
        served, "--concurrency", "1:5:4", "--duration", "0.5", "--protocol", protocol,
        "--grpc-url", str(served.grpc_url), "--check-every", "1", "--json", str(file),
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "concurrency  infer/s      p50" in done.output
    records = from_json(file.read_text())
    assert [record.concurrency for record in records] == [1, 5]
    for record in records:
        assert record.protocol == protocol
        assert record.requests > 0
        assert record.errors == record.more["wrong"] == 0
        assert record.more["checked"] == record.requests  # every answer was read and compared
        assert record.latency_us["p50"] <= record.latency_us["p95"] <= record.latency_us["p99"]
        # the server counts in the same window, to a few that were under way at its edges
        assert abs(record.server["requests"] - record.requests) <= 10
        assert 0 < record.server["compute_infer_us"] < record.latency_us["mean"]
        assert record.more["doubts"] == []
    assert ("knee at" in done.output) or ("no knee" in done.output)


def test_an_open_loop_sends_what_was_planned(served: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "load.json"
    done = _load(served, "--request-rate", "20,40", "--duration", "0.5", "--json", str(file))
    assert done.exit_code in RIGHT, done.output
    records = from_json(file.read_text())
    assert [record.request_rate for record in records] == [20.0, 40.0]
    assert [record.requests for record in records] == [10, 20]
    assert "requests/s" in done.output
    assert records[0].more["late_us"]["p99"] >= 0


def test_a_trace_is_played(served: Deployment, tmp_path: Path) -> None:
    trace, file = tmp_path / "trace.csv", tmp_path / "load.json"
    trace.write_text("seconds\n5.0\n5.1\n5.1\n5.3\n")
    done = _load(served, "--trace", str(trace), "--json", str(file))
    assert done.exit_code in RIGHT, done.output
    assert from_json(file.read_text())[0].requests == 4


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--concurrency", "0"], 2, "has to be above 0"),
        (["--concurrency", "1.5"], 2, "no whole number"),
        (["--concurrency", "8:1:1"], 2, "is no range"),
        (["--concurrency", "x"], 2, "is no number"),
        (["--request-rate", "-5"], 2, "has to be above 0"),
        (["--request-rate", "nan"], 2, "has to be above 0"),
        (["--concurrency", "1", "--request-rate", "1"], 2, "give one of"),
        (["--batch", "999"], 2, "takes 32 rows at most"),
        (["--header", "nonsense"], 2, "has no colon"),
        (["--version", "77"], 12, "is not ready"),
        (["--url", "ftp://x"], 12, "not the address of an HTTP endpoint"),
        (["--protocol", "grpc"], 2, "no gRPC endpoint is known"),
        (["--max-tokens", "5"], 2, "--max-tokens is of token streams"),
        (["--stream", "--batch", "2"], 2, "a stream has one row"),
        (["--stream", "--processes", "2"], 2, "measured by one process"),
        (["--stream", "--engine", "perf_analyzer"], 2, "is not asked for streams"),
        (["--stream", "--token-output", "x"], 2, "outputs are OUTPUT__0"),
    ],
)
def test_what_cannot_be_driven_is_refused(
    served: Deployment, arguments: list[str], status: int, told: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest_triton.cli", "load", "mlp", "--url", served.http_url,
         *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_is_not_there(served: Deployment) -> None:
    done = CliRunner().invoke(cli, ["load", "nope", "--url", served.http_url])
    assert done.exit_code
    assert "ready are generator, mlp" in str(done.exception)


def test_a_decoupled_model_is_measured_as_a_stream(served: Deployment, tmp_path: Path) -> None:
    """The reference generator speaks text; an answer of mlp is a stream of one response."""
    file = tmp_path / "load.json"
    common = ["--url", served.http_url, "--duration", "0.5", "--json", str(file)]
    done = CliRunner().invoke(cli, ["load", "generator", "--max-tokens", "5", *common])
    assert done.exit_code == 0, done.output
    assert "generator is decoupled: its token streams are measured" in done.output
    (record,) = from_json(file.read_text())
    assert record.stream["token_output"] == "text_output"
    assert record.stream["tokens"] >= 5
    assert record.more["checked"] > 0
    done = CliRunner().invoke(
        cli, ["load", "mlp", "--stream", "--protocol", "grpc", "--grpc-url", str(served.grpc_url),
              *common],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "contents are not compared: OUTPUT__0 holds FP32" in done.output
    (record,) = from_json(file.read_text())
    assert record.stream["itl_ms"]["p50"] is None  # one response has nothing between


def test_nobody_is_there() -> None:
    with stub_server(lambda *_: None) as stub:
        url = stub.url
    done = subprocess.run(
        [sys.executable, "-m", "pytest_triton.cli", "load", "mlp", "--url", url],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 12
    assert "Connection refused" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_goes_half_way_leaves_what_was_measured(tmp_path: Path) -> None:
    """Levels that are done stay; the one that lost the server is not believed."""
    file = tmp_path / "load.json"
    spec = ServerSpec(reference_repository(), models=("mlp",), device="cpu")
    with embedded(spec) as server:
        running = subprocess.Popen(
            [sys.executable, "-m", "pytest_triton.cli", "load", "mlp", "--url", server.http_url,
             "--concurrency", "1,2,3", "--duration", "2", "--timeout", "2", "--json", str(file)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(2)]  # the head, and the first level
        assert lines[1].split()[0] == "1"
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 12, err
    assert "Traceback" not in err
    records = from_json(file.read_text())
    assert records[0].concurrency == 1
    assert records[0].more["doubts"] == []
    assert all(record.more["doubts"] or record.errors for record in records[1:]), out


def test_somebody_else_on_the_same_model_is_noticed(served: Deployment) -> None:
    """Counts that do not agree are no numbers: the client is not alone."""
    from pytest_triton.probe.http import HttpProbe
    from pytest_triton.probe.inputs import InputSource

    over = threading.Event()

    def meddle() -> None:
        with HttpProbe(served.http_url) as probe:
            config, metadata = probe.model_config("mlp"), probe.model_metadata("mlp")
            case = InputSource().cases("mlp", metadata, config, batch=1)[0]
            while not over.is_set():
                probe.infer("mlp", case.inputs)

    other = threading.Thread(target=meddle)
    other.start()
    try:
        done = _load(served, "--duration", "0.5")
    finally:
        over.set()
        other.join()
    assert done.exit_code == 12
    assert "somebody else asks this model" in done.output


def test_wrong_answers_and_errors_are_no_success(served: Deployment) -> None:
    """A proxy that answers every fifth request under load with 503."""
    import socket

    upstream = urlsplit(served.http_url)
    asked = [0]

    def answer(connection, request, over) -> None:
        asked[0] += b"/infer " in request.split(b"\r\n")[0]
        if asked[0] > 100 and asked[0] % 5 == 0 and b"/infer " in request.split(b"\r\n")[0]:
            connection.sendall(http(b'{"error":"overloaded"}', 503))
            return
        with socket.create_connection((upstream.hostname, upstream.port)) as real:
            real.sendall(request)
            real.settimeout(10)
            connection.sendall(_whole(real))

    with stub_server(answer) as stub:
        done = CliRunner().invoke(
            cli, ["load", "mlp", "--url", stub.url, "--duration", "0.7", "--warmup", "0"]
        )
    assert done.exit_code == 1, done.output
    assert "503 overloaded" in done.output


def _whole(real) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += real.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += real.recv(65536)
    return head + b"\r\n\r\n" + body


def test_ctrl_c_leaves_no_worker(served: Deployment) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "pytest_triton.cli", "load", "mlp", "--url", served.http_url,
         "--duration", "60"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    children: list[str] = []
    place = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    deadline = time.monotonic() + 30
    while not children and time.monotonic() < deadline:
        children = place.read_text().split()
        time.sleep(0.02)
    assert children
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 143
    assert "Traceback" not in err
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_levels_as_people_write_them() -> None:
    assert [level.concurrency for level in concurrencies("1:32:8")] == [1, 9, 17, 25]
    assert [level.concurrency for level in concurrencies("1:3")] == [1, 2, 3]
    assert [level.concurrency for level in concurrencies("4,1,4")] == [4, 1]
    assert [level.rate for level in rates("0.5,2")] == [0.5, 2.0]
    assert numbers("10:10:5", what="x") == [10.0]


def test_records_are_plain_json(served: Deployment, tmp_path: Path) -> None:
    file = tmp_path / "load.json"
    _load(served, "--duration", "0.3", "--json", str(file))
    (entry,) = json.loads(file.read_text())
    for name in ("concurrency", "protocol", "requests", "errors", "duration_s", "throughput_rps"):
        assert name in entry
    assert set(entry["latency_us"]) == {"mean", "p50", "p90", "p95", "p99"}
    assert entry["server"]["mean_batch"] >= 1
