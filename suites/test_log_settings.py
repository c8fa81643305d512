"""Stage 04: log settings: what can be changed while the server runs, and what cannot."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pytest_triton.adjusting import LOG_FORMATS, apart, both, kept_log, log_problem
from pytest_triton.declining import complaint
from pytest_triton.evidence import Evidence
from pytest_triton.subject import Subject

NOWHERE = "/pytest_triton_no_such_directory/server.log"
BAD: tuple[tuple[str, Any, str], ...] = (
    ("log_verbose_level", -1, "integer|int32|log_verbose_level"),
    ("log_verbose_level", "loud", "integer|int32|log_verbose_level"),
    ("log_info", "yes", "boolean|log_info"),
)


@pytest.mark.clause("LOG-01")
def test_keys(triton_subject: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_subject):
        with triton_evidence.case(one.name):
            text = log_problem(one.log())
            assert not text, text


@pytest.mark.clause("LOG-07")
def test_protocols(triton_subject: Subject) -> None:
    looks = [one.log() for one in both(triton_subject)]
    differing = apart(looks[0], looks[-1])
    assert not differing, f"HTTP and gRPC differ: {differing}"


@pytest.mark.clause("LOG-02")
def test_change(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        with triton_evidence.case(one.name), kept_log(one) as before:
            text = log_problem(before)
            assert not text, text
            wanted = dict(before)
            for key, value in (
                ("log_verbose_level", before["log_verbose_level"] + 1),
                ("log_info", not before["log_info"]),
                ("log_format", LOG_FORMATS[before["log_format"] == LOG_FORMATS[0]]),
            ):
                wanted[key] = value
                answered = apart(wanted, one.log({key: value}))
                assert not answered, f"the answer to a change of {key} differs: {answered}"
                for other in both(triton_adjustable):
                    seen = apart(wanted, other.log())
                    assert not seen, f"{other.name} shows after a change of {key}: {seen}"


@pytest.mark.clause("LOG-03")
def test_bad_values(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        for key, value, word in BAD:
            if value == -1 and one.name == "gRPC":
                continue  # its message has no negative number
            with triton_evidence.case(f"{one.name}: {key} {value}"), kept_log(one) as before:
                text = complaint(
                    triton_adjustable, partial(one.log, {key: value}),
                    ("INTERNAL", "INVALID_ARGUMENT"), word,
                )  # fmt: skip
                assert not text, text
                changed = apart(before, one.log())
                assert not changed, f"is refused, and the settings changed: {changed}"


@pytest.mark.clause("LOG-04")
def test_file(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        with triton_evidence.case(one.name), kept_log(one) as before:
            text = complaint(
                triton_adjustable, partial(one.log, {"log_file": NOWHERE}),
                ("UNIMPLEMENTED",), "log file",
            )  # fmt: skip
            assert not text, f"another log file {text}"
            changed = apart(before, one.log())
            assert not changed, f"is refused, and the settings changed: {changed}"


@pytest.mark.clause("LOG-05")
def test_bad_format(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        with triton_evidence.case(one.name), kept_log(one) as before:
            text = complaint(
                triton_adjustable, partial(one.log, {"log_format": "FOO"}),
                ("UNAVAILABLE", "INVALID_ARGUMENT"), "log_format", "FOO",
            )  # fmt: skip
            assert not text, f"log_format FOO {text}"
            changed = apart(before, one.log())
            assert not changed, f"is refused, and the settings changed: {changed}"


@pytest.mark.clause("LOG-06")
def test_unknown_key(triton_adjustable: Subject, triton_evidence: Evidence) -> None:
    for one in both(triton_adjustable):
        with triton_evidence.case(one.name), kept_log(one) as before:
            answered = apart(before, one.log({"pytest_triton_no_such_setting": 1}))
            assert not answered, f"an unknown setting changed {answered}"
