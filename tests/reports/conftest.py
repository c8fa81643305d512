"""Reports made in code by the Scorecard, and one that a real run has written."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.criteria import Reason, Status, load
from pytest_triton.criteria.outcome import Outcome
from pytest_triton.evidence import Evidence
from pytest_triton.grade.record import build
from pytest_triton.grade.scorecard import Scorecard
from pytest_triton.grade.write import write
from pytest_triton.settings import Settings

SUBJECT = {
    "subject": {
        "kind": "reference",
        "urls": {
            "http": "http://127.0.0.1:41873",
            "grpc": "127.0.0.1:41874",
            "metrics": "http://127.0.0.1:41875/metrics",
        },
        "repository": "model_repository",
        "repository_sha256": "5d" * 32,
        "release_expected": "24.10",
        "release": "24.10",
        "device": "cpu",
        "models": ["image_classifier", "mlp", "text_classifier", "versioned"],
        "ready": {"image_classifier": ["1"], "mlp": ["1"], "text_classifier": ["1"]},
        "failed": {"versioned": "unable to load model: version 3 has no model.pt"},
    },
    "environment": {
        "server": {"name": "triton", "version": "2.51.0", "extensions": ["classification"]},
        "gpus": [],
    },
    "timings": {"boot_prepare_s": 0.42, "boot_start_s": 3.2, "boot_ready_s": 3.62},
}


class Made:
    """A run in code: give outcomes, take the report that its plugin would write."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        self.card = Scorecard(
            replace(Settings(report=directory, seed=362571475, tier="advanced"), **settings), load()
        )
        self.card.armed = True
        self.card.subject = SUBJECT
        self.card.collected = set(self.card.catalogue.clauses)

    def say(
        self,
        clause: str,
        status: Status = Status.PASS,
        reason: str = "",
        code: Reason | None = None,
        evidence: Evidence | None = None,
        **more: Any,
    ) -> None:
        """What one test says of its clause."""
        area = self.card.catalogue.clauses[clause].area
        told = Outcome(
            clause,
            more.pop("nodeid", f"suites/test_{area}.py::test_{clause.replace('-', '_').lower()}"),
            status,
            code.value if code else None,
            reason,
            more.pop("duration_s", 0.012),
            **more,
        )
        if evidence:
            told.measurements, told.evidence = evidence.measurements, evidence.files
            told.locations = evidence.locations
        self.card.outcomes.setdefault(clause, [])
        self.card.add(told)

    def pass_all(self) -> None:
        """Everything that is built passes."""
        for clause in self.card.catalogue.clauses.values():
            if clause.built:
                self.say(clause.id)

    def replace(self, clause: str, *args: Any, **more: Any) -> None:
        """As say, instead of what was said before."""
        self.card.outcomes.pop(clause, None)
        self.say(clause, *args, **more)

    def evidence(self, clause: str) -> Evidence:
        return Evidence(clause, self.directory)

    def report(self, *, complete: bool = True, **more: Any) -> dict[str, Any]:
        """Build report.json, write it, and return it."""
        options: dict[str, Any] = {
            "command": ["pytest", "--pyargs", "pytest_triton.suites", "--triton-tier", "advanced"],
            "started": "2026-11-22T09:58:17+00:00",
            "finished": "2026-11-22T09:59:39+00:00",
            "timings": {"total_s": 82.4, **SUBJECT["timings"]},
            "notes": ["NEG-01: this release words the error differently"],
        }
        report = build(self.card, complete=complete, **(options | more))
        write(report, self.directory)
        return report


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """An empty run that reports below tmp_path."""
    return Made(tmp_path / "triton-report")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Made]:
    """Runs with settings of their own."""
    return lambda **settings: Made(tmp_path / "triton-report", **settings)


@pytest.fixture
def rich(made: Made) -> Made:
    """A run with numbers, samples, a failure, an error and holes of several kinds."""
    rng = random.Random(1)
    made.pass_all()
    boot = made.evidence("SET-01")
    boot.measure("ready", 3.62, "s", budget=120.0, margin=116.38)
    made.replace("SET-01", evidence=boot, duration_s=0.2)
    models = made.evidence("PTM-01")
    models.measure("models", 5, "models")
    made.replace("PTM-01", evidence=models)
    accuracy = made.evidence("ACC-01")
    accuracy.measure("max error", 4.8e-7, "", budget=1e-5, margin=1e-5 - 4.8e-7)
    made.replace("ACC-01", evidence=accuracy, duration_s=2.4)
    gain = made.evidence("BAT-03")
    pairs = [rng.gauss(4.1, 0.25) for _ in range(14)]
    gain.measure("gain", 4.1, "×", interval=(3.83, 4.37), budget=1.3, margin=2.8, samples=pairs)
    made.replace("BAT-03", evidence=gain, duration_s=34.0)
    batch = made.evidence("BAT-02")
    batch.measure("mean batch", 21.6, "rows", budget=2, margin=19.6)
    made.replace("BAT-02", evidence=batch, duration_s=6.0)
    latency = made.evidence("LAT-01")
    spread = [math.exp(rng.gauss(0.9, 0.35)) for _ in range(4000)] + [41.0, 55.0]
    latency.measure(
        "latency", 4.4, "ms", interval=(4.2, 4.6), budget=6.0, margin=1.6, samples=spread
    )
    latency.measure("queue time", 0.0, "ms", samples=[])
    made.replace("LAT-01", evidence=latency, duration_s=9.1)
    counted = made.evidence("MTR-09")
    counted.locate("model_repository/mlp/config.pbtxt", 12)
    made.replace(
        "MTR-09", Status.FAIL, "mlp: 3 requests failed, nv_inference_request_failure rose by 0\n"
        "text_classifier: 3 requests failed, the counter rose by 1",
        evidence=counted, model="mlp",
    )  # fmt: skip
    made.replace("HLT-03", Status.ERROR, "ConnectionFailed: the second server did not start")
    made.replace("DEC-02", Status.NOT_ASSESSED, "does not apply", Reason.NOT_APPLICABLE)
    made.replace("GRP-01", Status.NOT_ASSESSED, "no gRPC endpoint is known", Reason.NO_ENDPOINT)
    made.replace("BAT-04", Status.INCONCLUSIVE, "foreign load 38 %: the machine was too noisy")
    return made
