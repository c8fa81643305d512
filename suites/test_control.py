"""Stage 02: load, unload and reload: what the index, the answers and the memory say of it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_triton import memory
from pytest_triton.criteria import Inconclusive
from pytest_triton.evidence import Evidence
from pytest_triton.factory import Disposable
from pytest_triton.overriding import (
    MARK,
    OVERRIDDEN,
    failing_reloads,
    override,
    override_files,
)
from pytest_triton.own_models import VERSIONS
from pytest_triton.probe.types import RequestFailed
from pytest_triton.reloading import cycle
from pytest_triton.stressing import stress
from pytest_triton.subject import Subject
from pytest_triton.telling import plain

NOBODY = "pytest_triton_no_such_model"


@pytest.mark.clause("REP-01")
def test_index(triton_subject: Subject, triton_evidence: Evidence) -> None:
    everything, ready = triton_subject.http.index(), triton_subject.http.index(ready=True)
    for entry in (*everything, *ready):
        assert isinstance(entry, dict), f"an entry that is no object: {entry!r:.200}"
        for key in ("name", "version"):
            told = entry.get(key, None if key == "name" else "")
            assert isinstance(told, str), f"an entry without a {key}: {entry!r:.200}"
    for name, model in triton_subject.models.items():
        with triton_evidence.case(name):
            for entries, which in ((everything, "whole"), (ready, "ready")):
                found = {
                    entry.get("version"): entry.get("state")
                    for entry in entries
                    if entry["name"] == name
                }
                for version in model.versions:
                    assert found.get(version) == "READY", (
                        f"version {version} is {found.get(version)} in the {which} index"
                    )
                    assert triton_subject.http.model_ready(name, version), (
                        f"version {version} is READY in the index and not ready when asked"
                    )
    for entry in ready:
        assert entry.get("state") == "READY", f"the ready index lists {entry}"


@pytest.mark.clause("REP-13")
def test_index_protocols(triton_subject: Subject) -> None:
    assert triton_subject.grpc is not None
    for ready in (None, True):
        told = [_rows(probe.index(ready)) for probe in (triton_subject.http, triton_subject.grpc)]
        apart = sorted(told[0] ^ told[1])
        which = "ready" if ready else "whole"
        assert not apart, f"the {which} index differs over HTTP and gRPC: {apart[:4]}"


def _rows(entries: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    """The entries of an index without their order; reasons hold addresses and times."""
    keys = ("name", "version", "state")
    return {tuple(str(entry.get(key, "")) for key in keys) for entry in entries}


@pytest.mark.clause("REP-02")
def test_load_and_unload(triton_controlled: Disposable) -> None:
    seen = cycle(triton_controlled)
    assert seen.refusal is not None, "inference was answered after the unload"
    assert triton_controlled.model in seen.refusal, f"the refusal names no model: {seen.refusal!r}"
    assert seen.states_when_unloaded <= {"UNAVAILABLE", "UNLOADING"}, (
        f"the index says {sorted(seen.states_when_unloaded)} after the unload"
    )
    assert seen.after == 200, f"readiness answers {seen.after} after loading again"
    assert not seen.changed, f"after loading again: {seen.changed}"


@pytest.mark.clause("REP-03")
def test_unknown_load(triton_disposable: Disposable) -> None:
    http = triton_disposable.subject.http
    with pytest.raises(RequestFailed) as refused:
        http.load(NOBODY)
    assert NOBODY in refused.value.message, f"the refusal names no model: {refused.value}"
    assert http.model_ready(triton_disposable.failing), "another model is not ready any more"


@pytest.mark.clause("REP-05")
def test_config_override(triton_disposable: Disposable) -> None:
    seen = override(triton_disposable)
    assert seen.before == plain(), f"before the override the model tells {seen.before}"
    assert seen.served == str(OVERRIDDEN), f"the served configuration has VALUE {seen.served!r}"
    expected = (max(VERSIONS), OVERRIDDEN, 0)
    assert seen.during == expected, f"the model tells {seen.during}, not {expected}"
    assert seen.served_after is None, f"afterwards it is served as {seen.served_after!r}"
    assert seen.after == plain(), f"after an unload and a load the model tells {seen.after}"


@pytest.mark.clause("REP-12")
def test_file_override(triton_disposable: Disposable) -> None:
    seen = override_files(triton_disposable)
    assert seen.before == plain(), f"before the override the model tells {seen.before}"
    expected = (max(VERSIONS), OVERRIDDEN, MARK)
    assert seen.during == expected, f"the model tells {seen.during}, not {expected}"
    assert seen.after == plain(), f"after an unload and a load the model tells {seen.after}"


@pytest.mark.clause("REP-08")
def test_failing_reload(triton_disposable: Disposable, triton_evidence: Evidence) -> None:
    seen = failing_reloads(triton_disposable)
    triton_evidence.measure("requests during reloads", seen.asked, "requests")
    for attempt, refusal in seen.refusals.items():
        assert refusal is not None, f"{attempt}: the load was answered as a success"
        assert triton_disposable.controlled in refusal, f"{attempt}: the refusal names no model"
    reason = str(seen.refusals["a model that fails to start"])
    assert "on purpose" in reason, f"the refusal does not say why: {reason!r}"
    assert seen.told == [plain()], f"meanwhile the model told {seen.told}, not {plain()} alone"
    state = seen.states.get(str(max(VERSIONS)))
    assert state == "READY", f"afterwards the index says {state}"
    assert seen.mended == plain(), f"after a reload that is right it tells {seen.mended}"


@pytest.mark.clause("REP-11")
def test_concurrent_control(triton_disposable: Disposable, triton_evidence: Evidence) -> None:
    before = triton_disposable.subject.deployment.pid
    seen = stress(triton_disposable)
    triton_evidence.measure("loads", seen.loads, "loads")
    triton_evidence.measure("unloads", seen.unloads, "unloads")
    triton_evidence.measure("answers meanwhile", seen.answers, "answers")
    triton_evidence.attach("refusals.txt", "\n".join(sorted(set(seen.refused))))
    assert before is not None
    assert seen.loads, f"no load was carried out: {'; '.join(seen.refused[:3])}"
    assert seen.live, "not live afterwards"
    assert not seen.wrong, "; ".join(seen.wrong[:3])
    assert not seen.double, f"the index lists twice: {', '.join(seen.double)}"
    for model, found in seen.states.items():
        lasting = {v: state for v, state in found.items() if state != "UNAVAILABLE"}
        assert set(lasting.values()) == {"READY"}, f"{model} is left as {found}"
        told = seen.told[model]
        assert not isinstance(told, str), f"{model} is READY and refuses: {told}"
        assert list(lasting) == [str(told[0])], f"{model}: READY are {lasting}, {told[0]} answers"
    assert seen.told[triton_disposable.controlled] == plain(), f"it tells {seen.told}"


@pytest.mark.clause("REP-17")
def test_memory(triton_disposable: Disposable, triton_evidence: Evidence) -> None:
    growth = memory.measure(triton_disposable)
    low, high = memory.interval(growth.per_cycle, memory.ERROR / len(memory.LOOKS))
    triton_evidence.measure("taken by a load", growth.footprint, "B")
    mean = sum(growth.per_cycle) / max(1, len(growth.per_cycle))
    triton_evidence.measure(
        "growth per cycle", mean, "B", interval=(low, high), budget=growth.budget,
        margin=growth.budget - high, samples=growth.per_cycle,
    )  # fmt: skip
    said = (
        f"{triton_disposable.model}: {mean / 1024:.0f} KiB [{low / 1024:.0f}, {high / 1024:.0f}] "
        f"stay for every load and unload, {growth.budget / 1024:.0f} KiB are allowed "
        f"({memory.CYCLES * len(growth.per_cycle)} cycles)"
    )
    if growth.verdict == "inconclusive":
        raise Inconclusive(said)
    assert growth.verdict == "pass", said
