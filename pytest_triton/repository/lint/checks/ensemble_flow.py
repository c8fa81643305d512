"""Rules ENS018, ENS019, ENS022, ENS023: responses and optional tensors through an ensemble."""

from __future__ import annotations

from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.graph import in_order, is_decoupled, is_ensemble, steps_of
from pytest_triton.repository.lint.registry import check


@check("ENS018", "ENS022", "ENS023")
def decoupled(model: LintedModel) -> None:
    """Tensors of one step come with the same responses of the same decoupled model."""
    if not is_ensemble(model):
        return
    labels = {tensor.name: 0 for tensor in model.config.input}
    some = False
    for step in in_order(steps_of(model), labels)[0]:
        before = {labels[tensor] for tensor in step.inputs.values()}
        if len(before) > 1:
            model.report(
                "ENS018",
                f"step {step.index} joins tensors of a decoupled model with others: Triton "
                "refuses the ensemble",
                step.path,
                fix="take all of its inputs from the same decoupled step, or pass them through it",
            )
        label = min(before, default=0)
        if step.model is not None and is_decoupled(step.model):
            label, some = step.index + 1, True
        for tensor in step.outputs.values():
            labels.setdefault(tensor, label)
    ends = {labels[tensor.name] for tensor in model.config.output if tensor.name in labels}
    if len(ends) > 1:
        model.report(
            "ENS018",
            "the outputs come from different decoupled models: Triton refuses the ensemble",
            ("output",),
            fix="take all outputs from the same decoupled step",
        )
    if some and model.config.response_cache.enable:
        model.report(
            "ENS022",
            "response_cache on an ensemble with a decoupled step: Triton refuses the ensemble",
            ("response_cache",),
            fix="remove response_cache",
            edits=model.removing(("response_cache",)),
        )
    known = all(step.model is not None for step in steps_of(model))
    if known and not some and model.config.model_transaction_policy.decoupled:
        model.report(
            "ENS023",
            "no step is decoupled: Triton serves the ensemble as one that answers once",
            ("model_transaction_policy", "decoupled"),
            fix="remove model_transaction_policy",
            edits=model.removing(("model_transaction_policy",)),
        )


@check("ENS019")
def optional(model: LintedModel) -> None:
    """An optional input of the ensemble is worth what its reader makes of it."""
    if not is_ensemble(model):
        return
    optional = {
        tensor.name: index for index, tensor in enumerate(model.config.input) if tensor.optional
    }
    for step in steps_of(model):
        for tensor in step.config.input if step.config is not None and step.final else ():
            index = optional.get(step.inputs.get(tensor.name, ""))
            if index is not None and not tensor.optional:
                model.report(
                    "ENS019",
                    f"input {step.inputs[tensor.name]!r} is optional, but {step.name!r} requires "
                    "it: Triton answers 400 to a request without it",
                    ("input", index, "optional"),
                    fix=f"remove optional, or make input {tensor.name!r} of {step.name!r} optional",
                    edits=model.removing(("input", index, "optional")),
                )
