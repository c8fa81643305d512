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
