"""Every row of the table, against a real server with our backend."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from backend_case import Ask, Case, Load
from backend_repository import Table
from backend_table import CASES

from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import RequestFailed


@pytest.fixture
def probe(table: Table) -> Iterator[HttpProbe]:
    with HttpProbe(table.url, timeout=120.0) as probe:
        yield probe


def test_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert all(case.source for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_row(case: Case, table: Table, probe: HttpProbe) -> None:
    def filled(text: str) -> str:
        path = str(table.repository / case.name / "1")
        return text.replace("{model}", case.name).replace("{path}", path)

    reason = _load(probe, case.name)
    if case.load is not None:
        _same_reason(reason, case.load, filled(case.load.text))
        return
    assert reason == ""
    try:
        for ask in case.asks:
            for version in case.versions if len(case.versions) > 1 else ("",):
                _ask(table, probe, case.name, str(version), ask)
        for line in case.logs:
            _eventually_logged(table, filled(line))
        log = table.log.read_text()
        assert [line for line in case.silent if filled(line) in log] == []
    finally:
        probe.unload(case.name)


def _load(probe: HttpProbe, model: str) -> str:
    """The reason in the index, empty when the model is ready."""
    try:
        probe.load(model)
    except RequestFailed as failed:
        entries = [entry for entry in probe.index() if entry["name"] == model]
        return str(entries[0].get("reason") or failed.message)
    return ""


def _same_reason(reason: str, load: Load, text: str) -> None:
    # Triton itself puts "Internal: " before whatever a Python backend says.
    words = reason.removeprefix("Internal: ").split("\n\nAt:\n")[0]
    expected = f"{load.code}: {text}"
    _same_text(words, expected, load.begins)


def _same_text(found: str, expected: str, begins: bool) -> None:
    assert (found[: len(expected)] if begins else found) == expected


def _ask(table: Table, probe: HttpProbe, model: str, version: str, ask: Ask) -> None:
    arrays = {name: np.asarray(value) for name, value in ask.inputs.items()}
    asked = list(ask.outputs or {}) if ask.status == 200 else None
    arguments: dict[str, Any] = {"version": version, "request_id": ask.request_id}
    if ask.status != 200:
        with pytest.raises(RequestFailed) as caught:
            probe.infer(model, arrays, **arguments)
        message = caught.value.message
        _same_text(message, ask.text, ask.begins)
        assert caught.value.status == table.status(ask.status)
        return
    answer = probe.infer(model, arrays, outputs=asked, **arguments)
    for name, value in (ask.outputs or {}).items():
        found = answer[name]
        assert found.shape == value.shape
        assert found.dtype == value.dtype
        np.testing.assert_array_equal(found, value)


def _eventually_logged(table: Table, line: str) -> None:
    """The backend's log travels through a queue of its own."""
    deadline = time.monotonic() + 5
    while line not in table.log.read_text():
        assert time.monotonic() < deadline, f"not in the log: {line}"
        time.sleep(0.02)
