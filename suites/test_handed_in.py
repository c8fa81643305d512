"""Stage 04: a benchmark and a load test that somebody hands in."""

from __future__ import annotations

import pytest

from pytest_triton import benchmarked, load_tested
from pytest_triton.criteria import Missing
from pytest_triton.evidence import Evidence
from pytest_triton.handed_in import handed_in
from pytest_triton.load.reading import Unreadable
from pytest_triton.load.scripts.running import TooLarge
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject


@pytest.mark.clause("BEN-01")
def test_the_benchmark_holds(
    triton_settings: Settings, triton_subject: Subject, triton_evidence: Evidence
) -> None:
    handed = handed_in(triton_settings)
    if not handed.benchmarks:
        raise Missing(f"no benchmark lies in {handed.directory}: put it below benchmarks/")
    try:
        benchmarked.judge(triton_subject, handed, triton_evidence)
    except Unreadable as error:
        triton_evidence.locate(error.path, error.line)
        raise AssertionError(str(error)) from None


@pytest.mark.clause("LDT-01")
def test_the_load_test_works(
    triton_settings: Settings, triton_subject: Subject, triton_evidence: Evidence
) -> None:
    handed = handed_in(triton_settings)
    if handed.load_test is None:
        raise Missing(
            f"no load test lies in {handed.directory}: call it loadtest.py, locustfile.py or "
            "loadtest.sh"
        )
    try:
        load_tested.judge(triton_subject, handed, triton_evidence)
    except TooLarge as error:
        raise AssertionError(str(error)) from None
