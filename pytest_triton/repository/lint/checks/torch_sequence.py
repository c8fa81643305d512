"""Rule PT028: sequences need names with an index on everything that they add."""

from __future__ import annotations

from pytest_triton.repository.lint import torchscript as torch
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check


@check("PT028")
def sequence_names(model: LintedModel) -> None:
    """Controls and states are placed by index alone."""
    if not torch.is_torchscript(model):
        return
    for path, name, kind, control in torch.controls(model):
        if name and not torch.has_index(name):
            model.report(
                "PT028",
                f"control {name!r} has no __<index>: the PyTorch backend refuses the model, even "
                "if forward has an argument of that name",
                (*path[:-2], "name"),
                fix=f'rename it to "{name}__N", N being the position in forward',
            )
        data_type = torch.data_type(control)
        known = {*torch.TENSOR_TYPES, "TYPE_INVALID"}
        if kind == "CONTROL_SEQUENCE_CORRID" and data_type not in known:
            model.report(
                "PT028",
                f"the correlation id {name!r} is {data_type}, which the PyTorch backend refuses",
                (*path, "data_type"),
                fix="write TYPE_INT64",
                edits=model.replacing((*path, "data_type"), "TYPE_INT64"),
            )
    kept = torch.states(model)
    if not kept:
        return
    for kind in ("input", "output"):
        for at, entry in enumerate(getattr(model.config, kind)):
            if entry.name and not torch.has_index(entry.name):
                _without_index(model, kind, entry.name, (kind, at, "name"))
    for path, state in kept:
        for field in ("input_name", "output_name"):
            name = getattr(state, field)
            if name and not torch.has_index(name):
                _without_index(model, "state", name, (*path, field))


def _without_index(model: LintedModel, kind: str, name: str, where: tuple[str | int, ...]) -> None:
    model.report(
        "PT028",
        f"{kind} {name!r} has no __<index>: with states, the PyTorch backend refuses names that "
        "do not tell the position",
        where,
        fix=f'rename it to "{name}__N", N being its position',
    )
