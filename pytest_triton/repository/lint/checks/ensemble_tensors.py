"""Rules ENS008 to ENS011, ENS017, ENS021: who writes each tensor of an ensemble, who reads it."""

from __future__ import annotations

from collections import defaultdict

from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.finding import Edit
from pytest_triton.repository.lint.graph import Step, in_order, is_ensemble, steps_of
from pytest_triton.repository.lint.near import nearest, quoted
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath

_REFUSED = "Triton refuses the ensemble"


class _Tensors:
    """Writers and readers of each tensor, by name."""

    def __init__(self, model: LintedModel) -> None:
        self.steps = [step for step in steps_of(model) if step.inputs and step.outputs]
        self.inputs = [tensor.name for tensor in model.config.input]
        self.outputs = [tensor.name for tensor in model.config.output]
        self.written: dict[str, list[FieldPath]] = defaultdict(list)
        self.read: dict[str, list[FieldPath]] = defaultdict(list)
        for step in self.steps:
            for name, tensor in step.outputs.items():
                self.written[tensor].append(step.source("output_map", name))
            for name, tensor in step.inputs.items():
                self.read[tensor].append(step.source("input_map", name))

    def waiting(self) -> list[Step]:
        """Steps that can never run although each of their tensors has a writer."""
        unwritten = {name for name in self.read if name not in self.written}
        return in_order(self.steps, {*self.inputs} | unwritten)[1]


@check("ENS008", "ENS017")
def written_twice(model: LintedModel) -> None:
    """A tensor has one source."""
    if not is_ensemble(model):
        return
    tensors = _Tensors(model)
    inputs = set(tensors.inputs)
    for name, places in tensors.written.items():
        for path in places[1:]:
            model.report(
                "ENS008",
                f"tensor {name!r} is written twice: {_REFUSED}",
                (*path, "value"),
                fix="give one of them another name",
            )
        if name in inputs:
            model.report(
                "ENS017",
                f"a step writes the ensemble's input {name!r}: its readers run again and again, "
                "and a request is never answered",
                (*places[0], "value"),
                fix="give the step's output a name of its own",
            )


@check("ENS009", "ENS010", "ENS011", "ENS021")
def connected(model: LintedModel) -> None:
    """From the inputs to the outputs, and nothing beside."""
    steps = steps_of(model)
    if not steps or not all(step.inputs and step.outputs for step in steps):
        return  # what hangs in the air then does so for that
    tensors = _Tensors(model)
    known = list(dict.fromkeys([*tensors.inputs, *tensors.written]))
    there, outputs = set(known), set(tensors.outputs)
    for index, name in enumerate(tensors.inputs):
        if name and name not in tensors.read and name not in tensors.written:
            told = f"no step reads the ensemble's input {name!r}: {_REFUSED}"
            fix = "map it to an input of a step, or remove it"
            model.report("ENS009", told, ("input", index, "name"), fix=fix)
    for index, name in enumerate(tensors.outputs):
        if name and name not in tensors.written and name not in tensors.read:
            path: FieldPath = ("output", index, "name")
            fix, edits = _nearest(model, name, list(tensors.written), path)
            told = f"no step writes the ensemble's output {name!r}: {_REFUSED}"
            model.report("ENS010", told, path, fix=fix or "map an output to it", edits=edits)
    for name, places in tensors.read.items():
        if name not in there:
            fix, edits = _nearest(model, name, known, (*places[0], "value"))
            told = f"nothing writes tensor {name!r}, which this step reads: {_REFUSED}"
            where = (*places[0], "value")
            fix = fix or "write the name of an input of the ensemble or of another step's output"
            model.report("ENS011", told, where, fix=fix, edits=edits)
    for name, places in tensors.written.items():
        if name not in tensors.read and name not in outputs:
            model.report(
                "ENS011",
                f"nothing reads tensor {name!r}, which this step writes: {_REFUSED}",
                (*places[0], "value"),
                fix="remove the entry, or map it to an input or an output of the ensemble",
            )
    if left := tensors.waiting():
        names = ", ".join(dict.fromkeys(repr(step.name) for step in left))
        model.report(
            "ENS021",
            f"the steps {names} wait for each other's tensors: {_REFUSED}",
            left[0].path,
            fix="break the circle: a step cannot read what comes after it",
        )


def _nearest(
    model: LintedModel, name: str, known: list[str], path: FieldPath
) -> tuple[str, tuple[Edit, ...]]:
    near = nearest(model, name, known)
    return (f"write {quoted(near)}", model.replacing(path, quoted(near))) if near else ("", ())
