"""Whether what an expression selects exists on the server under test."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from pytest_triton.monitor.promql import Selector, misuses, selectors
from pytest_triton.monitoring.prometheus import Prometheus

#: Metrics of Triton that need hardware.
HARDWARE = ("nv_gpu_", "nv_energy_")
#: Beginnings of names that are Triton's, or Prometheus' own of a target.
_OURS = ("nv_", "up", "scrape_", "ALERTS")
#: Labels that are others where the target is another one.
_MOVED = frozenset({"instance", "__name__"})


def foreign(name: str) -> bool:
    """Whether a metric is of another exporter, which nobody can judge here."""
    return not any(name == start or name.startswith(start) for start in _OURS)


def dead(each: Selector, prometheus: Prometheus, recorded: Collection[str]) -> str:
    """Why a selector can return nothing here; "" where it returns something, or nobody can tell."""
    if any(name.startswith("absent") for name in each.above):
        return _unknown(each, prometheus)
    if each.name in recorded or foreign(each.name) or each.name.startswith(HARDWARE):
        return ""
    if each.name == "ALERTS":
        return ""
    if each.name not in prometheus.names():
        return f"{each.name} does not exist on this server"
    kept = [(label, sign, value) for label, sign, value in each.matchers if label not in _MOVED]
    inner = ",".join(f"{label}{sign}{_quoted(value)}" for label, sign, value in kept)
    if kept and not prometheus.query(f"{each.name}{{{inner}}}"):
        return f"{each.name}{{{inner}}} selects nothing on this server"
    return ""


def _unknown(each: Selector, prometheus: Prometheus) -> str:
    """absent() of a metric that never exists always fires."""
    if foreign(each.name) or each.name.startswith(HARDWARE) or each.name in prometheus.names():
        return ""
    return f"absent() of {each.name}, which does not exist on this server"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def faults(tree: Any, prometheus: Prometheus, recorded: Collection[str]) -> list[str]:
    """What is wrong with an expression on this server, whatever the values are."""
    types = {**prometheus.types(), "up": "gauge"}
    found = list(misuses(tree, types))
    found += [reason for each in selectors(tree) if (reason := dead(each, prometheus, recorded))]
    return list(dict.fromkeys(found))


def narrow(found: Iterable[Selector], interval_s: float) -> Sequence[str]:
    """Ranges that hold fewer than four scrapes: one that is lost leaves a gap."""
    return [
        f"{each.name}[{each.range_s:g}s] holds {each.range_s / interval_s:.3g} scrapes of "
        f"{interval_s:g} s, four are asked for"
        for each in found
        if each.range_s is not None and each.range_s < 4 * interval_s
    ]
