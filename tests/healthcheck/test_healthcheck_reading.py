"""Health checks as people write them, and what is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.healthcheck.reading import read_checks, spoken
from pytest_triton.healthcheck.trying import Tried, attempt, down, wrong
from pytest_triton.monitor.yamls import Unreadable


def written(tmp_path: Path, text: str, name: str = "compose.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("test", "command"),
    [
        ('["CMD", "curl", "-f", "http://localhost:8000/v2/health/ready"]',
         ("curl", "-f", "http://localhost:8000/v2/health/ready")),
        ('["CMD-SHELL", "curl -f localhost:8000/v2/health/ready || exit 1"]',
         ("sh", "-c", "curl -f localhost:8000/v2/health/ready || exit 1")),
        ("curl -f http://$$HOST:8000/v2", ("sh", "-c", "curl -f http://$HOST:8000/v2")),
    ],
)  # fmt: skip
def test_compose(tmp_path: Path, test: str, command: tuple[str, ...]) -> None:
    text = f"services:\n  triton:\n    healthcheck:\n      test: {test}\n"
    (check,) = read_checks(written(tmp_path, text))
    assert (check.command, check.asks, check.line) == (command, "ready", 4)
    assert str(check) == "healthcheck of triton (compose.yaml:4)"


def test_other_services_are_left_alone(tmp_path: Path) -> None:
    text = """
services:
  redis: {healthcheck: {test: [CMD, redis-cli, ping]}}
  off: {image: triton, healthcheck: {disable: true}}
  plain: {image: tritonserver}
"""
    assert read_checks(written(tmp_path, text)) == []


def test_probes_of_every_container(tmp_path: Path) -> None:
    text = """
kind: Service
---
kind: Deployment
spec: {template: {spec: {containers: [
  {name: t, ports: [{name: api, containerPort: 8000}],
   startupProbe: {httpGet: {path: /v2/health/ready, port: api}},
   livenessProbe: {httpGet: {path: /v2/health/live, port: http}},
   readinessProbe: {grpc: {port: 8001}}},
  {name: u, readinessProbe: {exec: {command: [curl, -f, "localhost:8000/v2/models/m/ready"]}}}]}}}
"""
    found = read_checks(written(tmp_path, text, "deploy.yml"))
    assert [(each.name, each.asks, spoken(each)) for each in found] == [
        ("livenessProbe of t", "alive", "GET :8000/v2/health/live"),
        ("readinessProbe of t", "ready", "gRPC health at 8001"),
        ("startupProbe of t", "ready", "GET :8000/v2/health/ready"),
        ("readinessProbe of u", "ready", "curl -f localhost:8000/v2/models/m/ready"),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("services: [", "no YAML"),
        ("services: {triton: {healthcheck: {test: 5}}}", "test is 5"),
        ("services: {triton: {healthcheck: {test: [NONE]}}}", "test is"),
        (
            "spec: {containers: [{name: a, livenessProbe: {tcpSocket: {port: 1}}}]}",
            "neither httpGet",
        ),
        ("spec: {containers: [{name: a, livenessProbe: {httpGet: {port: web}}}]}", "names no port"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(Unreadable, match=told):
        read_checks(written(tmp_path, text))


def test_scripts_are_told_where(tmp_path: Path) -> None:
    path = written(tmp_path, 'echo "at $1"; exit 3\n', "healthcheck.sh")
    (check,) = read_checks(path)
    with down() as where:
        found = attempt(check, "down", where, tmp_path)
    assert (found.well, found.told) == (False, f"exit status 3 at http://{where[8000]}")


def test_addresses_are_moved(tmp_path: Path) -> None:
    text = (
        "services: {triton: {healthcheck: {test: 'echo localhost:8000/v2 triton:8001 [::1]:8002 "
        "x:9000 $${A:-127.0.0.1:8000}'}}}"
    )
    (check,) = read_checks(written(tmp_path, text))
    where = {8000: "h:1", 8001: "h:2", 8002: "h:3"}
    assert attempt(check, "up", where, tmp_path).told.split() == [
        "exit", "status", "0", "h:1/v2", "h:2", "h:3", "x:9000", "h:1",
    ]  # fmt: skip


def test_what_each_kind_has_to_say(tmp_path: Path) -> None:
    text = """
spec: {containers: [{name: t,
   livenessProbe: {httpGet: {path: /v2/health/live, port: 8000}},
   readinessProbe: {httpGet: {path: /v2/health/ready, port: 8000}}}]}
"""
    alive, ready = read_checks(written(tmp_path, text, "deploy.yml"))

    def said(*well: bool) -> list[Tried]:
        states = zip(("up", "not ready", "down"), well, strict=True)
        return [Tried(state, each, "HTTP") for state, each in states]

    assert wrong(alive, said(True, True, False)) == wrong(ready, said(True, False, False)) == []
    assert len(wrong(alive, said(True, False, False))) == 1
    assert len(wrong(ready, said(True, True, True))) == 2
    assert len(wrong(ready, said(False, False, False))) == 1
