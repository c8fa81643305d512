"""The metric families that a release has, with their types (Triton user guide, metrics.md)."""

from __future__ import annotations

#: (first release or "", type) of every family that needs no flag and no GPU.
FAMILIES: dict[str, tuple[str, str]] = {
    "nv_inference_request_success": ("", "counter"),
    "nv_inference_request_failure": ("", "counter"),
    "nv_inference_count": ("", "counter"),
    "nv_inference_exec_count": ("", "counter"),
    "nv_inference_request_duration_us": ("", "counter"),
    "nv_inference_queue_duration_us": ("", "counter"),
    "nv_inference_compute_input_duration_us": ("", "counter"),
    "nv_inference_compute_infer_duration_us": ("", "counter"),
    "nv_inference_compute_output_duration_us": ("", "counter"),
    "nv_inference_pending_request_count": ("", "gauge"),
    "nv_cpu_utilization": ("", "gauge"),
    "nv_cpu_memory_total_bytes": ("", "gauge"),
    "nv_cpu_memory_used_bytes": ("", "gauge"),
    "nv_pinned_memory_pool_total_bytes": ("24.01", "gauge"),
    "nv_pinned_memory_pool_used_bytes": ("24.01", "gauge"),
}
#: First release whose failure counter has the label ``reason``.
REASONS_SINCE = "24.07"


def families_of(release: str | None) -> dict[str, str]:
    """Family -> type on a release ("24.10"); an unknown release has what every one has."""
    return {
        name: kind
        for name, (first, kind) in FAMILIES.items()
        if not first or (release is not None and release >= first)
    }


#: Labels of each family about a model; failures have ``reason`` too.
MODEL_LABELS = frozenset({"model", "version"})
#: What failures are told apart by (release :data:`REASONS_SINCE` on), each a series of its own.
REASONS = frozenset({"REJECTED", "CANCELED", "BACKEND", "OTHER"})
#: Families that --allow-cpu-metrics=false takes away.
CPU_FAMILIES = frozenset(
    {"nv_cpu_utilization", "nv_cpu_memory_total_bytes", "nv_cpu_memory_used_bytes"}
)
#: Families about a model whose responses are cached; counter_latencies=false takes them away.
CACHED_FAMILIES = frozenset(
    f"nv_cache_{what}_per_model"
    for what in ("num_hits", "num_misses", "hit_duration", "miss_duration")
)
#: Families that --metrics-config counter_latencies=false takes away.
DURATIONS = frozenset(name for name in FAMILIES if name.endswith("_duration_us"))
#: Summaries that --metrics-config summary_latencies=true adds.
SUMMARIES = frozenset(name.replace("_duration_us", "_summary_us") for name in DURATIONS)
CACHED_SUMMARIES = frozenset({"nv_cache_hit_summary_per_model", "nv_cache_miss_summary_per_model"})
#: Gauges of the response cache (--cache-config), renewed about once a second.
CACHE_GAUGES = frozenset(
    {
        "nv_cache_util", "nv_cache_num_entries", "nv_cache_num_lookups", "nv_cache_num_hits",
        "nv_cache_num_misses", "nv_cache_num_evictions", "nv_cache_lookup_duration",
        "nv_cache_insertion_duration",
    }
)  # fmt: skip
#: Family -> type of what a server tells of each GPU, with the label ``gpu_uuid``.
GPU_FAMILIES: dict[str, str] = {
    "nv_gpu_utilization": "gauge",
    "nv_gpu_memory_total_bytes": "gauge",
    "nv_gpu_memory_used_bytes": "gauge",
    "nv_gpu_power_usage": "gauge",
    "nv_gpu_power_limit": "gauge",
    "nv_energy_consumption": "counter",
}
#: End of a family's name -> the word of its HELP that tells the unit.
UNITS = {"_us": "microseconds", "_bytes": "bytes", "_utilization": "[0.0 - 1.0"}


def labels_of(family: str, release: str | None) -> frozenset[str] | None:
    """The labels of a family's series; None for a family that is not Triton's own."""
    if family in GPU_FAMILIES:
        return frozenset({"gpu_uuid"})
    if family in CACHE_GAUGES or (family in FAMILIES and not family.startswith("nv_inference_")):
        return frozenset()
    if family == "nv_inference_request_failure" and (release is None or release >= REASONS_SINCE):
        return MODEL_LABELS | {"reason"}
    ours = family in FAMILIES or family in CACHED_FAMILIES | SUMMARIES | CACHED_SUMMARIES
    return MODEL_LABELS if ours else None
