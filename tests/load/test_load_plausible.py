"""True benchmarks are plausible; made up ones are told with place and numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_triton.load.plausible import implausible, too_few
from pytest_triton.load.reading import Level, read
from pytest_triton.load.reading.level import make

REAL = Path(__file__).parent / "handed_in"
#: Of a file whose throughput perf_analyzer gets wrong; of batches, unless that is said.
NOT_AS_IT_IS = {
    "perf_analyzer_request_count.csv",
    "perf_analyzer_batch8_c1.csv",
    "locust_stats.csv",
}
TRUE = sorted(
    path for kind in ("*.csv", "*.json") for path in REAL.rglob(kind)
    if path.name not in NOT_AS_IT_IS
)  # fmt: skip


@pytest.mark.parametrize("path", TRUE, ids=lambda path: str(path.relative_to(REAL)))
def test_what_was_measured_is_plausible(path: Path) -> None:
    assert implausible(read(path)) == []


def test_several_files_make_one_benchmark() -> None:
    found = [level for n in (1, 5, 9) for level in read(REAL / f"perf_analyzer_profile_c{n}.json")]
    assert not too_few(found)
    assert implausible(found) == []


def test_a_batch_has_to_be_said() -> None:
    (level,) = read(REAL / "perf_analyzer_batch8_c1.csv")
    (text,) = implausible([level])
    assert "7.975 requests in flight, 1 were kept" in text
    assert text.endswith("say  batch = 8")
    assert implausible([level.of_batch(8)]) == []


def test_a_throughput_of_request_count_is_wrong_and_says_so() -> None:
    (text,) = implausible(read(REAL / "perf_analyzer_request_count.csv"))
    assert "2.648 requests in flight, 4 were kept in flight; with --request-count" in text


def level(
    concurrency: int = 4, throughput: float = 250.3, mean: float = 16.0, *, line: int = 2,
    p50: float = 15.2, p95: float = 21.4, p99: float = 30.7, thinks: bool = False,
    requests: float | None = None, duration_s: float | None = None, errors: float = 0,
) -> Level:  # fmt: skip
    return make(
        "f.csv", line, "table", throughput_rps=throughput, concurrency=concurrency,
        latency_us={"mean": mean * 1e3, "p50": p50 * 1e3, "p95": p95 * 1e3, "p99": p99 * 1e3},
        requests=requests, duration_s=duration_s, errors=errors, thinks=thinks,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([level(p50=22.0)], r"f.csv:2: p50 is 22 ms and p95 21.4 ms: no percentiles"),
        ([level(throughput=300.0)], r"f.csv:2: 300/s times 16 ms is 4.8 requests in flight, 4 were"),
        ([level(throughput=200.0)], r"f.csv:2: 200/s times 16 ms is 3.2 requests in flight, 4 were"),
        ([level(requests=99)], r"f.csv:2: 99 requests, at least 100"),
        ([level(requests=5000, duration_s=10)], r"come to 2503 requests, 5000 are said"),
        ([level(requests=200, errors=300, duration_s=1)], r"300 errors of 200 requests"),
        ([level(mean=3.0, concurrency=1)], r"f.csv:2: the mean is 3 ms and the median 15.2 ms"),
        ([level(p50=0.0)], r"f.csv:2: a latency of 0"),
        ([level(8), level(4, line=3)], r"f.csv:3: concurrency 4 has the numbers of concurrency 8"),
        ([level(4), level(8, 251.0, 16.1, line=3, p50=15.3, thinks=True)],
         r"f.csv:3: concurrency 8 against 4: throughput times 1.00 and no latency above times 1.01"),
        ([level(1, 250, 4, p50=4, p95=5, p99=6), level(4, 500, 8, p50=8, p95=9, p99=10),
          level(8, 800, 10, p50=10, p95=12, p99=15)], r"f.csv:2: too round to be measured"),
    ],
)  # fmt: skip
def test_what_cannot_be(levels: list[Level], message: str) -> None:
    found = implausible(levels)
    assert any(re.search(message, text) for text in found), found


def test_users_may_think() -> None:
    assert implausible([level(throughput=20.0, thinks=True)]) == []


def test_what_failed_was_in_flight_too() -> None:
    half = level(throughput=125.0, requests=2500, errors=1250, duration_s=10)
    assert implausible([half]) == []


def test_a_slow_model_may_have_round_numbers() -> None:
    slow = [level(1, 8.0, 125, p50=120, p95=150, p99=190), level(2, 15.0, 133, p50=130, p95=160,
            p99=200), level(4, 22.0, 182, p50=180, p95=220, p99=260)]  # fmt: skip
    assert implausible(slow) == []


def test_a_saturated_server_is_plausible() -> None:
    """Throughput is flat and latency grows with the requests in flight."""
    held = [level(n, 251.3 + n, n / (251.3 + n) * 1e3, p50=3.7 * n, p95=4.8 * n, p99=5.9 * n, line=n)
            for n in (1, 2, 4, 8, 64)]  # fmt: skip
    assert implausible(held) == []


def test_percentiles_alone_bound_the_mean() -> None:
    nan = float("nan")
    assert implausible([level(mean=nan)]) == []
    (text,) = implausible([level(mean=nan, throughput=900.0)])
    assert "requests in flight or more, 4 were kept" in text


def test_levels_are_counted() -> None:
    assert too_few([level(1), level(2, line=3), level(2, line=4)]) == (
        "f.csv:2: 2 levels of concurrency, at least 3 are asked for"
    )
    assert "1 level of" in too_few([level(1)])
    assert too_few([]).startswith("the benchmark: 0 levels")
    assert not too_few([level(1), level(2), level(3)])
