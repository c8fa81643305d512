"""Readers on what tools really wrote, and on what is broken."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from pytest_triton.load.reading import Level, Unreadable, read, read_all
from pytest_triton.load.reading import text as reading_text
from pytest_triton.load.records import Record, to_json

REAL = Path(__file__).parent / "handed_in"


def levels(name: str) -> list[Level]:
    return read(REAL / name, name)


def test_perf_analyzers_csv() -> None:
    found = levels("perf_analyzer_http.csv")
    assert [level.record.concurrency for level in found] == [1, 6, 11, 16]
    last = found[-1]
    assert last.place == "perf_analyzer_http.csv:5"
    assert last.record.throughput_rps == 961.45
    # The parts of a request's time at the client, for a CSV that has no mean.
    assert last.latency_us("mean") == 71 + 1345 + 6425 + 134 + 8367 + 292
    assert [last.latency_us(name) for name in ("p50", "p95", "p99")] == [17085, 20318, 21505]
    assert last.inferences
    assert not last.counted
    assert math.isnan(last.record.duration_s)


def test_perf_analyzers_own_mean_and_its_columns_of_gpus() -> None:
    first, _ = levels("perf_analyzer_grpc_verbose.csv")
    assert first.latency_us("mean") == 3908


def test_a_request_rate() -> None:
    found = levels("perf_analyzer_rate.csv")
    assert [level.record.request_rate for level in found] == [100, 200, 300]
    assert all(level.record.concurrency is None for level in found)


def test_inferences_of_a_batch_become_requests() -> None:
    (level,) = levels("perf_analyzer_batch8_c1.csv")
    assert level.of_batch(8).record.throughput_rps == pytest.approx(807.767 / 8)


def test_a_profile_export_of_a_request_count() -> None:
    (level,) = levels("perf_analyzer_profile_c5.json")
    assert level.record.concurrency == 5
    assert level.record.requests == 150
    # perf_analyzer itself divides by a window of 1.02 s: 147 requests/s.
    assert level.record.throughput_rps == pytest.approx(268.7, abs=0.1)
    flight = level.record.throughput_rps * level.latency_us("mean") / 1e6
    assert flight == pytest.approx(5, rel=0.1)


def test_windows_of_a_profile_export(tmp_path: Path) -> None:
    def request(sent: int, *came: int) -> dict[str, object]:
        return {"timestamp": sent, "response_timestamps": [*came]}

    path = tmp_path / "p.json"
    path.write_text(
        json.dumps({"experiments": [{
            "experiment": {"mode": "concurrency", "value": 2},
            "window_boundaries": [0, 10**9, 2 * 10**9],
            "requests": [request(-5, -1), request(10**8, 2 * 10**8, 3 * 10**8, 5 * 10**8),
                         request(10**8, 9 * 10**8), request(7 * 10**8), request(10**9, 3 * 10**9)],
        }]})
    )  # fmt: skip
    (level,) = read(path)
    # One before the windows, one after them, one without an answer.
    assert (level.record.requests, level.record.errors) == (3, 1)
    assert level.record.throughput_rps == 1.0
    assert level.latency_us("mean") == pytest.approx(600_000)
    assert level.record.more["ttft_us"] == pytest.approx(450_000)
    assert level.record.more["itl_us"] == pytest.approx(150_000)


def test_locusts_levels_are_stretches_of_users() -> None:
    found = levels("locust_full_stats_history.csv")
    assert [level.record.concurrency for level in found] == [1, 4, 16]
    assert all(level.thinks for level in found)
    assert sum(level.record.requests for level in found) == 1967 + 3111 + 4031
    assert [level.latency_us("p50") for level in found] == [4000, 14000, 42000]


def test_percentiles_over_everything_so_far_say_nothing_of_later_levels() -> None:
    first, second, third = levels("locust_stats_history.csv")
    assert first.latency_us("p50") == 5000
    assert math.isnan(second.latency_us("p95"))
    assert math.isnan(third.latency_us("p95"))
    # 56.7 ms on the level; its row says 30.0 ms, over all levels.
    assert third.latency_us("mean") == pytest.approx(56_671, abs=1)


def test_genai_perf() -> None:
    for users in (1, 2, 4):
        (told,) = levels(f"genai_perf-concurrency{users}/profile_export_genai_perf.json")
        (csv,) = levels(f"genai_perf-concurrency{users}/profile_export_genai_perf.csv")
        assert told.record.concurrency == csv.record.concurrency == users
        assert told.record.model == "generator"
        assert told.record.requests == csv.record.requests > 1000
        assert csv.latency_us("p99") == pytest.approx(told.latency_us("p99"), abs=10)
        for name in ("ttft_us", "itl_us", "output_tokens_per_s"):
            assert csv.record.more[name] == pytest.approx(told.record.more[name], rel=0.05)


def test_our_own_json(tmp_path: Path) -> None:
    latency = {"mean": 3900.0, "p50": 3800.0, "p90": 4100.0, "p95": 4400.0, "p99": 5000.0}
    records = [
        Record("http", 1000 * n, 0, 4.0, 250.0 * n, latency, concurrency=n, model="m", engine="e",
               more={"machine": {"count": 2}})
        for n in (1, 2)
    ]  # fmt: skip
    path = tmp_path / "own.json"
    path.write_text(to_json(records))
    first, second = read(path)
    assert first.record.more["machine"] == {"count": 2}
    assert second.record.throughput_rps == 500
    lines = path.read_text().splitlines()
    assert '"concurrency": 2' in lines[second.line]
    path.write_text(to_json(records).replace('"requests": 2000', '"requests": -1'))
    with pytest.raises(Unreadable, match=rf"own.json:{second.line}: record 1: requests is -1"):
        read(path)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("concurrency,throughput_rps,mean_ms,p50_ms,p95_ms,p99_ms", "4,100,39.0,38,41,44"),
        ("Users;RPS;p50 latency (ms);P95 Latency [ms];99th percentile (ms);Mean (us)",
         "4;100;38;41;44;39000"),
        ("Concurrency\tRequests/s\tMedian (us)\tp95 us\tp99 us\tavg us",
         "4\t100\t38000\t41000\t44000\t39000"),
        ("clients,qps,latency_p50_ms,latency_p95_ms,latency_p99_ms,latency_mean_s",
         "4,1e2,38,41,44,0.039"),
    ],
)  # fmt: skip
def test_tables_of_people(tmp_path: Path, header: str, row: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"\ufeff{header}\r\n{row}\r\n\r\n", encoding="utf-8")
    (level,) = read(path)
    assert (level.record.concurrency, level.record.throughput_rps) == (4, 100)
    told = [level.latency_us(name) for name in ("mean", "p50", "p95", "p99")]
    assert told == pytest.approx([39000, 38000, 41000, 44000])


def test_users_may_wait_and_requests_in_flight_do_not(tmp_path: Path) -> None:
    for title, waits in (("users", True), ("Clients", True), ("concurrency", False)):
        path = tmp_path / "t.csv"
        path.write_text(f"{title},rps,p50_ms,p95_ms,p99_ms\n4,100,38,41,44\n")
        assert read(path)[0].thinks is waits


HEAD = "concurrency,rps,p50_ms,p95_ms,p99_ms\n"
PA = "Concurrency,Inferences/Second,p50 latency,p95 latency,p99 latency\n"
LOCUST = (
    "Timestamp,User Count,Type,Name,Requests/s,Total Request Count,Total Failure Count,"
    "Total Average Response Time\n"
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "b.csv: empty"),
        (b"\n \n", "b.csv: empty"),
        (b"PK\x03\x04\x00\x00", "b.csv:1: binary"),
        (b"a\nb\x00", "b.csv:2: binary"),
        ("concurrency".encode("utf-16"), "b.csv:1: UTF-16"),
        (b"concurrency,rps\n\xe9,1", "b.csv:2: not UTF-8"),
        (b"hello", "b.csv:1: no benchmark that is known: 'hello'"),
        (b"{}", "b.csv:1: no benchmark that is known"),
        (b"[]", "b.csv:1: no list of records"),
        (b"[1]", "b.csv:1: record 0 is no object"),
        (b'{"experiments": []}', "b.csv: no experiments"),
        (b'{"experiments": [1]}', "experiment 0: cannot be read"),
        (b"[" * 100_000, "no JSON"),
        (HEAD.encode(), "b.csv:1: no rows"),
        ((HEAD + "1,2,3,4\n").encode(), "b.csv:2: 4 cells of 5"),
        ((HEAD + "1,-2,3,4,5\n").encode(), "b.csv:2: rps is -2"),
        ((HEAD + "1,nan,3,4,5\n").encode(), "b.csv:2: rps is 'nan', no number"),
        ((HEAD + "1,1e999,3,4,5\n").encode(), "b.csv:2: rps is 1e999"),
        ((HEAD + "1,0,3,4,5\n").encode(), "b.csv:2: throughput is 0"),
        ((HEAD + "1,,3,4,5\n").encode(), "b.csv:2: rps is missing"),
        ((HEAD + "0,2,3,4,5\n").encode(), "b.csv:2: concurrency is 0"),
        ((HEAD + "1.5,2,3,4,5\n").encode(), "b.csv:2: concurrency is 1.5"),
        ((HEAD + "1,=2+3,3,4,5\n").encode(), r"b.csv:2: '=2\+3' is a formula"),
        ((HEAD + "1,+cmd|x,3,4,5\n").encode(), r"b.csv:2: '\+cmd\|x' is a formula"),
        ((HEAD + '1,"2\n').encode(), "b.csv:2: no CSV"),
        (b"concurrency,rps,p50,p95_ms,p99_ms\n", "b.csv:1: column 'p50' has no unit"),
        (b"concurrency,rps,p50_ms,p95_ms,p99_ms,duration\n", "column 'duration' has no unit"),
        (b"concurrency,rps,p50_ms,p99_ms\n", "b.csv:1: no column p95"),
        (b"concurrency,p50_ms,p95_ms,p99_ms\n", "b.csv:1: no column for throughput"),
        (b"concurrency,rps,rps,p50_ms,p95_ms,p99_ms\n", "b.csv:1: two columns for throughput"),
        (PA.encode(), "b.csv:1: no rows"),
        ((PA + "1,x,1,1,1\n").encode(), "b.csv:2: Inferences/Second is 'x', no number"),
        (b"Concurrency,Inferences/Second\n", "b.csv:1: no column p50 latency"),
        (LOCUST.encode(), "b.csv:1: no 8 s at the same number of users"),
        ((LOCUST + "1,4,,Aggregated,1,10,0,5\n30,4,,Aggregated,1,5,0,5\n").encode(),
         "b.csv:3: totals go down"),
        ((LOCUST + "1,4,,Aggregated,1,10,0,5\n30,4,,Aggregated,1,20,10,5\n").encode(),
         "b.csv:3: no request succeeded with 4 users"),
        (b"Metric,avg,min,max,p99\nRequest Latency (ms),1,1,1,1\n", "says no concurrency"),
    ],
)  # fmt: skip
def test_what_is_broken_is_told_with_its_place(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "b.csv"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=message) as caught:
        read(path, "b.csv")
    assert caught.value.remedy


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")  # nobody writes: reading would wait for ever
    for path in (tmp_path / "pipe.csv", tmp_path, Path("/dev/zero")):
        with pytest.raises(Unreadable, match=r"no regular file|directory"):
            read(path)


def test_what_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(reading_text.LIMIT + 1)
    with pytest.raises(Unreadable, match="over 64 MiB"):
        read(path)
    path.write_text(HEAD + "1,2,3,4,5\n" * 20)
    monkeypatch.setattr(reading_text, "ROWS", 10)
    with pytest.raises(Unreadable, match=r"large.csv:10: more rows"):
        read(path)


def test_files_that_stand_beside_results_are_left_out() -> None:
    names = ["locust_stats.csv", "locust_stats_history.csv"]
    found = list(read_all([(REAL / name, name) for name in names]))
    assert {level.path for level in found} == {"locust_stats_history.csv"}
    with pytest.raises(Unreadable, match="no number of users"):
        read(REAL / "locust_stats.csv")
