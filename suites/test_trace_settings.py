"""Stage 04: trace settings: what can be changed while the server runs, and what cannot."""

from __future__ import annotations

from functools import partial

import pytest

from pytest_triton.adjusting import (
    apart,
    both,
    kept_trace,
    other_number,
    trace_keys,
    trace_problem,
)
from pytest_triton.declining import complaint
from pytest_triton.evidence import Evidence
from pytest_triton.subject import Subject

NOBODY = "pytest_triton_no_such_model"
NOWHERE = "/pytest_triton_no_such_directory/trace.json"
BAD = {"trace_rate": "fast", "trace_count": "-5", "log_frequency": "often"}


@pytest.mark.clause("TRC-01")
def test_keys(triton_subject: Subject, triton_evidence: Evidence) -> None:
    models = sorted(triton_subject.models)[:1]
    for model in ("", *models):
        with triton_evidence.case(model or "the server"):
            looks = [one.trace(model=model) for one in both(triton_subject)]
            for one, told in zip(both(triton_subject), looks, strict=True):
                text = trace_problem(triton_subject, told)
                assert not text, f"{one.name}: {text}"
            keys = trace_keys(triton_subject, looks[0])
            differing = {
                key: told for key, told in apart(looks[0], looks[-1]).items() if key in keys
            }
            assert not differing, f"HTTP and gRPC differ: {differing}"


@pytest.mark.clause("TRC-02")
def test_change(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        with triton_evidence.case(one.name), kept_trace(one) as before:
            for key in ("trace_rate", "trace_count"):
                value = other_number(before, key, 7919)
                wanted = {**one.trace(), key: value}
                answered = apart(wanted, one.trace({key: value}))
                assert not answered, f"the answer to a change of {key} differs: {answered}"
                for other in both(triton_adjustable):
                    seen = apart(wanted, other.trace())
                    assert not seen, f"{other.name} shows after a change of {key}: {seen}"


@pytest.mark.clause("TRC-09")
def test_model(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    model = min(triton_adjustable.models)
    for one in both(triton_adjustable):
        with (
            triton_evidence.case(one.name),
            kept_trace(one, model) as own,
            kept_trace(one) as server,  # put back first: the model follows it
        ):
            mine, theirs = (other_number(server, "trace_rate", by) for by in (7907, 7901))
            answered = apart({**own, "trace_rate": mine}, one.trace({"trace_rate": mine}, model))
            assert not answered, f"the answer for {model} differs: {answered}"
            assert not apart(server, one.trace()), "the server's settings changed with the model's"
            one.trace({"trace_rate": theirs})
            kept = one.trace(model=model).get("trace_rate")
            assert kept == mine, f"{model} has {mine}; after a change of the server's, {kept}"
            one.trace({"trace_rate": None}, model)
            follows = one.trace(model=model).get("trace_rate")
            assert follows == theirs, f"cleared, {model} has {follows}, the server {theirs}"


@pytest.mark.clause("TRC-03")
def test_bad_values(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        for key, value in BAD.items():
            with triton_evidence.case(f"{one.name}: {key} {value}"), kept_trace(one) as before:
                text = complaint(
                    triton_adjustable, partial(one.trace, {key: value}),
                    ("INVALID_ARGUMENT",), f"'{key}'", value,
                )  # fmt: skip
                assert not text, text
                changed = apart(before, one.trace())
                assert not changed, f"is refused, and the settings changed: {changed}"


@pytest.mark.clause("TRC-04")
def test_file(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        with triton_evidence.case(one.name), kept_trace(one) as before:
            text = complaint(
                triton_adjustable, partial(one.trace, {"trace_file": NOWHERE}),
                ("UNIMPLEMENTED",), "trace file",
            )  # fmt: skip
            assert not text, f"another trace file {text}"
            changed = apart(before, one.trace())
            assert not changed, f"is refused, and the settings changed: {changed}"


@pytest.mark.clause("TRC-05")
def test_unknown_key(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        with triton_evidence.case(one.name), kept_trace(one) as before:
            answered = apart(before, one.trace({"pytest_triton_no_such_setting": "1"}))
            assert not answered, f"an unknown setting changed {answered}"


@pytest.mark.clause("TRC-06")
def test_unknown_model(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        for what, changes in (("the settings", None), ("a change", {"trace_rate": "7"})):
            with triton_evidence.case(f"{one.name}: {what} of an unknown model"):
                text = complaint(
                    triton_adjustable, partial(one.trace, changes, NOBODY),
                    ("INVALID_ARGUMENT", "NOT_FOUND"), NOBODY,
                )  # fmt: skip
                assert not text, text
