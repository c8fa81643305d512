"""Stage 03: every data type at its limits, over every way a tensor can travel."""

from __future__ import annotations

import pytest

from pytest_triton.compare import mismatch
from pytest_triton.evidence import Evidence
from pytest_triton.extremes import extremes
from pytest_triton.probe.codec import decode_raw  # noqa: F401
from pytest_triton.probe_set import TYPES
from pytest_triton.subject import Subject

HALF = ("FP16",)


@pytest.mark.clause("TYP-01")
def test_json_types(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for datatype, array in extremes().items():
        if datatype in HALF:
            continue
        with triton_evidence.case(datatype):
            answer = triton_probes.http.infer(TYPES, {f"IN_{datatype}": array}, binary=False)
            text = mismatch(answer.outputs, {f"OUT_{datatype}": array}, rtol=0, atol=0)
            assert not text, text
