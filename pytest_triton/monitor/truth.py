"""Metrics against the statistics of the same server: two views of the same counters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_triton.monitor.metrics import Scrape

#: statistic -> family, for counters that have to be equal.
COUNTS = {
    "success": "nv_inference_request_success",
    "fail": "nv_inference_request_failure",
}
#: statistic -> family of its cumulated microseconds; each request is cut to whole µs.
DURATIONS = {
    "success": "nv_inference_request_duration_us",
    "queue": "nv_inference_queue_duration_us",
    "compute_input": "nv_inference_compute_input_duration_us",
    "compute_infer": "nv_inference_compute_infer_duration_us",
    "compute_output": "nv_inference_compute_output_duration_us",
}


def disagreements(scrape: Scrape, model_stats: Iterable[Mapping[str, Any]]) -> list[str]:
    """Where metrics and ``model_stats`` of the statistics contradict each other; one line each.

    Durations may differ by 1 µs for each request.
    """
    lines = []
    for entry in model_stats:
        model, version = str(entry.get("name")), str(entry.get("version"))
        told = entry.get("inference_stats", {})
        wanted: dict[str, float] = {
            family: float(told.get(key, {}).get("count", 0)) for key, family in COUNTS.items()
        }
        wanted["nv_inference_count"] = float(entry.get("inference_count", 0))
        wanted["nv_inference_exec_count"] = float(entry.get("execution_count", 0))
        for family, count in wanted.items():
            value = scrape.value(family, model=model, version=version)
            # A series may be missing for a model that never had a request.
            if (value or 0.0) != count:
                lines.append(f"{model}:{version} {family} is {value}, the statistics say {count:g}")
        for key, family in DURATIONS.items():
            nanoseconds = float(told.get(key, {}).get("ns", 0))
            allowed = float(told.get(key, {}).get("count", 0)) + 1
            value = scrape.value(family, model=model, version=version) or 0.0
            if abs(value - nanoseconds / 1000) > allowed:
                lines.append(
                    f"{model}:{version} {family} is {value:.0f} µs, "
                    f"the statistics say {nanoseconds / 1000:.0f} µs"
                )
    return lines
