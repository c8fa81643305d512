"""Whether a clause can be judged on this subject at all, and if not, why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pytest_triton import keys
from pytest_triton.criteria import Clause, NotAssessed, Reason
from pytest_triton.criteria.catalogue import CAPABILITIES, NEEDS
from pytest_triton.criteria.requires import holds, names
from pytest_triton.evidence import Evidence
from pytest_triton.launch.turns import Turns
from pytest_triton.settings import Settings

if TYPE_CHECKING:
    from pytest_triton.probe.transcript import Transcript


#: Capabilities that are known without a look at the models.
_PLAIN = frozenset({"owned", "reference", "repository", "gpu", "shared_memory"})


class Probed(Protocol):
    """What the gate asks of a subject."""

    @property
    def release(self) -> str | None: ...

    def capability(self, name: str) -> bool: ...

    def obstacle(self, prerequisite: str) -> str | None: ...

    def has_endpoint(self, name: str) -> bool: ...

    @property
    def hidden(self) -> str: ...


def neighbours() -> int:
    """Test processes that share the machine with this one (pytest-xdist)."""
    return int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) - 1


def check(clause: Clause, subject: Probed, settings: Settings) -> None:
    """Raise NotAssessed with the reason if the clause cannot be judged."""
    for need in clause.needs:
        _need(need, subject, settings)
    for name in clause.after:
        if obstacle := subject.obstacle(name):
            raise NotAssessed(Reason.BLOCKED, obstacle)
    if not clause.holds_for(subject.release):
        first, last = clause.releases
        raise NotAssessed(
            Reason.NOT_APPLICABLE,
            f"holds for releases {first or '…'} to {last or '…'}, this is {subject.release}",
        )
    if not holds(clause.requires, subject.capability):
        if subject.hidden and holds(
            clause.requires, lambda name: name not in _PLAIN or subject.capability(name)
        ):
            raise NotAssessed(Reason.BLOCKED, f"no model can be seen: {subject.hidden}")
        wanted = "; ".join(
            f"{name}: {CAPABILITIES[name]}" for name in sorted(names(clause.requires))
        )
        raise NotAssessed(
            Reason.NOT_APPLICABLE, f"does not apply: requires {clause.requires} ({wanted})"
        )


def _need(need: str, subject: Probed, settings: Settings) -> None:
    endpoint = settings.kind == "endpoint"
    if need == "control" and endpoint and not settings.allow_control:
        raise NotAssessed(Reason.NEEDS_CONTROL, f"needs {NEEDS[need]}")
    if need == "load" and endpoint and settings.allow_load is None:
        raise NotAssessed(Reason.NEEDS_LOAD, f"needs {NEEDS[need]}")
    if need == "quiet" and neighbours():
        raise NotAssessed(
            Reason.NEIGHBOURS,
            f"{neighbours()} neighbouring test processes would be measured too: run with -n0",
        )
    if need in ("grpc", "metrics") and not subject.has_endpoint(need):
        raise NotAssessed(
            Reason.NO_ENDPOINT, f"no {need} endpoint is known: give --triton-{need}-url"
        )


def turns(config: pytest.Config) -> Turns:
    """The turns at the server that this process shares with others."""
    if keys.TURNS not in config.stash:
        worker: dict[str, Any] = getattr(config, "workerinput", {})
        config.stash[keys.TURNS] = made = Turns(worker.get("triton_shared"))
        config.add_cleanup(made.close)
    return config.stash[keys.TURNS]


def turn(request: pytest.FixtureRequest) -> AbstractContextManager[None]:
    """The turn of one test that uses the server, alone if its clause needs that."""
    mine = turns(request.config)
    if not mine.shared:
        return nullcontext()
    settings: Settings = request.getfixturevalue("triton_settings")
    # A server in use gets one request at a time, however many workers there are.
    alone = settings.kind == "endpoint" and settings.allow_load is None
    if marker := request.node.get_closest_marker("clause"):
        clause = request.config.stash[keys.SCORECARD].catalogue.clauses[marker.args[0]]
        alone = alone or clause.exclusive or "control" in clause.needs
    return mine.turn(exclusive=alone)


@contextmanager
def entered(request: pytest.FixtureRequest) -> Iterator[None]:
    """One test that names a clause, behind its gate, with a transcript where it is kept."""
    if not request.config.stash[keys.SCORECARD].armed:
        enter(request)
        yield
        return
    from pytest_triton.probe.transcript import Transcript, recording

    with recording(Transcript()) as transcript:
        enter(request, transcript)
        yield


def enter(request: pytest.FixtureRequest, transcript: Transcript | None = None) -> Evidence:
    """Gate of one test that names a clause; returns where it puts its evidence.

    Raises NotAssessed. A clause that says nothing of needs, prerequisites, capabilities or
    releases is judged without looking at any server.
    """
    node = request.node
    card = request.config.stash[keys.SCORECARD]
    clause = card.catalogue.clauses[node.get_closest_marker("clause").args[0]]
    settings = request.config.stash[keys.SETTINGS]
    evidence = Evidence(clause.id, settings.report if card.armed else None)
    evidence.endpoint = settings.kind == "endpoint"
    evidence.transcript = transcript
    node.stash[keys.EVIDENCE] = evidence
    if not clause.built:
        raise NotAssessed(Reason.NOT_BUILT, clause.unbuilt)
    if clause.needs or clause.after or clause.requires or any(clause.releases):
        # The fixture, not what options said: a conftest may have named an endpoint.
        said: Settings = request.getfixturevalue("triton_settings")
        evidence.endpoint = said.kind == "endpoint"
        check(clause, request.getfixturevalue("triton_subject"), said)
    return evidence


def selected(config: pytest.Config) -> frozenset[str]:
    """The clauses that an armed run is going to judge."""
    card = config.stash.get(keys.SCORECARD, None)
    if card is None or not card.armed:
        return frozenset()
    return frozenset(card.collected - card.deselected)
