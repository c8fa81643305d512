"""Recordings become series that promtool evaluates: rates stay what they were."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from pytest_triton.monitor.metrics import Scrape, parse
from pytest_triton.monitor.rules import read_rules
from pytest_triton.monitoring import promtool
from pytest_triton.monitoring.alerts import (
    Watched,
    judged,
    models_of,
    signal_of,
    uncovered,
    watched,
)
from pytest_triton.monitoring.promtool import Firing
from pytest_triton.monitoring.stimuli import EVERY_S, Part, Recording
from pytest_triton.monitoring.timelines import stretched

PAGE = """# HELP c A counter
# TYPE c counter
c{{model="m"}} {count}
# HELP g A gauge
# TYPE g gauge
g{{model="m"}} {gauge}
"""


def page(count: float, gauge: float) -> Scrape:
    return parse(PAGE.format(count=count, gauge=gauge), at=0.0)


def recording(*, gone: bool = False) -> Recording:
    """A counter that rises by 4 a step when all is well and by 40 in the fault; a gauge of 1 and 9."""
    healthy = Part("healthy", tuple(page(4 * at, 1) for at in range(5)))
    faulty = Part("faulty", tuple(None if gone else page(100 + 40 * at, 9) for at in range(5)))
    repaired = Part("repaired", tuple(page(400 + 4 * at, 1) for at in range(5)))
    return Recording("errors", [healthy, faulty, repaired])


def test_rates_stay_and_parts_last() -> None:
    series, moments = stretched(recording(), "triton", "i", interval_s=15, part_s=600)
    values = dict(series)
    assert (moments.healthy, moments.faulty, moments.repaired) == (585, 1185, 1785)
    counter = [float(word) for word in values['c{instance="i",job="triton",model="m"}'].split()]
    assert len(counter) == 120
    steps = [after - before for before, after in itertools.pairwise(counter)]
    per_s = [step / 15 for step in steps]
    assert per_s[10] == pytest.approx(4 / EVERY_S)
    assert per_s[60] == pytest.approx(40 / EVERY_S)
    assert all(step >= 0 for step in steps)
    assert values['g{instance="i",job="triton",model="m"}'].split()[45] == "9"
    assert set(values['up{instance="i",job="triton"}'].split()) == {"1"}


def test_what_is_gone_ends_and_up_falls() -> None:
    series, _ = stretched(recording(gone=True), "triton", "i", interval_s=15, part_s=150)
    values = dict(series)
    assert values['up{instance="i",job="triton"}'].split() == ["1"] * 10 + ["0"] * 10 + ["1"] * 10
    gauge = values['g{instance="i",job="triton",model="m"}'].split()
    assert gauge[10:20] == ["stale"] + ["_"] * 9


RULES = """
groups:
- name: a
  rules:
  - {record: "m:c:rate", expr: "sum by (model) (rate(c[1m]))"}
  - {alert: Quiet, expr: "g > 100", for: 1m}
  - {alert: Loud, expr: "g > 5", for: 2m}
  - {alert: 'Wei"rd', expr: "m:c:rate > 50", for: 1m}
  - {alert: Always, expr: "up == 1"}
  - {alert: Down, expr: "up == 0", for: 1m}
