"""A failure that explains itself is shown without our frames, and in our words."""

from __future__ import annotations

import pytest

from pytest_triton.errors import DeploymentFailed
from pytest_triton.wording import words

TEAM = """
import pytest
from pytest_triton.errors import DeploymentFailed

@pytest.fixture
def broken():
    raise DeploymentFailed('model "m" did not load', reason="no such file", remedy="export it")

def test_boot(broken):
    pass

def test_call(triton_evidence):
    with triton_evidence.case("m"):
        assert 1 == 2, "one is not two"
    triton_evidence.close()
"""


def test_words_of_an_assertion() -> None:
    assert words(AssertionError("gain 0.9\nassert 'fail' == 'pass'\n  - pass")) == "gain 0.9"
    assert words(AssertionError("assert 1 == 2")) == "assert 1 == 2"
    assert words(DeploymentFailed("a\nassert b")) == "a\nassert b"


def test_frames(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEAM)
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    text = result.stdout.str()
    assert result.ret == 1
    assert "evidence.py" not in text
    assert "raise Findings" not in text
    assert "triton_evidence.close()" in text  # the person's own line
    assert "pytest_triton.errors.Findings: m: one is not two" in text
    assert "assert 1 == 2\n" not in text.partition("short test summary")[2]
    result.stdout.fnmatch_lines(['*DeploymentFailed: model "m" did not load*', "*export it*"])
    full = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "--full-trace")
    assert "raise Findings" in full.stdout.str()
