"""The load engine against a stub that can misbehave: every fault is counted with its name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pytest_triton.errors import ToolError
from pytest_triton.load.engine import closed_loop
from pytest_triton.load.requests import PreparedRequest, prepare_http
from pytest_triton.probe.types import ConnectionFailed

sys.path.append(str(Path(__file__).parents[1] / "probe"))
from stub_server import floods, hangs_up, http, inference, says, stalls, stub_server

HEAD = b"HTTP/1.1 200 OK\r\n"


def prepared(values: tuple[float, ...] = (1.0, 2.0)) -> PreparedRequest:
    array = np.array([values], np.float32)
    return prepare_http("m", "", {"IN": array}, expected={"OUT": array})


def test_good_answers() -> None:
    told: list[str] = []
    with stub_server(says(inference([1.0, 2.0]))) as stub:
        run = closed_loop(
            stub.url, [prepared()], concurrency=3, count=60, warmup_s=0.0, check_every=1,
            progress=told.append,
        )  # fmt: skip
    assert (run.errors, run.wrong) == (0, 0)
    assert 60 <= run.requests <= 62  # what was in flight at the end counts too
    assert run.checked == run.requests == len(run.latency_us) == len(run.ended_s)
    assert (run.latency_us > 0).all()
    assert run.throughput_rps == pytest.approx(60 / run.duration_s)
    assert run.finished - run.started == run.duration_s
    assert stub.connections == 3
    assert told[0] == "warming up"
    assert np.isnan(run.foreign_cpu)  # the server's processes were not named


def test_a_window_of_time_after_a_warm_up() -> None:
    with stub_server(says(inference([1.0, 2.0]))) as stub:
        run = closed_loop(stub.url, [prepared()], concurrency=2, duration_s=0.3, warmup_s=0.1)
    assert run.duration_s >= 0.3
    assert run.requests < len(stub.requests)  # the warm-up is not in it
    assert run.ended_s.min() >= 0
    assert run.checked == len(run.latency_us) // 10


def test_wrong_content_is_found() -> None:
    with stub_server(says(inference([1.0, 2.5]))) as stub:
        run = closed_loop(
            stub.url, [prepared()], concurrency=1, count=20, warmup_s=0.0, check_every=5
        )
    assert (run.errors, run.checked, run.wrong) == (0, 4, 4)
    assert run.wrong_texts == {"output 'OUT' is off by up to 0.5 (rtol 0.001, atol 1e-05)": 4}


def test_an_answer_of_another_request_is_found() -> None:
    array = np.array([(1.0, 2.0)], np.float32)
    asked = prepare_http("m", "", {"IN": array}, request_id="load 1", answered_by="1")
    body = inference([1.0, 2.0])
    with stub_server(says(body)) as stub:
        run = closed_loop(stub.url, [asked], concurrency=1, count=5, warmup_s=0.0, check_every=1)
    assert run.wrong == run.checked == 5
    assert "the answer has the id ''" in next(iter(run.wrong_texts))


def test_one_wrong_answer_among_many() -> None:
    answers = [inference([1.0, 2.0])] * 7 + [inference([2.0, 1.0]), inference([1.0, 2.0])]
    with stub_server(says(*answers)) as stub:
        run = closed_loop(
            stub.url, [prepared()], concurrency=1, count=20, warmup_s=0.0, check_every=1
        )
    assert (run.checked, run.wrong) == (20, 1)


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "says_so"),
    [
        pytest.param(hangs_up, "before the whole answer (none of it came)", id="drop"),
        pytest.param(
            says(inference([1.0, 2.0])[:-3], then_close=True), "before the whole answer", id="short"
        ),
        pytest.param(
            says(inference([1.0, 2.0]) + b"!!"), "2 bytes longer than its Content", id="long"
        ),
        pytest.param(stalls(), "no whole answer within 0.2 s", id="stall"),
        pytest.param(stalls(HEAD, trickle=b"X: y\r\n"), "no whole answer within", id="trickle"),
        pytest.param(says(http(b"{", length=10 * 2**30)), "announces more than", id="10 GB"),
        pytest.param(floods(HEAD + b"X: "), "no end of its headers", id="endless headers"),
        pytest.param(says(HEAD + b"\r\n"), "0 Content-Length headers", id="no length"),
        pytest.param(
            says(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"), "2 Content-Length",
            id="two lengths",
        ),
        pytest.param(says(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n"),
                     "not chunked alone", id="encoded twice"),
        pytest.param(says(HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}"),
                     "not chunked alone", id="chunked with a length"),
        pytest.param(says(CHUNKED + b"zz\r\n"), "a chunk of b'zz' bytes", id="no size"),
        pytest.param(says(CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n"), "a chunk of b'-2' bytes",
                     id="negative chunk"),
        pytest.param(says(CHUNKED + b"2\r\n{}!!0\r\n\r\n"), "longer than it says", id="long chunk"),
        pytest.param(says(CHUNKED + b"ffffffffff\r\n"), "more than 1048576 bytes", id="1 TB chunk"),
        pytest.param(says(CHUNKED + b"2\r\n{}\r\n0\r\n\r\n!!!"), "3 bytes longer than its last chunk",
                     id="behind the last chunk"),
        pytest.param(floods(CHUNKED + b"2"), "does not say how long", id="endless size"),
        pytest.param(floods(CHUNKED + b"0\r\nX: "), "the trailers have no end",
                     id="endless trailers"),
        pytest.param(says(CHUNKED + b"2\r\n{}\r\n", then_close=True), "before the whole answer",
                     id="no last chunk"),
        pytest.param(says(b"SSH-2.0\r\n\r\n"), "no HTTP answer", id="not HTTP"),
        pytest.param(says(http(b'{"error":"busy"}', 503)), "503 busy", id="error"),
        pytest.param(says(http(b"\xff\xfe", 500)), "500 ", id="error not UTF-8"),
        pytest.param(says(http(b"<html>")), "no inference response", id="garbage"),
        pytest.param(says(http(b"\xff\xfe")), "no inference response", id="not UTF-8"),
        pytest.param(says(http(b"[" * 90_000)), "no inference response", id="deep"),
        pytest.param(says(http(b'{"outputs": 7}')), "no inference response", id="no outputs"),
        pytest.param(
            says(inference([1.0, 2.0]).replace(b"_size\": 8", b"_size\": 4")),
            "the outputs take 4 bytes, the body holds 8",
            id="outputs do not fill the body",
        ),
        pytest.param(
            says(http(b"{}", headers="Inference-Header-Content-Length: 9\r\n")),
            "disagrees with the body",
            id="inference header too long",
        ),
    ],
)  # fmt: skip
def test_faults_are_counted_by_name(answer, says_so: str) -> None:
    # only what has to run into its deadline gets a short one: the machine may be slow
    timeout = 0.2 if "within" in says_so else 20.0
    with stub_server(answer) as stub:
        run = closed_loop(
            stub.url, [prepared()], concurrency=2, count=3, warmup_s=0.0, timeout_s=timeout,
            max_s=20.0, max_bytes=1 << 20,
        )  # fmt: skip
    assert run.requests == run.errors >= 3
    assert len(run.latency_us) == 0
    assert [text for text in run.error_texts if says_so in text], run.error_texts
    with pytest.raises(AssertionError, match="requests failed"):
        run.require(error_rate=0)


@pytest.mark.parametrize("sizes", [(1000,), (1, 7), (3,), (40, 1, 500)])
@pytest.mark.parametrize("trailer", [b"", b"X-Took: 3 ms\r\n"])
def test_answers_in_chunks_are_read_whole(sizes: tuple[int, ...], trailer: bytes) -> None:
    """As gateways send them; contents are compared as ever."""
    head, body = inference([1.0, 2.0]).split(b"\r\n\r\n", 1)
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    whole = b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b""])
    at, turn = 0, 0
    while at < len(body):
        part = body[at : at + sizes[turn % len(sizes)]]
        whole += b"%X;x=y\r\n%s\r\n" % (len(part), part)
        at, turn = at + len(part), turn + 1
    whole += b"0\r\n" + trailer + b"\r\n"
    with stub_server(says(whole)) as stub:
        run = closed_loop(
            stub.url, [prepared()], concurrency=2, count=30, warmup_s=0.0, check_every=1
        )
    assert (run.errors, run.wrong, run.checked) == (0, 0, run.requests), run.error_texts
    assert run.requests >= 30


def test_chunks_may_come_byte_by_byte() -> None:
    from pytest_triton.load.chunked import Chunks

    text = b"5\r\nhello\r\n11 ; a=b\r\n, what a fine day\r\n0\r\nT: x\r\n\r\n"
    buffer = bytearray()
    chunks = Chunks(0, 100)
    for at in range(len(text)):
        buffer += text[at : at + 1]
        assert chunks.read(buffer) is (at == len(text) - 1)
    assert bytes(chunks.body) == b"hello, what a fine day"
    assert chunks.at == len(text)


def test_a_server_that_dies_and_stays_away() -> None:
    left = [inference([1.0, 2.0])] * 5

    def answer(connection, request, over) -> None:
        if not left:
            hangs_up(connection, request, over)
        else:
            connection.sendall(left.pop())

    with stub_server(answer) as stub:
        run = closed_loop(stub.url, [prepared()], concurrency=1, duration_s=0.4, warmup_s=0.0)
    assert len(run.latency_us) == 5
    # slower and slower tries, not a busy loop
    assert 1 <= run.errors < 30


def test_order_follows_the_seed() -> None:
    def order(seed: int) -> list[bytes]:
        with stub_server(says(inference([1.0, 2.0]))) as stub:
            requests = [prepared((float(number), 0.0)) for number in range(6)]
            closed_loop(
                stub.url, requests, concurrency=1, count=18, warmup_s=0.0, check_every=99, seed=seed
            )
            return [request.partition(b"\r\n\r\n")[2] for request in stub.requests[:18]]

    first = order(1)
    assert first == order(1)
    assert first != order(2)
    # each is sent once before any is sent again
    assert len(set(first[:6])) == len(set(first[6:12])) == 6


def test_what_goes_over_the_wire() -> None:
    with stub_server(says(inference([1.0, 2.0]))) as stub:
        closed_loop(
            f"{stub.url}/base/", [prepared()], concurrency=1, count=1, warmup_s=0.0,
            headers=[("X-Key", "s3cret")],
        )  # fmt: skip
    head, _, body = stub.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /base/v2/models/m/infer HTTP/1.1"
    assert f"Host: 127.0.0.1:{stub.port}".encode() in lines
    assert b"X-Key: s3cret" in lines
    assert f"Content-Length: {len(body)}".encode() in lines


def test_nobody_listens() -> None:
    with stub_server(hangs_up) as stub:
        url = stub.url
    with pytest.raises(ConnectionFailed, match="cannot connect to"):
        closed_loop(url, [prepared()], concurrency=2, count=1)


def test_what_makes_no_sense_is_refused() -> None:
    one = [prepared()]
    with pytest.raises(ValueError, match="and not both"):
        closed_loop("http://x", one, concurrency=1)
    with pytest.raises(ValueError, match="at least one request"):
        closed_loop("http://x", [], concurrency=1, count=1)
    with pytest.raises(ValueError, match="at least 1"):
        closed_loop("http://x", one, concurrency=0, count=1)
    with pytest.raises(ToolError, match="no URL"):
        closed_loop("ftp://x", one, concurrency=1, count=1)


def test_the_worker_ends_with_whoever_started_it() -> None:
    program = (
        "import sys; from test_load_engine import *\n"
        "closed_loop(sys.argv[1], [prepared()], concurrency=1, duration_s=60, timeout_s=60)\n"
    )
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), *sys.path])}
    with stub_server(says(inference([1.0, 2.0]))) as stub:
        parent = subprocess.Popen([sys.executable, "-c", program, stub.url], env=environment)
        try:
            deadline = time.monotonic() + 20
            while not stub.requests and time.monotonic() < deadline:
                time.sleep(0.01)
            children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        finally:
            parent.send_signal(signal.SIGKILL)
            parent.wait()
        assert len(children) == 1
        deadline = time.monotonic() + 10
        while Path(f"/proc/{children[0]}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not Path(f"/proc/{children[0]}").exists()
