"""Why a query returns nothing: what can never be here, and what is not here for a good reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_triton.monitor.expected import FAMILIES
from pytest_triton.monitor.promql import Selector, selectors
from pytest_triton.monitoring.liveness import dead, foreign
from pytest_triton.monitoring.prometheus import Prometheus

Kind = Literal["dead", "hardware", "option", "foreign"]
#: Labels that Triton itself gives; the others are given by whoever scrapes.
TRITON = frozenset({"__name__", "model", "version", "reason", "gpu_uuid", "quantile", "le"})
#: All that Triton tells of a GPU.
_GPU = frozenset({"nv_gpu_utilization", "nv_gpu_memory_total_bytes", "nv_gpu_memory_used_bytes",
                  "nv_gpu_power_usage", "nv_gpu_power_limit", "nv_energy_consumption"})  # fmt: skip
#: Names of metrics of machines, told by exporters that run beside them.
_MACHINES = ("DCGM_", "node_", "container_", "nvidia_smi_", "nvidia_gpu_", "windows_", "process_")
#: What Triton has only with a flag, a cache, or a later release.
_OPTIONS = ("nv_cache_", "nv_inference_first_response_histogram_ms", "nv_model_load_duration_")
#: Metrics of one backend, which tells them through Triton.
_BACKENDS = ("nv_trt_llm_", "nv_llm_", "nv_vllm_")


@dataclass(frozen=True, slots=True)
class Absence:
    """Why something is not there, in a word and a sentence."""

    kind: Kind
    reason: str


@dataclass(frozen=True)
class Known:
    """What a dashboard may count on: trees of recording rules, labels, Grafana's own variables
    (``builtins`` for the seconds that are watched here, ``usual`` for those that people look at).

    ``moved`` are labels that are others here, ``kept``, where not empty, those alone that are
    what they are where the dashboard comes from.
    """

    recorded: Mapping[str, Any] = field(default_factory=dict)
    moved: Collection[str] = ("instance",)
    kept: Collection[str] = ()
    builtins: Mapping[str, Sequence[str]] = field(default_factory=dict)
    usual: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def moves(self, label: str) -> bool:
        """Whether a label may be another one where the dashboard comes from."""
        return label in self.moved or bool(self.kept and label not in self.kept)

    def followed(self, found: Sequence[Selector], depth: int = 0) -> list[Selector]:
        """Selectors with those of recording rules in the place of their names."""
        made: list[Selector] = []
        for each in found:
            if each.name in self.recorded and depth < 10:
                made += self.followed(list(selectors(self.recorded[each.name])), depth + 1)
            else:
                made.append(each)
        return made


def absence(found: Sequence[Selector], prometheus: Prometheus, known: Known) -> Absence | None:
    """The worst reason for which one of them selects nothing; None where each selects something."""
    told = [why for each in known.followed(found) if (why := _one(each, prometheus, known))]
    for kind in ("dead", "hardware", "option", "foreign"):
        reasons = [why.reason for why in told if why.kind == kind]
        if reasons:
            return Absence(kind, "; ".join(dict.fromkeys(reasons)))
    return None


def _one(each: Selector, prometheus: Prometheus, known: Known) -> Absence | None:
    name = each.name
    if not name or name in prometheus.names():
        reason = dead(each, prometheus, known.recorded) if name else ""
        return Absence("dead", reason) if reason else None
    if name in _GPU:
        return Absence("hardware", f"{name} needs a GPU, and this server has none")
    if name.startswith(_MACHINES):
        return Absence("hardware", f"{name} is told by an exporter of the machine")
    if name.startswith(_OPTIONS) or ("_summary_" in name and name.startswith("nv_")):
        return Absence("option", f"{name} needs a flag, a cache or a later release")
    if FAMILIES.get(name, ("", ""))[0]:
        return Absence("option", f"{name} is of release {FAMILIES[name][0]} and later")
    if name.startswith(_BACKENDS):
        return Absence("foreign", f"{name} is of a backend that is not at work here")
    if ":" in name and ("triton" in name.lower() or "nv_" in name):
        return Absence("dead", f"no rule that was handed in records {name}")
    if name == "ALERTS" or foreign(name):
        return Absence("foreign", f"{name} is not of this server")
    return Absence("dead", f"{name} does not exist on this server")
