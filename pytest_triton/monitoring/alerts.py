"""What each alert has to notice, decided by the metrics that it looks at, and whether it does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_triton.factory import ServerFactory
from pytest_triton.monitor.promql import Selector, Unparsable, parse, selectors, thresholds
from pytest_triton.monitor.rules import Rule
from pytest_triton.monitoring.promtool import Firing, firing
from pytest_triton.monitoring.stimuli import CROWD, FAULTS, WHAT, Patient, Recording, record
from pytest_triton.monitoring.timelines import stretched

#: Signal -> beginnings of the metrics that tell it; the first signal that fits counts.
SIGNALS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("errors", ("nv_inference_request_failure",)),
    ("saturation", ("nv_inference_pending_request_count", "nv_inference_queue_")),
    ("latency", ("nv_inference_request_duration_us", "nv_inference_request_summary_us",
                 "nv_inference_compute_", "nv_inference_first_response_")),
    ("hardware", ("nv_gpu_", "nv_energy_", "nv_cpu_", "nv_pinned_memory_", "DCGM_", "node_",
                  "container_")),
    ("availability", ("up", "scrape_", "probe_success")),
    ("traffic", ("nv_inference_",)),
    ("cache", ("nv_cache_",)),
)  # fmt: skip
#: Signal -> faults of which one at least has to make it fire, and those under which it may.
MUST: dict[str, tuple[str, ...]] = {
    "errors": ("errors", "timeouts", "dead"),
    "saturation": ("saturated",),
    "latency": ("saturated",),
    "availability": ("down", "gone"),
}
MAY: dict[str, tuple[str, ...]] = {
    "errors": ("errors", "timeouts", "dead"),
    "saturation": ("saturated", "timeouts"),
    # what a killed process answers last took long
    "latency": ("saturated", "timeouts", "dead"),
    "availability": ("down", "gone"),
    "traffic": ("gone", "down", "dead", "saturated", "timeouts", "errors"),
}
#: Signals that a set of alerts has to cover.
COVERED = ("availability", "errors", "latency or saturation")
#: Models that are served at once, and the stretched length of a part beyond what rules need.
MOST_MODELS, SLACK = 3, 1.5


@dataclass(frozen=True, slots=True)
class Watched:
    """An alert with what it selects, recording rules followed; ``signal`` "" when unknown."""

    rule: Rule
    selected: tuple[Selector, ...]
    signal: str
    thresholds: tuple[tuple[str, float], ...]


def watched(rules: Sequence[Rule]) -> list[Watched]:
    """Every alert that can be parsed."""
    trees: dict[str, Any] = {}
    for rule in rules:
        try:
            trees[rule.expr] = parse(rule.expr)
        except Unparsable:
            continue
    recorded = {rule.name: trees[rule.expr] for rule in rules
                if not rule.alert and rule.expr in trees}  # fmt: skip
    made = []
    for rule in rules:
        if rule.alert and rule.expr in trees:
            found = tuple(_followed(trees[rule.expr], recorded))
            made.append(Watched(rule, found, signal_of(found), tuple(thresholds(trees[rule.expr]))))
    return made


def _followed(tree: Any, recorded: Mapping[str, Any], depth: int = 0) -> list[Selector]:
    found = []
    for each in selectors(tree):
        if each.name in recorded and depth < 10:
            found += _followed(recorded[each.name], recorded, depth + 1)
        else:
            found.append(each)
    return found


def signal_of(selected: Sequence[Selector]) -> str:
    """What a set of metrics tells of: see :data:`SIGNALS`."""
    absent = [each for each in selected if any(name.startswith("absent") for name in each.above)]
    if absent and len(absent) == len([each for each in selected if each.name != "up"]):
        return "availability"
    for signal, starts in SIGNALS:
        if any(_begins(each.name, starts) for each in selected):
            return signal
    return ""


def _begins(name: str, starts: Sequence[str]) -> bool:
    return any(name == start or (start != "up" and name.startswith(start)) for start in starts)


def models_of(alerts: Sequence[Watched], known: Sequence[str]) -> list[str]:
    """Models that the alerts name, else the first that is known."""
    named = [
        value
        for alert in alerts
        for each in alert.selected
        for label, sign, value in each.matchers
        if label == "model" and sign == "=" and value in known
    ]
    return list(dict.fromkeys(named))[:MOST_MODELS] or list(known[:1])


def recordings(
    factory: ServerFactory, directory: Path, models: Sequence[str], flags: Sequence[str]
) -> dict[str, Recording]:
    """A server for each fault, all at once. Raises what kept one from being recorded."""
    patients: dict[str, Patient] = {}
    try:
        for fault in FAULTS:
            patients[fault] = Patient(factory, directory / fault, models, flags)
        with ThreadPoolExecutor(len(patients)) as pool:
            jobs = {fault: pool.submit(record, each, fault) for fault, each in patients.items()}
            return {fault: job.result() for fault, job in jobs.items()}
    finally:
        for patient in patients.values():
            patient.end()


def fired(
    made: Mapping[str, Recording], rules: Sequence[Path], alerts: Sequence[Watched], *, job: str,
    interval_s: float, directory: Path, labels: Mapping[str, str],
) -> dict[str, Firing]:  # fmt: skip
    """Fault -> the alerts that fire before, in and behind it."""
    longest = max(
        ((each.rule.for_s or 0.0) + max((one.range_s or 0.0 for one in each.selected), default=0.0)
         for each in alerts), default=0.0,
    )  # fmt: skip
    part_s = max(SLACK * longest, 10 * interval_s)
    found = {}
    for fault, recording in made.items():
        series, moments = stretched(
            recording, job, "triton:8002", interval_s=interval_s, part_s=part_s, labels=labels
        )
        found[fault] = firing(rules, series, moments, interval_s=interval_s,
                              directory=directory / fault)  # fmt: skip
    return found


@dataclass(frozen=True, slots=True)
class Judged:
    """One alert: what it did wrong, why nobody can tell, or the faults that it noticed."""

    alert: Watched
    wrong: tuple[str, ...]
    open: str
    noticed: tuple[str, ...]
    #: It is open because the fault was too weak, not because nobody provokes its metrics.
    doubtful: bool = False

    def to_json(self) -> dict[str, Any]:
        return {"alert": self.alert.rule.name, "signal": self.alert.signal,
                "noticed": list(self.noticed), "wrong": list(self.wrong), "open": self.open}  # fmt: skip


def judged(alert: Watched, seen: Mapping[str, Firing]) -> Judged:
    """Quiet when all is well, firing under its own fault and no other, and quiet again."""
    name = alert.rule.name
    noticed = tuple(fault for fault, each in seen.items() if name in each.faulty)
    if alert.signal not in MAY:
        what = alert.signal or "metrics that Triton does not have"
        return Judged(alert, (), f"it looks at {what}, which is not provoked here", noticed)
    wrong = []
    if any(name in each.healthy for each in seen.values()):
        wrong.append("fires while all is well")
        return Judged(alert, tuple(wrong), "", noticed)
    for fault in noticed:
        if fault not in MAY[alert.signal]:
            wrong.append(f"fires when {WHAT[fault]}, of which it is not to speak")
    late = [fault for fault in noticed if name in seen[fault].repaired]
    wrong += [f"goes on firing behind it: {WHAT[fault]}" for fault in late]
    must = MUST.get(alert.signal, ())
    if must and not set(must) & set(noticed):
        told = " nor when ".join(WHAT[fault] for fault in must)
        if reason := _out_of_reach(alert):
            return Judged(
                alert, tuple(wrong), f"does not fire when {told}: {reason}", noticed, doubtful=True
            )
        wrong.append(f"does not fire when {told}")
    return Judged(alert, tuple(wrong), "", noticed)


def table(found: Sequence[Judged], seen: Mapping[str, Firing]) -> dict[str, list[int]]:
    """Alert -> what it does while all is well, under each fault of ``seen``, and behind them, as
    places in :data:`pytest_triton.series.GRID`."""
    rows = {}
    for each in found:
        name, signal = each.alert.rule.name, each.alert.signal
        must = set(MUST.get(signal, ()))
        hits = must & set(each.noticed)
        cells = [2 if any(name in one.healthy for one in seen.values()) else 0]
        for fault, one in seen.items():
            if name in one.faulty:
                cells.append(1 if fault in MAY.get(signal, ()) else 2)
            else:
                cells.append(3 if fault in must and not hits and signal in MAY else 0)
        cells.append(2 if any(name in one.repaired for one in seen.values()) else 0)
        rows[name] = cells
    return rows


def _out_of_reach(alert: Watched) -> str:
    """A crowd of a size that was not tried is no fault of the rule."""
    pending = any(each.name == "nv_inference_pending_request_count" for each in alert.selected)
    most = max((number for op, number in alert.thresholds if op in (">", ">=")), default=-math.inf)
    if pending and CROWD <= most <= 1000:
        return f"{CROWD} requests at once were tried, it speaks of {most:g}"
    return ""


def uncovered(alerts: Sequence[Watched]) -> list[str]:
    """Signals that no alert looks at."""
    there = {alert.signal for alert in alerts}
    for alert in alerts:
        # a set of its own beside the main signal
        there |= {signal for signal, starts in SIGNALS
                  if any(_begins(each.name, starts) for each in alert.selected)}  # fmt: skip
    found = []
    for wanted in COVERED:
        if not there & set(wanted.split(" or ")):
            found.append(wanted)
    return found
