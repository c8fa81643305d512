"""An ensemble as a graph: its steps, the models behind them, and who writes which tensor."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_triton.repository.config import ModelConfig, selected_versions
from pytest_triton.repository.lint.completing import completes
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.positions import FieldPath

STEPS: FieldPath = ("ensemble_scheduling", "step")


@dataclass(frozen=True, slots=True)
class Step:
    """One step, with the model that it runs where that is known."""

    index: int
    message: Any
    #: None: the repository does not have it, it cannot be read, or nobody looked.
    model: LintedModel | None
    #: The model's input -> the ensemble's tensor, by name.
    inputs: dict[str, str]
    #: The model's output -> the ensemble's tensor, by name.
    outputs: dict[str, str]

    @property
    def path(self) -> FieldPath:
        """Its place in the configuration."""
        return (*STEPS, self.index)

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.message.model_name)

    @property
    def config(self) -> ModelConfig | None:
        """The configuration of the model; None when it is not known."""
        return self.model.config if self.model else None

    @property
    def final(self) -> bool:
        """Is that configuration all that the server will have, with nothing to complete?"""
        return self.model is not None and not completes(self.model)

    def source(self, field: str, name: str) -> FieldPath:
        """The place of one entry of ``input_map`` or ``output_map``."""
        return (*self.path, field, name)


def is_ensemble(model: LintedModel) -> bool:
    """Does the configuration describe an ensemble?"""
    return bool(model.config.HasField("ensemble_scheduling"))


def steps_of(model: LintedModel) -> list[Step]:
    """The steps of an ensemble, in its order; empty for other models."""
    if "steps" not in model.memory:
        model.memory["steps"] = _steps(model)
    found: list[Step] = model.memory["steps"]
    return found


def _steps(model: LintedModel) -> list[Step]:
    found = []
    models = model.repository.models if model.repository else {}
    for index, message in enumerate(model.config.ensemble_scheduling.step):
        there = None if message.model_namespace else models.get(message.model_name)
        if there is not None and not there.readable:
            there = None
        inputs, outputs = (
            dict(sorted(entries.items())) for entries in (message.input_map, message.output_map)
        )
        found.append(Step(index, message, there, inputs, outputs))
    return found


def in_order(steps: Sequence[Step], ready: Iterable[str]) -> tuple[list[Step], list[Step]]:
    """The steps as they can run once these tensors are there, and those that never can."""
    known = set(ready)
    missing = [len({*step.inputs.values()} - known) for step in steps]
    readers: dict[str, list[int]] = defaultdict(list)
    for place, step in enumerate(steps):
        for tensor in {*step.inputs.values()} - known:
            readers[tensor].append(place)
    waiting = deque(place for place, count in enumerate(missing) if not count)
    order = []
    while waiting:
        place = waiting.popleft()
        order.append(place)
        for tensor in steps[place].outputs.values():
            for reader in readers.pop(tensor, ()):
                missing[reader] -= 1
                if not missing[reader]:
                    waiting.append(reader)
    ran = set(order)
    return [steps[place] for place in order], [
        step for place, step in enumerate(steps) if place not in ran
    ]


def served_versions(model: LintedModel) -> tuple[int, ...] | None:
    """The versions that the policy serves; None when the files are not known."""
    if model.directory is None:
        return None
    return selected_versions(model.config, model.directory.versions)


def is_decoupled(model: LintedModel) -> bool:
    """Can the model answer a request with any number of responses? Of an ensemble: can a step?"""
    if not is_ensemble(model):
        return bool(model.config.model_transaction_policy.decoupled)
    return any(
        one.config.model_transaction_policy.decoupled
        for one in _below(model)[0].values()
        if not is_ensemble(one)
    )


def cycle(model: LintedModel) -> list[str]:
    """Ensembles that lead back to this one, in order; empty when there is no way back."""
    below, came_from = _below(model)
    for name, one in below.items():
        if not any(step.name == model.name for step in steps_of(one)):
            continue
        way = [model.name]
        while name != model.name:
            way.insert(0, name)
            name = came_from[name]
        return [model.name, *way]
    return []


def _below(model: LintedModel) -> tuple[dict[str, LintedModel], dict[str, str]]:
    """The ensemble and every model that it leads to, and which ensemble led there first."""
    found, came_from, waiting = {model.name: model}, {model.name: model.name}, [model]
    while waiting:
        above = waiting.pop()
        for step in steps_of(above):
            if step.model is not None and step.name not in found:
                found[step.name], came_from[step.name] = step.model, above.name
                waiting.append(step.model)
    return found, came_from
