"""Rule BAT012: tensors that the server makes out of a ragged batch."""

from __future__ import annotations

from typing import Any

from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath


@check("BAT012")
def batch_tensors(model: LintedModel) -> None:
    """Everything that the core refuses in batch_input and batch_output."""
    config = model.config
    inputs = {tensor.name for tensor in config.input}
    outputs = {tensor.name for tensor in config.output}
    for field, entries in (
        ("batch_input", config.batch_input),
        ("batch_output", config.batch_output),
    ):
        for index, entry in enumerate(entries):
            path: FieldPath = (field, index)
            if model.located.doubtful(*path):
                continue
            _sources(model, entry, path, inputs)
            if field == "batch_input":
                kinds = entry.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
                kind = (
                    kinds[entry.data_type].name
                    if entry.data_type in kinds
                    else str(entry.data_type)
                )
                if kind not in ("TYPE_INT32", "TYPE_FP32"):
                    told = f"batch_input has data_type {kind}"
                    _refused(model, told, (*path, "data_type"), "write TYPE_INT32 or TYPE_FP32")
                continue
            seen: set[str] = set()
            for place, name in enumerate(entry.target_name):
                where = (*path, "target_name", place)
                if outputs and name not in outputs:
                    _refused(model, f"batch_output names no output: {name!r}", where, "correct it")
                elif name in seen:
                    _refused(model, f"batch_output names {name!r} twice", where, "remove one")
                seen.add(name)


def _sources(model: LintedModel, entry: Any, path: FieldPath, inputs: set[str]) -> None:
    if len(entry.source_input) != 1:
        told = f"{path[0]} has {len(entry.source_input)} source_input, it needs exactly one"
        _refused(model, told, (*path, "source_input"), "name one input")
    for place, name in enumerate(entry.source_input):
        if inputs and name not in inputs:
            told = f"{path[0]} names no input: {name!r}"
            _refused(model, told, (*path, "source_input", place), "name one of the inputs")


def _refused(model: LintedModel, told: str, path: FieldPath, fix: str) -> None:
    model.report("BAT012", f"{told}: Triton refuses the model", path, fix=fix)
