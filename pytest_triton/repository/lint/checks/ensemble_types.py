"""Rules ENS012 to ENS016, ENS020: the models' tensors against the ensemble's, as the core does it.

Each tensor of the ensemble has the type and shape of its first mention: the ensemble's own
inputs and outputs (with reshape), then the steps in their order. Every further mention has to
agree: equal types; equal shapes where -1 stands for any size, either without the batch
dimension or with it written out as -1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.graph import Step, is_ensemble, steps_of
from pytest_triton.repository.lint.near import nearest, quoted
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath

_REFUSED = "Triton refuses the ensemble"


@dataclass(frozen=True, slots=True)
class _Node:
    """What one mention says of a tensor."""

    owner: str
    data_type: int
    dims: tuple[int, ...]
    #: With a batch dimension, without; both: a backend has still to find out.
    batching: tuple[bool, ...]

    def full(self, batching: bool) -> tuple[int, ...]:
        return (-1, *self.dims) if batching else self.dims

    def fits(self, other: _Node) -> bool:
        """The core's rule for shapes."""
        if not self.dims or not other.dims or _equal(self.dims, other.dims):
            return True
        return any(
            _equal(self.full(mine), other.full(theirs))
            for mine in self.batching
            for theirs in other.batching
        )


def _equal(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    return len(left) == len(right) and all(
        -1 in (one, other) or one == other for one, other in zip(left, right, strict=True)
    )


@check("ENS012", "ENS013")
def names(model: LintedModel) -> None:
    """The maps name tensors that the models have, and all that they require."""
    for step in steps_of(model):
        config = step.config
        # Without tensors: completed by the backend, or refused for its own sake.
        if config is None or not step.inputs:
            continue
        meant = _unknown(model, step, "input_map", [tensor.name for tensor in config.input])
        _unknown(model, step, "output_map", [tensor.name for tensor in config.output])
        for tensor in config.input:
            name = tensor.name
            if not name or tensor.optional or name in step.inputs or name in meant:
                continue
            model.report(
                "ENS013",
                f"step {step.index} does not map input {name!r} of {step.name!r}: {_does(step)}",
                step.path,
                fix=f"add  input_map {{ key: {quoted(name)} value: … }}",
                severity=None if step.final else "warning",
            )


def _does(step: Step) -> str:
    return _REFUSED if step.final else f"{_REFUSED}, unless the step's backend completes it"


def _unknown(model: LintedModel, step: Step, field: str, there: list[str]) -> set[str]:
    """Report the keys of a map that the model does not have; the names that were meant."""
    kind = field.partition("_")[0]
    meant: set[str] = set()
    known = set(there)
    mapped = step.inputs if kind == "input" else step.outputs
    free = [name for name in there if name not in mapped]
    for name in mapped:
        if not there or name in known:
            continue
        near = free[0] if len(there) == len(free) == 1 else nearest(model, name, free, 0.6)
        meant.add(near)
        if near:
            fix = f"write key: {quoted(near)}"
        else:
            fix = f"its {kind}s are {', '.join(there[:9])}" if free else "remove the entry"
        path = (*step.source(field, name), "key")
        model.report(
            "ENS012",
            f"{step.name!r} has no {kind} {name!r}: {_does(step)}",
            path,
            fix=fix,
            edits=model.replacing(path, quoted(near)) if near else (),
            # What the backend completes can still have that name.
            severity=None if step.final else "warning",
        )
    return meant


@check("ENS014", "ENS015")
def agreement(model: LintedModel) -> None:
    """Types and shapes through the graph."""
    if not is_ensemble(model):
        return
    config = model.config
    batching = (config.max_batch_size > 0,)
    nodes: dict[str, _Node] = {}
    for tensor in (*config.input, *config.output):
        dims = tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims
        node = _Node(model.name, tensor.data_type, tuple(dims), batching)
        nodes.setdefault(tensor.name, node)
    for step in steps_of(model):
        if step.config is None:
            continue
        batches: tuple[bool, ...] = (step.config.max_batch_size > 0,)
        if batches == (False,) and not step.final:
            batches = (True, False)
        for field, tensors, mapped in (
            ("input_map", step.config.input, step.inputs),
            ("output_map", step.config.output, step.outputs),
        ):
            for tensor in tensors:
                if tensor.name in mapped:
                    node = _Node(step.name, tensor.data_type, tuple(tensor.dims), batches)
                    known = nodes.setdefault(mapped[tensor.name], node)
                    where = step.source(field, tensor.name)
                    _compare(model, mapped[tensor.name], known, node, where)


def _compare(model: LintedModel, name: str, known: _Node, node: _Node, path: FieldPath) -> None:
    if known.data_type and node.data_type and known.data_type != node.data_type:
        types = model.config.DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_number
        mine, theirs = (
            types[one.data_type].name if one.data_type in types else str(one.data_type)
            for one in (known, node)
        )
        model.report(
            "ENS014",
            f"tensor {name!r} is {mine} in {known.owner!r} and {theirs} in {node.owner!r}: "
            f"{_REFUSED}",
            path,
            fix="make both types equal, or put a model that converts between them",
        )
    elif not known.fits(node):
        mine, theirs = (str(list(one.full(one.batching[0]))) for one in (known, node))
        model.report(
            "ENS015",
            f"tensor {name!r} has shape {mine} in {known.owner!r} and {theirs} in "
            f"{node.owner!r}: {_REFUSED}",
            path,
            fix="make both shapes equal (-1 for any size), or add a reshape to the model",
        )


@check("ENS016", "ENS020")
def batch_sizes(model: LintedModel) -> None:
    """What the ensemble takes at once, against what its steps take."""
    limit = model.config.max_batch_size
    if not is_ensemble(model) or limit < 1:
        return
    inputs = {tensor.name: tensor for tensor in model.config.input}
    smallest, taker = limit, ""
    for step in steps_of(model):
        if step.config is None:
            continue
        takes = step.config.max_batch_size
        if 0 < takes < smallest:
            smallest, taker = takes, step.name
        if takes == 0 and step.final and limit > 1:
            for tensor in step.config.input:
                _unbatched(model, step, tensor, inputs.get(step.inputs.get(tensor.name, "")))
    if taker:
        model.report(
            "ENS016",
            f"the ensemble takes batches up to {limit}, {taker!r} only up to {smallest}: {_REFUSED}",
            ("max_batch_size",),
            fix=f"write max_batch_size: {smallest}",
            edits=model.replacing(("max_batch_size",), str(smallest)),
        )


def _unbatched(model: LintedModel, step: Step, tensor: Any, source: Any) -> None:
    """A step without batch dimension gets the ensemble's batch as it is."""
    if source is None or not tensor.dims:
        return
    own = source.reshape.shape if source.HasField("reshape") else source.dims
    if len(tensor.dims) == len(own):
        served = 1
    elif len(tensor.dims) == len(own) + 1 and tensor.dims[0] > 0:
        served = tensor.dims[0]
    else:
        return
    model.report(
        "ENS020",
        f"{step.name!r} does not batch and takes {list(tensor.dims)}: of the ensemble's batch sizes "
        f"1 to {model.config.max_batch_size} only {served} is served",
        step.source("input_map", tensor.name),
        fix=f"let {step.name!r} batch, or write -1 as its first size, or lower max_batch_size",
    )
