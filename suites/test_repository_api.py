"""Stage 02: what the repository extension refuses, and what it does with ensembles and steps."""

from __future__ import annotations

import json
from functools import partial

import pytest

from pytest_triton.declining import complaint
from pytest_triton.evidence import Evidence
from pytest_triton.probe.shared import said
from pytest_triton.probe_set import ADDSUB, CHAIN
from pytest_triton.stepping import REPOSITORY, named_repository, unload_steps
from pytest_triton.subject import Subject


@pytest.mark.clause("REP-06")
def test_named_repository(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for what, call in named_repository(triton_subject):
        with triton_evidence.case(what):
            text = complaint(triton_subject, call, ("UNIMPLEMENTED",), "repository_name")
            assert not text, f"in repository {REPOSITORY} {text}"


@pytest.mark.clause("REP-18")
def test_ready_of_another_type(triton_subject: Subject, triton_evidence: Evidence) -> None:
    ask = partial(triton_subject.http.request, "POST", "/v2/repository/index")
    for value in ("yes", 1, None):
        body = json.dumps({"ready": value}).encode()
        with triton_evidence.case(body.decode()):

            def call(body: bytes = body) -> object:
                return said(ask(body=body))

            text = complaint(triton_subject, call, ("INTERNAL", "INVALID_ARGUMENT"), "boolean")
            assert not text, text


@pytest.mark.clause("REP-07")
def test_dependents(triton_probes: Subject) -> None:
    seen = unload_steps(triton_probes)
    for what, ready, wanted in (
        (f"an unload of {ADDSUB}", seen.step_unloaded, []),
        (f"a load of {CHAIN}", seen.ensemble_loaded, [ADDSUB, CHAIN]),
        (f"an unload of {CHAIN}", seen.ensemble_unloaded, [ADDSUB]),
        (f"an unload of {CHAIN} with unload_dependents", seen.both_unloaded, []),
    ):
        assert ready == wanted, (
            f"after {what} ready are {' and '.join(ready) or 'none'} of the two, "
            f"not {' and '.join(wanted) or 'none'}"
        )
    assert seen.answer == seen.wanted, f"{CHAIN} answers {seen.answer}, not {seen.wanted}"
