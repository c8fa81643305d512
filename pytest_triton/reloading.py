"""One unload and load of a model on a disposable server, seen by several clauses."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_triton.compare import mismatch
from pytest_triton.factory import Disposable
from pytest_triton.probe.http import model_path, wait_until
from pytest_triton.probe.types import RequestFailed
from pytest_triton.subject import Subject

#: Seconds for an unload, which Triton answers before it is done.
UNLOAD_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Cycle:
    """What was seen before, between and after. Statuses are those of the model's readiness."""

    before: int
    unloaded: int
    live_when_unloaded: bool
    #: The refusal of an inference on the unloaded model; None: it was answered.
    refusal: str | None
    states_when_unloaded: frozenset[str]
    after: int
    #: How the answer after the cycle differs from the one before; None: it does not.
    changed: str | None


def readiness(subject: Subject, model: str, version: str = "") -> int:
    """The HTTP status of a model's readiness."""
    return subject.http.request("GET", f"{model_path(model, version)}/ready").status


def cycle(disposable: Disposable) -> Cycle:
    """Unload, look, load again, look; done once for a disposable server."""
    return disposable.subject.once("cycle", lambda: _cycle(disposable))


def _cycle(disposable: Disposable) -> Cycle:
    subject, model = disposable.subject, disposable.model
    case = subject.case(model)
    first, before = subject.answer(model, case), readiness(subject, model)
    subject.http.unload(model)
    try:
        wait_until(lambda: readiness(subject, model) != 200, timeout=UNLOAD_TIMEOUT)
        unloaded, live = readiness(subject, model), subject.http.live()
        refusal: str | None = None
        try:
            subject.http.infer(model, case.inputs)
        except RequestFailed as error:
            refusal = error.message
        entries = [entry for entry in subject.http.index() if isinstance(entry, dict)]
        states = frozenset(str(e.get("state")) for e in entries if e.get("name") == model)
    finally:
        subject.load(model)
    wait_until(lambda: readiness(subject, model) == 200, timeout=subject.settings.boot_timeout)
    after = readiness(subject, model)
    changed: str | None
    try:  # the inputs were accepted before: a refusal is no fault of theirs
        changed = mismatch(subject.http.infer(model, case.inputs).outputs, first.outputs)
    except RequestFailed as error:
        changed = f"inference is refused: {error}"
    return Cycle(before, unloaded, live, refusal, states, after, changed)
