"""What expressions compute, however they are written, and the unit in which panels say so."""

from __future__ import annotations

import pytest

from pytest_triton.monitor.dashboard import Panel, Target
from pytest_triton.monitor.forms import form
from pytest_triton.monitor.panels import Shape, impossible, misread, shape_of, unit_of
from pytest_triton.monitor.promql import parse

OK, BAD = "nv_inference_request_success", "nv_inference_request_failure"
US, ROWS, RUNS = (
    "nv_inference_request_duration_us",
    "nv_inference_count",
    "nv_inference_exec_count",
)
RULES = {
    "job:requests:rate5m": f"sum by (model) (rate({OK}[5m])) + sum by (model) (rate({BAD}[5m]))",
    "job:errors:ratio": f"sum by (model) (rate({BAD}[5m])) / (job:requests:rate5m > 0)",
}


def _shape(expr: str) -> Shape | None:
    recorded = {name: parse(text) for name, text in RULES.items()}
    return shape_of(form(parse(expr), recorded))


@pytest.mark.parametrize(
    ("expr", "kind", "factor"),
    [
        (f"sum(rate({OK}[1m]))", "requests/s", 1),
        (f'sum by (model) (irate({OK}{{model=~"a|b"}}[1m])) or vector(0)', "requests/s", 1),
        (f"sum(rate({OK}[1m])) * 60", "requests/s", 60),
        ("job:requests:rate5m", "requests/s", 1),
        (f"rate({ROWS}[1m])", "inferences/s", 1),
        (f"topk(3, rate({RUNS}[1m]))", "executions/s", 1),
        (f"sum by (reason) (rate({BAD}[1m]))", "errors/s", 1),
        (f"rate({US}[1m]) / rate({OK}[1m])", "latency", 1),
        (f"(sum(rate({US}[1m])) / (sum(rate({OK}[1m])) > 0)) / 1000", "latency", 1e-3),
        (f"0.001 * sum(increase({US}[1m])) / sum(increase({OK}[1m]))", "latency", 1e-3),
        (f"sum(rate({US}[1m])) / 1e6 / clamp_min(sum(rate({OK}[1m])), 1)", "latency", 1e-6),
        (f"sum(rate({US}[1m])) / (sum(rate({OK}[1m])) + 1e-9)", "latency", 1),
        (f"1 / (rate({OK}[1m]) / rate({US}[1m]))", "latency", 1),
        ("nv_inference_request_summary_us{quantile='0.99'} / 1000", "summary", 1e-3),
        (f"sum(rate({ROWS}[1m])) / sum(rate({RUNS}[1m]))", "batch size", 1),
        ("job:errors:ratio * 100", "error ratio", 100),
        (f"100 * sum(rate({BAD}[1m])) / (sum(rate({OK}[1m])) + sum(rate({BAD}[1m])))",
         "error ratio", 100),
        ("avg(nv_gpu_utilization) * 100", "ratio", 100),
        ("nv_gpu_memory_used_bytes / nv_gpu_memory_total_bytes", "ratio", 1),
        ("nv_cpu_memory_used_bytes / 1024 / 1024", "bytes", 2.0**-20),
        ("sum(nv_inference_pending_request_count)", "queue length", 1),
    ],
)  # fmt: skip
def test_shapes(expr: str, kind: str, factor: float) -> None:
    found = _shape(expr)
    assert found is not None
    assert (found.kind, found.factor) == (kind, pytest.approx(factor))


