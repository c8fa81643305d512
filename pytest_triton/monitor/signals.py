"""What a dashboard tells of, by the metrics in its queries."""

from __future__ import annotations

import re
from collections.abc import Collection

#: Signal -> pattern of the metrics that tell it: Triton's own, or those of exporters of machines.
SIGNALS: dict[str, re.Pattern[str]] = {
    "latency": re.compile(
        r"nv_inference_(?:request|compute_\w+?)_(?:duration|summary)_us.*"
        r"|nv_inference_first_response_histogram_ms.*"
    ),
    "traffic": re.compile(r"nv_inference_(?:request_success|count|exec_count)"),
    "errors": re.compile(r"nv_inference_request_failure"),
    "queue or batch": re.compile(
        r"nv_inference_(?:pending_request_count|queue_(?:duration|summary)_us.*|exec_count)"
    ),
    "GPU or CPU": re.compile(
        r"nv_(?:gpu_(?:utilization|power)|cpu_utilization).*|DCGM_FI_(?:DEV_(?:GPU_UTIL|POWER)|PROF).*"
        r"|(?:node|container|process|windows|nvidia)_\w*(?:cpu|gpu|utilization|load\d)\w*"
    ),
    "memory": re.compile(
        r"nv_(?:gpu|cpu)_memory_.*|nv_pinned_memory_.*|DCGM_FI_DEV_(?:FB|MEM)_.*"
        r"|(?:node|container|process|windows|nvidia)_\w*mem\w*"
    ),
}
#: Signals of which at least one panel has to tell one model from another.
BY_MODEL = ("latency", "traffic")


def told(names: Collection[str]) -> set[str]:
    """The signals that a set of metrics tells."""
    return {signal for signal, known in SIGNALS.items()
            if any(known.fullmatch(name) for name in names)}  # fmt: skip
