"""Stage 01 and 04: the health check that was handed in, tried on three states of a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.evidence import Evidence
from pytest_triton.factory import ServerFactory
from pytest_triton.handed_in import handed_in_for_more
from pytest_triton.healthcheck.reading import Check, read_checks, spoken
from pytest_triton.healthcheck.trying import addresses, attempt, down, not_ready, wrong
from pytest_triton.monitor.yamls import Unreadable
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject


@pytest.mark.clause("HCK-01")
def test_health_checks(
    triton_settings: Settings,
    triton_subject: Subject,
    triton_server_factory: ServerFactory,
    triton_evidence: Evidence,
    tmp_path: Path,
) -> None:
    handed = handed_in_for_more(triton_settings)
    checks: list[Check] = []
    for path in handed.health_checks:
        try:
            checks += read_checks(path)
        except Unreadable as error:
            triton_evidence.locate(path.name, error.line)
            raise AssertionError(str(error)) from None
    if not checks:
        raise NotAssessed(
            Reason.NOT_APPLICABLE,
            f"no health check lies in {handed.directory}: a compose file with a healthcheck, a "
            "Kubernetes manifest with probes, healthcheck.sh or healthcheck.py",
        )
    triton_evidence.measure("health checks", len(checks), "checks")
    root = handed.directory
    with (
        not_ready(
            triton_server_factory, tmp_path / "models", list(triton_subject.models)
        ) as broken,
        down() as nobody,
    ):
        states = {"up": addresses(triton_subject.deployment), "not ready": broken, "down": nobody}
        for check in checks:
            with triton_evidence.case(str(check)):
                tried = [attempt(check, state, where, root) for state, where in states.items()]
                triton_evidence.attach(
                    f"{check.name}.json",
                    {"does": spoken(check), "asks": check.asks,
                     "states": {each.state: [each.well, each.told] for each in tried}},
                )  # fmt: skip
                problems = wrong(check, tried)
                if problems:
                    triton_evidence.locate(check.file.name, check.line)
                assert not problems, "; ".join(problems)
