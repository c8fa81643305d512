"""Files of Prometheus that somebody hands in, good ones and bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.monitor.rules import lacks, read_rules, seconds
from pytest_triton.monitor.scraping import labels, pointed_at, problems, read_scraping
from pytest_triton.monitor.yamls import MOST_BYTES, Unreadable, read_yaml

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "handed_in" / "monitoring"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "file.yml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [("15s", 15), ("1h30m", 5400), ("500ms", 0.5), ("1d", 86400), ("0", 0), ("", None), ("5", None),
     ("m5", None), (None, None), ("1m1h", None)],
)  # fmt: skip
def test_durations(text: object, expected: float | None) -> None:
    assert seconds(text) == expected


def test_the_example_is_whole() -> None:
    rules = read_rules(EXAMPLE / "rules" / "triton.yml")
    alerts = [rule for rule in rules if rule.alert]
    assert len(alerts) >= 6
    for rule in alerts:
        assert lacks(rule) == [], rule
        lines = rule.path.read_text().splitlines()
        assert rule.name in lines[rule.line - 1]
    job = read_scraping(EXAMPLE / "prometheus.yml").triton()
    assert (job.name, job.interval_s, problems(job)) == ("triton", 15.0, [])


def test_every_alert_has_its_place_in_the_runbook() -> None:
    book = (EXAMPLE / "runbook.md").read_text()
    for rule in read_rules(EXAMPLE / "rules" / "triton.yml"):
        if rule.alert:
            assert f"\n## {rule.name}\n" in book, rule
            assert rule.annotations["runbook_url"] == f"runbook.md#{rule.name.lower()}"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a: [", "file.yml:1: no YAML"),
        ("\tgroups:", "no YAML"),
        ("[1, 2]", "has no list of groups"),
        ("groups: [{rules: [{alert: A}]}]", "file.yml:1: a rule without"),
        ("groups: [{rules: [{expr: up}]}]", "a rule without"),
        ("a: &a [x]\nb: [" + "*a," * 200 + "]", "200 aliases"),
        ("{" * 2000, "no YAML"),
        ("!!python/object/apply:os.system ['true']", "no YAML"),
    ],
)
def test_bad_rules_are_named(tmp_path: Path, text: str, wrong: str) -> None:
    with pytest.raises(Unreadable) as error:
        read_rules(written(tmp_path, text))
    assert wrong in str(error.value)


def test_files_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "large.yml"
    path.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(Unreadable, match="over 4 MiB"):
        read_yaml(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Unreadable, match="UTF-8"):
        read_yaml(path)
    with pytest.raises(Unreadable, match="No such file"):
        read_yaml(tmp_path / "none.yml")


@pytest.mark.parametrize(
    ("jobs", "name"),
    [
        ("[{job_name: a, static_configs: [{targets: ['x:9100']}]},"
         " {job_name: b, static_configs: [{targets: ['x:8002']}]}]", "b"),
        ("[{job_name: node}, {job_name: my-triton, kubernetes_sd_configs: [{role: pod}]}]",
         "my-triton"),
        ("[{job_name: prometheus}, {job_name: inference}]", "inference"),
    ],
)  # fmt: skip
def test_the_job_for_triton_is_found(tmp_path: Path, jobs: str, name: str) -> None:
    assert read_scraping(written(tmp_path, f"scrape_configs: {jobs}")).triton().name == name


def test_no_job_for_triton(tmp_path: Path) -> None:
    text = "scrape_configs: [{job_name: a}, {job_name: b}]"
    with pytest.raises(Unreadable, match=r"port 8002 \(jobs: a, b\)"):
        read_scraping(written(tmp_path, text)).triton()
    with pytest.raises(Unreadable, match="no scrape_configs"):
        read_scraping(written(tmp_path, "global: {}"))
    with pytest.raises(Unreadable, match="'soon' is no duration"):
        read_scraping(written(tmp_path, "scrape_configs: [{job_name: a, scrape_interval: soon}]"))


def test_a_job_pointed_elsewhere_keeps_what_changes_series_and_reads_no_file(
    tmp_path: Path,
) -> None:
    text = """
scrape_configs:
  - job_name: triton
    metrics_path: /m
    authorization: {credentials_file: /etc/secret}
    file_sd_configs: [{files: [/etc/targets.json]}]
    static_configs: [{targets: ["t:8002", "u:8002"], labels: {team: ml}}]
    relabel_configs:
      - {source_labels: [__meta_x], regex: nothing, action: keep}
      - {target_label: __address__, replacement: elsewhere}
      - {target_label: zone, replacement: z}
    metric_relabel_configs: [{regex: uuid, action: labeldrop}]
"""
    job = read_scraping(written(tmp_path, text)).triton()
    assert (job.ports, job.discovery, labels(job)) == ({8002}, ("file",), {"team": "ml"})
    made = pointed_at(job, "http://127.0.0.1:9/metrics", interval="500ms")
    assert made == {
        "job_name": "triton", "metrics_path": "/m", "scheme": "http", "scrape_interval": "500ms",
        "scrape_timeout": "500ms",
        "static_configs": [{"targets": ["127.0.0.1:9"], "labels": {"team": "ml"}}],
        "relabel_configs": [{"target_label": "zone", "replacement": "z"}],
        "metric_relabel_configs": [{"regex": "uuid", "action": "labeldrop"}],
    }  # fmt: skip
    behind = pointed_at(job, "https://gate/triton/metrics", interval="1s")
    assert (behind["metrics_path"], behind["scheme"]) == ("/triton/metrics", "https")
