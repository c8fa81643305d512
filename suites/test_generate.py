"""Stage 03: the generate extension: JSON in, JSON or events out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pytest_triton.declined import reason, says
from pytest_triton.evidence import Evidence
from pytest_triton.probe.http import model_path
from pytest_triton.probe.types import HttpAnswer, parse_json
from pytest_triton.probe_set import ECHO, STREAM, VERSION
from pytest_triton.streaming import PAUSE_MS, events, leaving_flaw
from pytest_triton.subject import Subject

NOBODY = "pytest_triton_no_such_model"
ENDPOINTS = ("generate", "generate_stream")
TEXT = "Grüße, 三台 🦅"
EVENTS = "text/event-stream"


def _post(subject: Subject, model: str, endpoint: str, document: dict[str, Any]) -> HttpAnswer:
    return subject.post(f"{model_path(model)}/{endpoint}", document)


@pytest.mark.clause("GEN-01")
def test_generate(triton_probes: Subject) -> None:
    extra = {"note": "gen-01", "count": 3, "flag": True}
    told = triton_probes.http.generate(ECHO, {"text_input": TEXT, **extra})
    for key, wanted in (("model_name", ECHO), ("model_version", "1"), ("text_output", TEXT)):
        assert told.get(key) == wanted, f"{key} is {told.get(key)!r}, expected {wanted!r}"
    seen = told.get("PARAMETERS")
    assert isinstance(seen, str), f"PARAMETERS is {seen!r}, not a string"
    assert parse_json(seen.encode()) == extra, f"the model got the parameters {seen}, not {extra}"


@pytest.mark.clause("GEN-02")
def test_generate_stream(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for count in (1, 5):
        with triton_evidence.case(f"COUNT {count}"):
            request = {"text_input": "gen-02", "COUNT": count}
            answer = _post(triton_probes, STREAM, "generate_stream", request)
            assert answer.status == 200, (
                f"answers {answer.status}: {answer.text[:200]}{answer.speaker}"
            )
            kind = answer.headers.get("content-type", "")
            assert kind.startswith(EVENTS), f"the content type is {kind!r}"
            keys = ("model_name", "model_version", "INDEX", "text_output")
            found = [tuple(event.get(key) for key in keys) for event in events(answer.body)]
            wanted = [(STREAM, VERSION, at, f"gen-02 {at}") for at in range(count)]
            assert found == wanted, f"events {found}, expected {wanted}"


@pytest.mark.clause("GEN-03")
def test_missing_input(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for endpoint in ENDPOINTS:
        with triton_evidence.case(endpoint):
            answer = _post(triton_probes, ECHO, endpoint, {"note": "gen-03"})
            says(reason(answer, 400), "0 inputs", ECHO)


@pytest.mark.clause("GEN-04")
def test_wrong_values(triton_probes: Subject, triton_evidence: Evidence) -> None:
    wrong: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("a number for a string", {"text_input": 4004}, "string"),
        ("a string for an integer", {"text_input": "gen-04", "COUNT": "three"}, "integer"),
        ("two strings for one", {"text_input": ["gen-04", "again"]}, "text_input"),
    )
    for name, document, word in wrong:
        with triton_evidence.case(name):
            model = STREAM if "COUNT" in document else ECHO
            says(reason(_post(triton_probes, model, "generate", document), 400, 500), word)


@pytest.mark.clause("GEN-05")
def test_not_one_response(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for count in (0, 2):
        with triton_evidence.case(f"COUNT {count}"):
            request = {"text_input": "gen-05", "COUNT": count}
            answer = _post(triton_probes, STREAM, "generate", request)
            assert answer.error, f"no JSON with 'error': {answer.text[:200]!r}{answer.speaker}"
            says(answer.error, "response")
            assert "text_output" not in answer.text, f"an error with an output: {answer.text!r}"


@pytest.mark.clause("GEN-06")
def test_empty_stream(triton_probes: Subject) -> None:
    request = {"text_input": "gen-06", "COUNT": 0}
    answer = _post(triton_probes, STREAM, "generate_stream", request)
    assert answer.status == 200, f"answers {answer.status}: {answer.text[:200]}{answer.speaker}"
    kind = answer.headers.get("content-type", "")
    assert kind.startswith(EVENTS), f"the content type is {kind!r}"
    found = events(answer.body)
    assert not found, f"{len(found)} events, none were asked for"


@pytest.mark.clause("GEN-07")
def test_no_route(triton_probes: Subject, triton_evidence: Evidence) -> None:
    status = triton_probes.error_status(404)
    for endpoint in ENDPOINTS:
        with triton_evidence.case(endpoint):
            answer = _post(triton_probes, NOBODY, endpoint, {"text_input": "gen-07"})
            says(reason(answer, status), NOBODY)
            got = triton_probes.http.request("GET", f"{model_path(ECHO)}/{endpoint}")
            says(reason(got, 405), "Method Not Allowed")


@pytest.mark.clause("GEN-08")
def test_closed_connection(triton_probes: Subject) -> None:
    def stream(count: int) -> Iterator[object]:
        request = {"text_input": "gen-08", "COUNT": count, "DELAY_MS": PAUSE_MS}
        return triton_probes.http.generate_stream(STREAM, request)

    text = leaving_flaw(triton_probes, stream)
    assert not text, f"the client has closed the connection, {text}"


@pytest.mark.clause("GEN-09")
def test_id(triton_probes: Subject, triton_evidence: Evidence) -> None:
    request = {"text_input": "gen-09", "COUNT": 1, "id": "gen-09 id"}
    for endpoint in ENDPOINTS:
        with triton_evidence.case(endpoint):
            answer = _post(triton_probes, STREAM, endpoint, request)
            assert answer.status == 200, (
                f"answers {answer.status}: {answer.text[:200]}{answer.speaker}"
            )
            found = [answer.json()] if endpoint == "generate" else events(answer.body)
            ids = [one.get("id") if isinstance(one, dict) else None for one in found]
            assert ids == [request["id"]], f"ids {ids}, sent {request['id']!r}"
