"""What genai-perf writes: ``profile_export_genai_perf.json`` and ``.csv``, a level a file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from pytest_triton.load.reading.level import Level, Unreadable, make
from pytest_triton.load.reading.text import number, rows

TOOL = "genai-perf"
_SCALE = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6, "sec": 1e6}
_AGAIN = "hand in profile_export_genai_perf.json as genai-perf wrote it"
_METRIC = re.compile(r"(?P<name>.+?)\s*\((?P<unit>[^)]*)\)\Z")
_LEVEL = re.compile(r"concurrency(\d+)")
_RATE = re.compile(r"request_rate([\d.]+)")


def is_json(document: Any) -> bool:
    """Whether this is genai-perf's statistics."""
    return (
        isinstance(document, dict)
        and isinstance(document.get("request_latency"), dict)
        and isinstance(document.get("request_throughput"), dict)
    )


def is_csv(header: list[str]) -> bool:
    """Whether this is the first row of its CSV."""
    return header[:2] == ["Metric", "avg"] and "p99" in header


def read_json(document: Mapping[str, Any], path: str) -> list[Level]:
    """The level of a file; the load is in its ``input_config``, else in its directory's name."""

    def value(metric: str, statistic: str = "avg") -> float:
        told = document.get(metric)
        found = told.get(statistic) if isinstance(told, dict) else None
        if found is None:
            return math.nan
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise Unreadable(path, 0, f"{metric}.{statistic} is {found!r:.40}", _AGAIN)
        return float(found)

    def scaled(metric: str, statistic: str = "avg") -> float:
        told = document.get(metric)
        unit = told.get("unit") if isinstance(told, dict) else None
        if isinstance(told, dict) and unit not in _SCALE:
            raise Unreadable(path, 0, f"{metric} has the unit {unit!r:.40}", _AGAIN)
        return value(metric, statistic) * _SCALE.get(str(unit), math.nan)

    return [_level(path, value, scaled, _stimulus(document.get("input_config")), _model(document))]


def read_csv(text: str, path: str) -> list[Level]:
    """The level of a file; the load is told by its directory's name alone (concurrency8)."""
    metrics: dict[str, tuple[int, str, dict[str, str]]] = {}
    header: list[str] = []
    for line, row in rows(text, path):
        if not row:
            header = []
        elif not header:
            header = row
        elif match := _METRIC.match(row[0]):
            key = match["name"].lower().replace(" ", "_")
            cells = dict(zip(header, row, strict=False))
            metrics[key] = (
                line,
                match["unit"],
                {**cells, "avg": cells.get("Value", cells.get("avg", ""))},
            )

    def value(metric: str, statistic: str = "avg") -> float:
        if metric not in metrics:
            return math.nan
        line, _, cells = metrics[metric]
        return number(cells.get(statistic, ""), path, line, metric, thousands=True)

    def scaled(metric: str, statistic: str = "avg") -> float:
        if metric not in metrics:
            return math.nan
        line, unit, _ = metrics[metric]
        if unit not in _SCALE:
            raise Unreadable(path, line, f"{metric} has the unit {unit!r}", _AGAIN)
        return value(metric, statistic) * _SCALE[unit]

    return [_level(path, value, scaled, {}, "")]


def _level(path: str, value: Any, scaled: Any, load: Mapping[str, float], model: str) -> Level:
    if not load:
        load = _from_name(path)
    if not load:
        raise Unreadable(
            path, 0, "says no concurrency", "keep genai-perf's directory name (…-concurrency8)"
        )
    count = value("request_count")
    throughput = value("request_throughput")
    if math.isnan(throughput):
        raise Unreadable(path, 0, "no request throughput", _AGAIN)
    more: dict[str, object] = {
        name: number
        for name, number in {
            "ttft_us": scaled("time_to_first_token"),
            "itl_us": scaled("inter_token_latency"),
            "output_tokens_per_s": value("output_token_throughput"),
        }.items()
        if not math.isnan(number)
    }
    latency = {"mean": scaled("request_latency")}
    latency |= {f"p{q}": scaled("request_latency", f"p{q}") for q in (50, 90, 95, 99)}
    return make(
        path,
        0,
        TOOL,
        throughput_rps=throughput,
        latency_us=latency,
        requests=None if math.isnan(count) else count,
        model=model,
        more=more,
        slack=0.10,  # the last token stands before the empty response that ends the request
        concurrency=load.get("concurrency"),
        request_rate=load.get("request_rate"),
    )


def _from_name(path: str) -> dict[str, float]:
    if match := _LEVEL.search(path):
        return {"concurrency": float(match[1])}
    if match := _RATE.search(path):
        return {"request_rate": float(match[1].rstrip("."))}
    return {}


def _stimulus(config: Any) -> dict[str, float]:
    """The load out of the configuration: a stimulus (0.0.9 and later), or its own keys."""
    if not isinstance(config, dict):
        return {}
    analyzer = config.get("perf_analyzer")
    stimulus = analyzer.get("stimulus") if isinstance(analyzer, dict) else None
    for told in (stimulus, config):
        for name in ("concurrency", "request_rate"):
            number = told.get(name) if isinstance(told, dict) else None
            if isinstance(number, int | float) and not isinstance(number, bool):
                return {name: float(number)}
    return {}


def _model(document: Mapping[str, Any]) -> str:
    config = document.get("input_config")
    if not isinstance(config, dict):
        return ""
    names = config.get("model_names") or config.get("model") or config.get("formatted_model_name")
    if isinstance(names, list):
        names = names[0] if len(names) == 1 else ""
    return names if isinstance(names, str) else ""
