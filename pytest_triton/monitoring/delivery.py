"""One alert from its fault to its receiver and back, live: Triton, Prometheus, Alertmanager."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_triton.factory import ServerFactory
from pytest_triton.monitor.rules import Rule
from pytest_triton.monitor.scraping import Job, pointed_at
from pytest_triton.monitor.yamls import Unreadable, plain, read_yaml
from pytest_triton.monitoring.alerting import Alertmanager, Notice, Webhook, configuration
from pytest_triton.monitoring.alerts import Watched
from pytest_triton.monitoring.prometheus import SCRAPE_S, Prometheus
from pytest_triton.monitoring.stimuli import WHAT, Patient, injected

#: Seconds until an alert has to be delivered, and until its end.
WITHIN_S = 20.0
#: What rules wait and look back for when time is short.
FOR, RANGE = "1s", f"{round(6 * SCRAPE_S * 1000)}ms"
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`')
_WINDOW = re.compile(r"\[\s*\w+\s*(:\s*\w*\s*)?\]")
_OFFSET = re.compile(r"\boffset\s+-?\w+")
#: What a template that went wrong leaves in a text.
_BROKEN = re.compile(r"<no value>|<error|\{\{|%!")


@dataclass(frozen=True, slots=True)
class Delivered:
    """Seconds since the fault until the alert was delivered, since the repair until its end was;
    None: it did not come. ``early``: it was delivered before there was a fault."""

    alert: str
    fault: str
    firing: Notice | None
    fired_s: float | None
    resolved: Notice | None
    resolved_s: float | None
    early: bool
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """For the evidence."""
        notice = self.firing
        return {
            "alert": self.alert, "fault": self.fault, "early": self.early,
            "fired_s": self.fired_s, "resolved_s": self.resolved_s, "seconds": self.seconds,
            "receiver": notice.receiver if notice else None,
            "labels": dict(notice.labels) if notice else {},
            "annotations": dict(notice.annotations) if notice else {},
        }  # fmt: skip


def chosen(alerts: Sequence[Watched]) -> tuple[Watched, str] | None:
    """The alert that is delivered, and the fault that makes it fire; None: there is none."""
    for alert in alerts:
        down = [each for each in alert.selected if each.name == "up"]
        if alert.signal == "availability" and down and len(down) == len(alert.selected):
            return alert, "down"
    for alert in alerts:
        if alert.signal == "errors":
            return alert, "errors"
    return None


def hastened(expr: str) -> str:
    """An expression that looks back for seconds, whatever it was."""
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match.group())
        return f"\x00{len(kept) - 1}\x00"

    masked = _STRING.sub(keep, expr)
    masked = _WINDOW.sub(
        lambda match: f"[{RANGE}:]" if match.group(1) is not None else f"[{RANGE}]", masked
    )
    masked = _OFFSET.sub("", masked)
    return re.sub(r"\x00(\d+)\x00", lambda match: kept[int(match.group(1))], masked)


def fast_rules(rules: Sequence[Rule], path: Path) -> Path:
    """All rules in a file, in a hurry."""
    entries: list[dict[str, Any]] = []
    for rule in rules:
        entry: dict[str, Any] = {"alert" if rule.alert else "record": rule.name,
                                 "expr": hastened(rule.expr)}  # fmt: skip
        if rule.labels:
            entry["labels"] = rule.labels
        if rule.alert:
            entry["annotations"] = rule.annotations
            entry["for"] = FOR
        entries.append(entry)
    path.write_text(json.dumps({"groups": [{"name": "handed in", "rules": entries}]}))
    return path


def silent_receivers(document: Any) -> set[str]:
    """Receivers of a configuration that tell nobody."""
    receivers = document.get("receivers") if isinstance(document, dict) else None
    return {
        str(each.get("name"))
        for each in (receivers if isinstance(receivers, list) else [])
        if isinstance(each, dict)
        and not any(str(key).endswith("_configs") and value for key, value in each.items())
    }


def deliver(
    factory: ServerFactory, rules: Sequence[Rule], alert: Watched, fault: str, *, job: Job,
    models: Sequence[str], routes: Mapping[str, Any], directory: Path,
) -> Delivered:  # fmt: skip
    """Inject the fault, wait for the notice, repair, wait for the end of it.

    ``routes``: Alertmanager's configuration, or nothing. Raises ToolError (NoProgram) where the
    programs are not there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    name = alert.rule.name
    with ExitStack() as stack:
        patient = Patient(factory, directory / "models", models, ())
        stack.callback(patient.end)
        patient.start()
        hook = stack.enter_context(Webhook())
        manager = Alertmanager(directory / "alertmanager", configuration(routes, hook.url))
        stack.enter_context(manager)
        url = f"{patient.deployment.metrics_url}"
        target = pointed_at(job, url if url.endswith("/metrics") else f"{url}/metrics",
                            interval=f"{round(SCRAPE_S * 1000)}ms")  # fmt: skip
        prometheus = Prometheus(
            directory / "prometheus", [target], rules=[fast_rules(rules, directory / "rules.json")],
            alertmanager=manager.address,
        )  # fmt: skip
        stack.enter_context(prometheus)
        prometheus.scraped(time.time(), times=6)
        early = hook.wait(name, "firing", 0.0) is not None
        began = time.monotonic()
        with injected(patient, fault):
            firing = None if early else hook.wait(name, "firing", WITHIN_S)
        repaired = time.monotonic()
        resolved = hook.wait(name, "resolved", WITHIN_S) if firing else None
        return Delivered(
            name, fault, firing, firing.at - began if firing else None, resolved,
            resolved.at - repaired if resolved else None, early, time.monotonic() - began,
        )  # fmt: skip


def wrong(found: Delivered, document: Any) -> list[str]:
    """What went wrong on the way of an alert."""
    what = WHAT[found.fault]
    if found.early:
        return ["fires while all is well"]
    if found.firing is None:
        return [f"{what}, and within {WITHIN_S:g} s nobody heard of it"]
    told = []
    receiver = found.firing.receiver
    if receiver in silent_receivers(document):
        told.append(f"goes to {receiver!r}, a receiver that tells nobody")
    for key, text in found.firing.annotations.items():
        if _BROKEN.search(text):
            told.append(f"its {key} reads {text[:120]!r}")
    if found.resolved is None:
        told.append(f"{WITHIN_S:g} s behind the repair nobody heard that it is over")
    return told


def readable(path: Path | None) -> Mapping[str, Any]:
    """A file of routes as a mapping, empty where there is none. Raises Unreadable."""
    if path is None:
        return {}
    document = plain(read_yaml(path))
    if not isinstance(document, dict):
        raise Unreadable(path, "is no mapping")
    return document
