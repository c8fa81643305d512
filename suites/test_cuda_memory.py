"""Stage 03: CUDA shared memory: what is shown, and handles that are refused."""

from __future__ import annotations

from functools import partial

import pytest

from pytest_triton.declining import complaint
from pytest_triton.evidence import Evidence
from pytest_triton.probe.shared import HANDLE_BYTES
from pytest_triton.sharing import both
from pytest_triton.subject import Subject

SIZE = 64


@pytest.mark.clause("CSH-01")
def test_cuda_status(triton_adjustable: Subject) -> None:
    over_http, *others = [one.cuda_status() for one in both(triton_adjustable)]
    assert isinstance(over_http, list), f"the status is {over_http!r:.80}, not an array"
    names = sorted(str(e.get("name")) if isinstance(e, dict) else str(e) for e in over_http)
    for told in others:
        assert names == sorted(told), f"HTTP shows {names}, gRPC {sorted(told)}"
    if triton_adjustable.deployment.owned:
        assert not names, f"nobody registered {', '.join(names)}"


@pytest.mark.clause("CSH-02")
def test_bad_handle(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        for handle in (b"short", bytes(HANDLE_BYTES)):
            with triton_evidence.case(f"{one.name}: a handle of {len(handle)} bytes"):
                text = complaint(
                    triton_adjustable, partial(one.cuda_register, "csh02", handle, SIZE),
                    ("INVALID_ARGUMENT", "UNIMPLEMENTED", "INTERNAL"), "raw_handle|hared memory region",
                )  # fmt: skip
                assert not text, text
                assert "csh02" not in str(one.cuda_status()), "it is registered all the same"
    assert triton_adjustable.http.live(), "not live after bad handles"
