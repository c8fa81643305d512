"""Stage 04: faults are injected, seen where they have to show, and repaired."""

from __future__ import annotations

import pytest

from pytest_triton.criteria import Manual, Missing
from pytest_triton.drills import diagnosing
from pytest_triton.drills.carrying import REPAIR_S
from pytest_triton.drills.session import drilled
from pytest_triton.evidence import Evidence
from pytest_triton.factory import ServerFactory
from pytest_triton.handed_in import DIAGNOSES, handed_in_for_more
from pytest_triton.load.scripts.running import TooLarge
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject


@pytest.mark.clause("TRB-01")
def test_faults_are_found_and_repaired(
    triton_subject: Subject,
    triton_settings: Settings,
    triton_server_factory: ServerFactory,
    triton_evidence: Evidence,
) -> None:
    for line in drilled(triton_subject, triton_settings, triton_server_factory):
        triton_evidence.attach(f"{line.drill}.json", line.to_json())
        if line.left_out:
            continue
        for name, seconds in (("visible", line.visible_s), ("repaired", line.repaired_s)):
            if seconds is not None:
                budget = REPAIR_S if name == "repaired" else None
                triton_evidence.measure(
                    f"{line.drill} {name} after", seconds, "s", budget=budget, better="none"
                )
        with triton_evidence.case(line.drill):
            assert not line.findings, "; ".join(line.findings)


@pytest.mark.clause("TRB-02")
def test_the_diagnosis_names_the_fault(
    triton_subject: Subject,
    triton_settings: Settings,
    triton_server_factory: ServerFactory,
    triton_evidence: Evidence,
) -> None:
    handed = handed_in_for_more(triton_settings)
    if handed.diagnose is None:
        names = " or ".join(DIAGNOSES)
        if handed.runbook is not None:
            raise Manual(f"{handed.runbook.name} has to be read by a person: hand in {names} too")
        raise Missing(f"no diagnosis lies in {handed.directory}: call it {names}")
    try:
        diagnosing.judge(
            triton_subject, triton_settings, triton_server_factory, handed.directory,
            handed.diagnose, triton_evidence,
        )  # fmt: skip
    except TooLarge as error:
        raise AssertionError(str(error)) from None
