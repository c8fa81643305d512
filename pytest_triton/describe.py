"""What is known about the subject, as JSON for the report and for pytest-xdist."""

from __future__ import annotations

from typing import Any

from pytest_triton.errors import SubjectFault
from pytest_triton.subject import Subject

GPU_METRIC = "nv_gpu_memory_total_bytes"


def describe(subject: Subject) -> dict[str, Any]:
    """``subject``, ``environment`` and ``timings`` of report.json."""
    deployment = subject.deployment
    urls = {"http": deployment.http_url, "grpc": deployment.grpc_url}
    return {
        "subject": {
            "kind": deployment.kind,
            "urls": {**urls, "metrics": deployment.metrics_url},
            "repository": str(deployment.repository) if deployment.repository else None,
            "repository_sha256": _sha256(subject),
            "release_expected": deployment.release,
            "release": subject.release,
            "device": deployment.device,
            "models": list(subject.expected),
            "ready": {name: list(model.versions) for name, model in subject.models.items()},
            "failed": dict(deployment.failed),
        },
        "environment": {
            "server": {
                "name": _text(subject.server.get("name")),
                "version": _text(subject.server.get("version")),
                "extensions": _texts(subject.server.get("extensions")),
            },
            "gpus": _gpus(subject),
        },
        "timings": {f"boot_{name}_s": round(value, 3) for name, value in deployment.boot.items()},
    }


def _text(value: object) -> str | None:
    """The report has a schema, whatever the server says."""
    return value if value is None or isinstance(value, str) else f"{value!r:.200}"


def _texts(values: object) -> list[str]:
    return [f"{_text(value)}" for value in values] if isinstance(values, list) else []


def _sha256(subject: Subject) -> str | None:
    from pytest_triton.repository.layout import repository_sha256

    repository = subject.deployment.repository
    return repository_sha256(repository) if repository else None


def _gpus(subject: Subject) -> list[dict[str, Any]]:
    if not subject.capability("gpu"):
        return []
    try:
        samples = subject.scrape().samples(GPU_METRIC)
    except SubjectFault:
        return []
    return [
        # The gauge is 0 until the telemetry was read once: that is no size.
        {
            "uuid": sample.labels.get("gpu_uuid"),
            "memory_bytes": sample.value if 0 < sample.value < float("inf") else None,
        }
        for sample in samples
    ]
