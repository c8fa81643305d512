"""Rule PT030: types of the inputs against those of the weights that they meet in the code."""

from __future__ import annotations

from pytest_triton.repository.archive import Floating, WeightUse
from pytest_triton.repository.lint import torchscript as torch
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.lint.torchscript import Export

_FLOATING = ("TYPE_FP16", "TYPE_FP32", "TYPE_FP64")
_METHODS: dict[Floating, str] = {
    "FP16": ".half()", "BF16": ".bfloat16()", "FP32": ".float()", "FP64": ".double()",
}  # fmt: skip


@check("PT030")
def weights(model: LintedModel) -> None:
    """A product or a convolution of two types fails; a load does not look at types."""
    told: set[tuple[int, Floating]] = set()
    for export in torch.exports(model):
        for at, use in _met(model, export):
            declared = torch.data_type(model.config.input[at])
            if not _clash(declared, use) or (at, use.type) in told:
                continue
            told.add((at, use.type))
            name = model.config.input[at].name
            method = _METHODS[use.type]
            model.report(
                "PT030",
                f"input {name!r} is {declared} and meets weights of {use.type} in the operator "
                f"{use.operator} of {export.relative}: Triton loads the model, and every request "
                "fails",
                ("input", at, "data_type"),
                fix=f"convert it in forward:  {method}"
                if use.type == "BF16"
                else f"write TYPE_{use.type}, or convert it in forward:  {method}",
            )


def _met(model: LintedModel, export: Export) -> list[tuple[int, WeightUse]]:
    """Inputs of the configuration, and the weights that they meet."""
    forward = export.archive.forward
    if forward is None or len(forward.arguments) != torch.input_count(model):
        return []
    names = [entry.name for entry in model.config.input]
    convention = torch.convention_of(names, [item.name for item in forward.arguments])
    placed = torch.placed_inputs(model, convention, forward)
    return [
        (int(one.where[1]), use)
        for one in placed
        for use in export.archive.weights
        if one.where[0] == "input" and one.index == use.argument
    ]


def _clash(declared: str, use: WeightUse) -> bool:
    if declared not in torch.TENSOR_TYPES or declared == f"TYPE_{use.type}":
        return False
    # Operators on the way may have made floating-point numbers of integers.
    return declared in _FLOATING or use.exact
