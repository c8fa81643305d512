"""The programs of the stack: found, started, ended; and an alert's way through them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pytest_triton.criteria import NotAssessed
from pytest_triton.errors import ToolError
from pytest_triton.handed_in import HandedIn
from pytest_triton.monitor.rules import read_rules
from pytest_triton.monitoring.alerting import Alertmanager, Webhook, configuration
from pytest_triton.monitoring.delivery import (
    Delivered,
    fast_rules,
    hastened,
    silent_receivers,
    wrong,
)
from pytest_triton.monitoring.process import NoProgram, find
from pytest_triton.monitoring.prometheus import Prometheus, QueryFailed
from pytest_triton.monitoring.rig import Monitored


@pytest.mark.parametrize(
    ("expr", "fast"),
    [
        ("rate(a[5m])", "rate(a[3000ms])"),
        ("max_over_time(rate(a[5m])[1h:1m])", "max_over_time(rate(a[3000ms])[3000ms:])"),
        ("a offset 1w > 1", "a  > 1"),
        ('a{b="[5m] offset 3d"}[ 2m ]', 'a{b="[5m] offset 3d"}[3000ms]'),
        ("label_replace(a, 'b', '[1m]', 'c', '')", "label_replace(a, 'b', '[1m]', 'c', '')"),
    ],
)
def test_expressions_in_a_hurry(expr: str, fast: str) -> None:
    assert hastened(expr) == fast


def test_routes_lead_to_the_webhook_and_keep_their_order() -> None:
    given = {
        "global": {"smtp_auth_password_file": "/etc/secret"},
        "templates": ["/etc/*.tmpl"],
        "route": {"receiver": "a", "group_wait": "5m", "group_by": ["x"],
                  "routes": [{"matchers": ['severity="critical"'], "receiver": "b",
                              "repeat_interval": "1m"}]},
        "receivers": [{"name": "a"}, {"name": "b", "email_configs": [{"to": "x"}]}],
    }  # fmt: skip
    made = configuration(given, "http://h")
    assert set(made) == {"route", "receivers"}
    assert made["route"]["group_wait"] == "100ms"
    assert made["route"]["group_by"] == ["x"]
    assert made["route"]["routes"][0]["receiver"] == "b"
    assert made["route"]["routes"][0]["repeat_interval"] == "1h"
    urls = [each["webhook_configs"][0]["url"] for each in made["receivers"]]
    assert urls == ["http://h/a", "http://h/b"]
    assert silent_receivers(given) == {"a"}
    assert silent_receivers(None) == set()


def test_a_firing_alert_comes_through_and_its_end_too(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(
        "groups: [{name: a, rules: [{record: 'x', expr: 'vector(1)'},"
        " {alert: A, expr: 'x == 1 and on () (vector(time()) < UNTIL)', for: 1h,"
        " annotations: {summary: 'it is {{ $value }}'}}]}]"
        .replace("UNTIL", f"{time.time() + 9:.0f}")
    )  # fmt: skip
    fast = fast_rules(read_rules(rules), tmp_path / "fast.json")
    with Webhook() as hook:
        with Alertmanager(tmp_path / "am", configuration(None, hook.url)) as manager:
            with Prometheus(tmp_path / "p", [], rules=[fast], alertmanager=manager.address) as p:
                firing = hook.wait("A", "firing", 20)
                assert firing is not None
                assert firing.annotations["summary"] == "it is 1"
                assert hook.wait("A", "resolved", 20) is not None
                assert [rule["name"] for rule in p.rules()] == ["x", "A"]
                assert p.query("1 + 1")[0].last == 2
                with pytest.raises(QueryFailed, match="parse error"):
                    p.query("rate(up")
    assert hook.wait("A", "no such", 0.0) is None


def test_a_program_that_is_not_there_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoProgram, match="apt-get install prometheus"):
        find("prometheus")


def test_without_the_programs_nothing_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not assessed with the remedy: neither a pass nor our error."""
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: []")
    monkeypatch.setenv("PATH", str(tmp_path))
    made = Monitored(None, HandedIn(tmp_path, rules=(rules,)), tmp_path / "work")  # type: ignore[arg-type]
    with pytest.raises(NotAssessed, match="apt-get install prometheus"):
        made.rule_files()


def test_a_prometheus_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = Prometheus(tmp_path, [{"job_name": "a", "scrape_intervall": "1s"}])
    with pytest.raises(ToolError, match=r"ended with status \d+: .*scrape_intervall"):
        broken.start()


def test_it_ends_with_its_creator(tmp_path: Path) -> None:
    """Killed or not: nothing stays behind."""
    program = (
        "import sys, time; from pathlib import Path\n"
        "from pytest_triton.monitoring.prometheus import Prometheus\n"
        "with Prometheus(Path(sys.argv[1]), []) as p:\n"
        "    print(p._process.pid, flush=True); time.sleep(60)\n"
    )
    creator = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert creator.stdout is not None
    pid = int(creator.stdout.readline())
    assert psutil.Process(pid).name().startswith("prometheus")
    os.kill(creator.pid, signal.SIGKILL)
    creator.wait()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)


@pytest.mark.parametrize(
    ("summary", "reason"),
    [
        ("all well", None),
        ("<no value> is down", "its summary reads '<no value> is down'"),
        ("<error expanding template", "its summary reads"),
    ],
)
def test_what_a_notice_reads(summary: str, reason: str | None) -> None:
    from pytest_triton.monitoring.alerting import Notice

    notice = Notice("pager", "firing", {}, {"summary": summary}, 1.0)
    told = wrong(Delivered("A", "down", notice, 1.0, notice, 1.0, False, 3.0), {})
    assert (told == []) if reason is None else (reason in told[0])