"""


def test_promtool_says_what_fires_when(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    assert promtool.check_rules(rules) == ""
    for gone, during in ((False, {"Loud", 'Wei"rd', "Always"}), (True, {"Down"})):
        series, moments = stretched(recording(gone=gone), "j", "i", interval_s=15, part_s=300)
        found = promtool.firing([rules], series, moments, interval_s=15, directory=tmp_path / "t")
        assert found == Firing(frozenset({"Always"}), frozenset(during), frozenset({"Always"}))


def test_promtool_refuses(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text('groups: [{name: a, rules: [{alert: A, expr: "rate(up"}]}]')
    assert "could not parse expression" in promtool.check_rules(rules)
    config = tmp_path / "prometheus.yml"
    config.write_text("scrape_configs: [{job_name: a, scrape_intervall: 1s}]")
    assert "scrape_intervall" in promtool.check_config(config)


def test_rules_that_take_for_ever_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "promtool").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "promtool").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(promtool, "DEADLINE_S", 0.2)
    with pytest.raises(promtool.TooSlow, match="had not ended after"):
        promtool.check_rules(tmp_path / "rules.yml")


def alerts(tmp_path: Path, *exprs: str, records: str = "") -> list[Watched]:
    rules = "".join(f"  - {{alert: A{at}, expr: '{expr}'}}\n" for at, expr in enumerate(exprs))
    path = tmp_path / "rules.yml"
    path.write_text(f"groups:\n- name: a\n  rules:\n{records}{rules}")
    return watched(read_rules(path))


@pytest.mark.parametrize(
    ("expr", "signal"),
    [
        ("up == 0", "availability"),
        ("absent(nv_inference_count)", "availability"),
        ('absent(nv_inference_request_failure{model="m"})', "availability"),
        ("rate(nv_inference_request_failure[5m]) > 0 and on (instance) up == 1", "errors"),
        ("nv_inference_pending_request_count > 5", "saturation"),
        ("rate(nv_inference_queue_duration_us[5m]) / rate(nv_inference_request_duration_us[5m]) > 1",
         "saturation"),
        ("rate(nv_inference_request_duration_us[5m]) / rate(nv_inference_request_success[5m]) > 1",
         "latency"),
        ("rate(nv_inference_request_success[5m]) == 0", "traffic"),
        ("nv_gpu_utilization > 0.9", "hardware"),
        ("http_requests_total > 1", ""),
        ("upstream_errors > 1", ""),
    ],
)  # fmt: skip
def test_signals_are_told_by_metrics(tmp_path: Path, expr: str, signal: str) -> None:
    (alert,) = alerts(tmp_path, expr)
    assert alert.signal == signal_of(alert.selected) == signal


def test_recording_rules_are_followed(tmp_path: Path) -> None:
    records = "  - {record: a, expr: b}\n  - {record: b, expr: 'rate(nv_inference_request_failure[1m])'}\n"
    (alert,) = alerts(tmp_path, "a > 1", records=records)
    assert alert.signal == "errors"
    circle = "  - {record: a, expr: b}\n  - {record: b, expr: a}\n"
    assert alerts(tmp_path, "a > 1", records=circle)[0].signal == ""


def test_what_is_uncovered(tmp_path: Path) -> None:
    down, errors, queue = (
        "up == 0", "rate(nv_inference_request_failure[5m]) > 0", "nv_inference_pending_request_count > 5"
    )  # fmt: skip
    assert uncovered(alerts(tmp_path, down, errors, queue)) == []
    assert uncovered(alerts(tmp_path, down, errors)) == ["latency or saturation"]
    assert uncovered(alerts(tmp_path, queue)) == ["availability", "errors"]


def test_models_that_rules_name_are_provoked(tmp_path: Path) -> None:
    found = alerts(tmp_path, 'absent(nv_inference_count{model="b"})', 'up{model="nobody"} == 0')
    assert models_of(found, ["a", "b"]) == ["b"]
    assert models_of([], ["a", "b"]) == ["a"]


def seen(**faults: str) -> dict[str, Firing]:
    """Fault -> parts in which alert A0 fires, by first letter."""
    made = {}
    for fault in ("errors", "saturated", "timeouts", "gone", "dead", "down"):
        parts = faults.get(fault, "")
        made[fault] = Firing(*(frozenset({"A0"} if each in parts else ()) for each in "hfr"))
    return made


@pytest.mark.parametrize(
    ("expr", "when", "wrong"),
    [
        ("up == 0", {"down": "f"}, []),
        ("up == 0", {"down": "f", "gone": "f"}, []),
        ("up == 0", {}, ["does not fire when tritonserver is killed nor when the models are unloaded"]),
        ("up == 0", {"down": "fr"}, ["goes on firing behind it: tritonserver is killed"]),
        ("up == 0", {"down": "f", "errors": "h"}, ["fires while all is well"]),
        ("rate(nv_inference_request_failure[5m]) > 0", {"dead": "f"}, []),
        ("rate(nv_inference_request_failure[5m]) > 0", {"errors": "f", "down": "f"},
         ["fires when tritonserver is killed, of which it is not to speak"]),
        ("nv_inference_pending_request_count > 5000", {},
         ["does not fire when 24 requests at once, of 120 ms each"]),
        ("rate(nv_inference_request_success[5m]) == 0", {}, []),
    ],
)  # fmt: skip
def test_what_an_alert_does_wrong(
    tmp_path: Path, expr: str, when: dict[str, str], wrong: list[str]
) -> None:
    (alert,) = alerts(tmp_path, expr)
    assert list(judged(alert, seen(**when)).wrong) == wrong


def test_what_was_not_tried_is_open(tmp_path: Path) -> None:
    (many,) = alerts(tmp_path, "nv_inference_pending_request_count > 100")
    found = judged(many, seen())
    assert (found.wrong, "24 requests at once were tried" in found.open) == ((), True)
    (gpu,) = alerts(tmp_path, "nv_gpu_utilization > 90")
    assert judged(gpu, seen()).open == "it looks at hardware, which is not provoked here"
