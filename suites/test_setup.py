"""Setup: the server is there, says who it is, and all of it answers."""

from __future__ import annotations

import pytest

from pytest_triton.subject import Subject


@pytest.mark.clause("HLT-01")
def test_live(triton_subject: Subject) -> None:
    answer = triton_subject.http.request("GET", "/v2/health/live")
    assert answer.status == 200, f"GET /v2/health/live answers {answer.status}: {answer.text}"
