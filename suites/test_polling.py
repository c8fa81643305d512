"""Stage 02: a server that polls its repository takes changes up by itself."""

from __future__ import annotations

import pytest

from pytest_triton.evidence import Evidence
from pytest_triton.own_models import CHANGED, GONE, GROWN, UNTOUCHED
from pytest_triton.polling import MARK, NEW_VERSION, TIMEOUT, VALUE, Polled
from pytest_triton.probe.types import RequestFailed
from pytest_triton.roundtrip import lost_fields
from pytest_triton.served import parse_served
from pytest_triton.telling import states

OLD = (1, 0, 0)
NEW = {CHANGED: (1, VALUE, 0), GROWN: (NEW_VERSION, 0, MARK)}


@pytest.mark.clause("REP-04")
def test_control_is_refused(triton_polled: Polled) -> None:
    http = triton_polled.subject.http
    for verb in (http.load, http.unload):
        with pytest.raises(RequestFailed) as refused:
            verb(UNTOUCHED)
        assert refused.value.status == triton_polled.subject.error_status(503), str(refused.value)
        assert "polling" in refused.value.message, f"no reason: {refused.value}"
    assert http.model_ready(UNTOUCHED), f"{UNTOUCHED} is not ready any more"


@pytest.mark.clause("REP-09")
def test_new_version(triton_polled: Polled, triton_evidence: Evidence) -> None:
    _taken_up(triton_polled, triton_evidence, GROWN)
    http, new = triton_polled.subject.http, str(NEW_VERSION)
    found = states(http, GROWN)
    assert found.get(new) == "READY", f"the index says {found}"
    versions = http.model_metadata(GROWN).get("versions")
    assert versions == [new], f"metadata lists versions {versions}"


@pytest.mark.clause("REP-14")
def test_changed_configuration(triton_polled: Polled, triton_evidence: Evidence) -> None:
    _taken_up(triton_polled, triton_evidence, CHANGED)
    served = parse_served(triton_polled.subject.http.model_config(CHANGED))
    lost = lost_fields(triton_polled.watched().config_text, served)
    assert not lost, lost[0].text


@pytest.mark.clause("REP-15")
def test_deleted_model(triton_polled: Polled, triton_evidence: Evidence) -> None:
    seen, http = triton_polled.watched(), triton_polled.subject.http
    told, seconds = seen.told[GONE][-1], seen.seconds[GONE]
    assert seconds is not None, f"{TIMEOUT:g} s after it was deleted it tells {told}"
    triton_evidence.measure("left after", seconds, "s", budget=TIMEOUT)
    assert GONE in str(told), f"the refusal names no model: {told!r}"
    assert not http.model_ready(GONE), "a deleted model is ready"
    found = states(http, GONE)
    assert "READY" not in found.values(), f"the index says {found}"


@pytest.mark.clause("REP-16")
def test_no_gap(triton_polled: Polled, triton_evidence: Evidence) -> None:
    seen = triton_polled.watched()
    triton_evidence.measure("requests meanwhile", seen.asked, "requests")
    for name in (CHANGED, GROWN, UNTOUCHED):
        with triton_evidence.case(name):
            allowed = ([OLD], [OLD, NEW[name]]) if name in NEW else ([OLD],)
            told = seen.told[name]
            assert told in allowed, f"told {told}, one after the other, not {allowed[-1]}"


def _taken_up(polled: Polled, evidence: Evidence, name: str) -> None:
    """A changed model answers as the new one, within the deadline."""
    seen = polled.watched()
    told, seconds = seen.told[name][-1], seen.seconds[name]
    assert seconds is not None, f"{TIMEOUT:g} s after the change it tells {told}"
    evidence.measure("taken up after", seconds, "s", budget=TIMEOUT)
    assert told == NEW[name], f"it tells {told}, not {NEW[name]}"
