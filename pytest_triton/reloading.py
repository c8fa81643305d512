"""One unload and load of a model on a disposable server, seen by several clauses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_triton.compare import mismatch
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.criteria.catalogue import NEEDS
from pytest_triton.factory import Disposable
from pytest_triton.probe.http import model_path, wait_until
from pytest_triton.probe.types import RequestFailed
from pytest_triton.subject import Subject
from pytest_triton.telling import UNLOAD_TIMEOUT


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


def borrowed(subject: Subject) -> Disposable:
    """An endpoint that may be controlled, with the model of it that is unloaded and loaded.

    Raises NotAssessed: without permission, where the server loads by itself, or where every
    model is part of an ensemble, or one.
    """
    if not subject.settings.allow_control:
        raise NotAssessed(Reason.NEEDS_CONTROL, f"needs {NEEDS['control']}")
    if not subject.loads_on_request():
        raise NotAssessed(Reason.NOT_APPLICABLE, "the server loads its models by itself")
    steps = {
        step.get("model_name")
        for model in subject.models.values()
        for step in model.config.get("ensemble_scheduling", {}).get("step", [])
    }
    alone = [
        model
        for name, model in subject.unary.items()
        if name not in steps and not model.is_ensemble
    ]
    if not alone:
        raise NotAssessed(Reason.NOT_APPLICABLE, "no model can be unloaded without another one")
    # The sizes of an endpoint's models are not known; those of the Python backend are small.
    chosen = min(alone, key=lambda model: (model.config.get("backend") != "python", model.name))
    return Disposable(subject, chosen.name)


def cycle(disposable: Disposable) -> Cycle:
    """Unload, look, load again, look; done once for a disposable server."""
    return disposable.subject.once("cycle", lambda: _cycle(disposable))


def _cycle(disposable: Disposable) -> Cycle:
    subject, model = disposable.subject, disposable.model
    case = subject.case(model)
    first, before = subject.answer(model, case), readiness(subject, model)
    config = subject.http.model_config(model)
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
        if not subject.deployment.owned:
            _restore(subject, model, config)
    wait_until(lambda: readiness(subject, model) == 200, timeout=subject.settings.boot_timeout)
    after = readiness(subject, model)
    changed: str | None
    try:  # the inputs were accepted before: a refusal is no fault of theirs
        changed = mismatch(subject.http.infer(model, case.inputs).outputs, first.outputs)
    except RequestFailed as error:
        changed = f"inference is refused: {error}"
    return Cycle(before, unloaded, live, refusal, states, after, changed)


def _restore(subject: Subject, model: str, config: dict[str, Any]) -> None:
    """An override goes with an unload: a model that was served with one gets it back."""
    try:
        if subject.http.model_config(model) == config:
            return
    except RequestFailed:  # it did not come back: the clause says so
        return
    subject.http.load(model, config=config, timeout=subject.settings.boot_timeout)