@pytest.mark.parametrize(
    "expr",
    [
        f"increase({OK}[5m])",  # in five minutes, not a second
        f"rate({US}[1m]) / 1000",  # ms a second, not of a request
        f"avg(rate({US}[1m]) / (1 + rate({OK}[1m])))",  # biased by the one
        f"rate({US}[1m] offset 1d) / rate({OK}[1m] offset 1d)",
        f"rate({US}[1m]) / rate({RUNS}[1m])",  # of an execution
        f'rate({BAD}{{reason="BACKEND"}}[1m])',
        f"rate({OK}[1m]) - rate({BAD}[1m])",
        f"rate({OK}[1m]) * rate({OK}[1m])",
        f"rate({OK}[1m]) / 0",
        "rate(other[1m])",
        "histogram_quantile(0.9, rate(nv_inference_request_duration_us_bucket[1m]))",
        "1 / vector(0)",
        "scalar(up)",
        "absent(up)",
        "time()",
    ],
)
def test_no_shape(expr: str) -> None:
    assert _shape(expr) is None


def test_averages_are_not_exact() -> None:
    for expr in (f"avg(rate({OK}[1m]))", f"max_over_time(rate({OK}[1m])[5m:])"):
        assert (found := _shape(expr)) is not None
        assert not found.exact


def _target(unit: str | None) -> Target:
    return Target("up", "A", "", unit, 1)


def _panel(title: str = "Latency", *, computed: bool = False) -> Panel:
    return Panel(title, "timeseries", "", (), computed)


@pytest.mark.parametrize(
    ("title", "unit", "wanted"),
    [
        ("Latency", "ms", "ms"),
        ("Latency", "suffix: ms", "ms"),
        ("Latency", "\u03bcs", "µs"),
        ("Latency (ms)", "short", "ms"),
        ("Latency [µs]", "", "µs"),
        ("Errors (%)", "none", "%"),
        ("Latency in seconds", "", ""),
        ("Latency (p95)", "", ""),
        ("Latency (ms)", "s", "s"),
        ("Latency (ms)", None, None),
    ],
)
def test_unit_of(title: str, unit: str | None, wanted: str | None) -> None:
    assert unit_of(_panel(title), _target(unit)) == wanted


@pytest.mark.parametrize(
    ("kind", "factor", "unit", "wrong"),
    [
        ("latency", 1, "µs", ""),
        ("latency", 1e-3, "ms", ""),
        ("latency", 1e-6, "s", ""),
        ("latency", 1, "ms", "shows µs as ms: 1,000 times too much"),
        ("latency", 1, "s", "shows µs as s: 1,000,000 times too much"),
        ("latency", 1e-6, "ms", "shows s as ms: 1,000 times too little"),
        ("latency", 1, "bytes", "shows µs in the unit bytes"),
        ("latency", 1, "", ""),
        ("latency", 1, "short", ""),
        ("latency", 1, "currencyUSD", ""),
        ("error ratio", 1, "percentunit", ""),
        ("error ratio", 100, "percent", ""),
        ("error ratio", 1, "percent", "shows 0..1 as percent: 100 times too little"),
        ("ratio", 100, "percentunit", "shows percent as percentunit: 100 times too much"),
        ("bytes", 1, "decbytes", ""),
        ("bytes", 2.0**-20, "decmbytes", ""),
        ("bytes", 1, "mbytes", "shows bytes as mbytes: 1,048,576 times too much"),
        ("requests/s", 60, "rpm", ""),
        ("requests/s", 60, "reqps", "60 times requests/s as reqps: 60 times too much"),
        ("queue length", 1, "s", ""),
    ],
)
def test_misread(kind: str, factor: float, unit: str, wrong: str) -> None:
    told = misread(Shape(kind, factor), _panel(), _target(unit))
    assert told == wrong or (wrong and wrong in told)
    assert not misread(Shape(kind, factor), _panel(computed=True), _target(unit))


@pytest.mark.parametrize(
    ("expr", "never"),
    [
        ("nv_gpu_utilization > 90", True),
        ("count(nv_gpu_utilization >= 80)", True),
        ("nv_gpu_memory_used_bytes / nv_gpu_memory_total_bytes > 90", True),
        ("nv_gpu_utilization > 0.9", False),
        ("nv_gpu_utilization * 100 > 90", False),
        ("nv_inference_pending_request_count > 90", False),
    ],
)
def test_impossible(expr: str, never: bool) -> None:
    assert bool(impossible(parse(expr))) is never
