"""A ``prometheus.yml`` that somebody hands in: its job for Triton, and that job for another address."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_triton.monitor.rules import seconds
from pytest_triton.monitor.yamls import LINE, Unreadable, mappings, plain, read_yaml

#: Triton's default ports, and what is served there.
PORTS = {8000: "HTTP", 8001: "gRPC", 8002: "metrics"}
#: Prometheus' own defaults.
_INTERVAL_S, _PATH = 60.0, "/metrics"
#: What a job keeps when it is pointed elsewhere; discovery, credentials and files it does not.
_KEPT = ("job_name", "metrics_path", "params", "honor_labels", "honor_timestamps",
         "metric_relabel_configs", "sample_limit", "label_limit")  # fmt: skip
_SUFFIX = "_sd_configs"


@dataclass(frozen=True, slots=True)
class Job:
    """A scrape job: ``targets`` as written, ``discovery`` names what finds them otherwise."""

    name: str
    targets: tuple[str, ...]
    path: str
    interval_s: float
    discovery: tuple[str, ...]
    line: int
    config: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def ports(self) -> set[int]:
        """Ports of the targets, where they name one."""
        found = set()
        for target in self.targets:
            try:
                port = urlsplit(target if "//" in target else f"//{target}").port
            except ValueError:
                continue
            if port:
                found.add(port)
        return found


@dataclass(frozen=True, slots=True)
class Scraping:
    """The whole file: its jobs, rule files as written, and whether it names an Alertmanager."""

    path: Path
    jobs: tuple[Job, ...]
    rule_files: tuple[str, ...]
    alerts_somebody: bool

    def triton(self) -> Job:
        """The job that scrapes Triton. Raises Unreadable where none does."""
        for job in self.jobs:
            if 8002 in job.ports:
                return job
        named = [job for job in self.jobs if "triton" in f"{job.name} {job.targets}".lower()]
        if named:
            return named[0]
        others = [job for job in self.jobs if job.name != "prometheus"]
        if len(others) == 1:
            return others[0]
        names = ", ".join(job.name for job in self.jobs) or "none"
        raise Unreadable(self.path, f"no job scrapes Triton's port 8002 (jobs: {names})")


def read_scraping(path: Path) -> Scraping:
    """Read a file. Raises Unreadable."""
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise Unreadable(path, "is no mapping")
    general = document.get("global")
    default = general.get("scrape_interval") if isinstance(general, dict) else None
    jobs = [_job(path, entry, default) for entry in mappings(document.get("scrape_configs"))]
    if not jobs:
        raise Unreadable(path, "has no scrape_configs")
    files = document.get("rule_files")
    alerting = document.get("alerting")
    return Scraping(
        path, tuple(jobs), tuple(str(each) for each in files) if isinstance(files, list) else (),
        isinstance(alerting, dict) and bool(alerting.get("alertmanagers")),
    )  # fmt: skip


def _job(path: Path, entry: dict[str, Any], default: Any) -> Job:
    line = int(entry.get(LINE, 0))
    name = entry.get("job_name")
    if not isinstance(name, str):
        raise Unreadable(path, "a job without job_name", line)
    said = entry.get("scrape_interval", default)
    interval = _INTERVAL_S if said is None else seconds(said)
    if interval is None or interval <= 0:
        raise Unreadable(path, f"{name}: scrape_interval {said!r} is no duration", line)
    targets = [
        str(target)
        for static in mappings(entry.get("static_configs"))
        for target in (static.get("targets") or [])
    ]
    discovery = tuple(key[: -len(_SUFFIX)] for key in entry if str(key).endswith(_SUFFIX))
    return Job(name, tuple(targets), str(entry.get("metrics_path", _PATH)), interval, discovery,
               line, plain(entry))  # fmt: skip


def problems(job: Job) -> list[str]:
    """What is wrong with a job for Triton as it is written."""
    found = []
    for port in sorted(job.ports & {8000, 8001}):
        found.append(f"port {port} is Triton's {PORTS[port]}, its metrics are at 8002")
    if not job.targets and not job.discovery:
        found.append("it has no targets")
    if job.interval_s > 30:
        found.append(f"scraped every {job.interval_s:g} s, 30 s at most are asked for")
    return [f"job {job.name}: {each}" for each in found]


def pointed_at(job: Job, url: str, *, interval: str) -> dict[str, Any]:
    """The job for the metrics at ``url``, as often as ``interval``, and nothing that reads files
    or discovers anything. Its path and its relabelling stay as they are written, where they do
    not speak of what a discovery says."""
    parts = urlsplit(url)
    made = {key: job.config[key] for key in _KEPT if key in job.config}
    relabel = [
        each
        for each in mappings(job.config.get("relabel_configs"))
        if not any(str(name).startswith("__meta_") for name in each.get("source_labels") or [])
        and each.get("target_label") not in ("__address__", "__scheme__")
    ]
    base = parts.path.rstrip("/")
    # an endpoint with a path of its own (behind a gateway) is what the subject has, not the file
    path = parts.path if base and base != _PATH else job.path
    return {
        **made, "metrics_path": path, "scheme": parts.scheme, "scrape_interval": interval,
        "scrape_timeout": interval, "relabel_configs": relabel,
        "static_configs": [{"targets": [parts.netloc], "labels": labels(job)}],
    }  # fmt: skip


def labels(job: Job) -> dict[str, str]:
    """Labels that the job's static targets carry."""
    made: dict[str, str] = {}
    for static in mappings(job.config.get("static_configs")):
        made |= {str(name): str(value) for name, value in (static.get("labels") or {}).items()}
    return made
