"""Rules TEN001 to TEN005 and TEN009 to TEN013: tensors, their names and their types."""

from __future__ import annotations

from typing import Any

from pytest_triton.repository.lint.backends import backend, completes, is_tensorrt, tensors
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.finding import Severity
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath

#: Types that no TensorRT engine has: 2 UINT16, 3 UINT32, …, by their numbers.
_NOT_TENSORRT = {3: "UINT16", 4: "UINT32", 5: "UINT64", 7: "INT16", 12: "FP64", 13: "STRING"}
_BF16 = 14
_LINEAR_DIMS = 3


@check("TEN001", "TEN002", "TEN003")
def whole(model: LintedModel) -> None:
    """Name, type and dims, where the backend does not fill them in."""
    filled = completes(model)
    if filled:
        return
    severity: Severity = "error" if filled is False else "warning"
    told = (
        "Triton refuses the model"
        if filled is False
        else "Triton refuses the model unless auto_complete_config fills it in"
        if backend(model) == "python"
        else "Triton refuses the model unless the backend fills it in"
    )
    for kind, index, entry in tensors(model.config):
        path = (kind, index)
        if model.located.doubtful(*path):
            continue
        named = f'{kind} "{entry.name}"' if entry.name else f"an {kind}"
        if not entry.name:
            model.report("TEN001", f"{named} has no name: {told}", path,
                         fix='add  name: "…"', severity=severity)  # fmt: skip
        if not entry.data_type:
            model.report("TEN002", f"{named} has no data_type: {told}", path,
                         fix="add  data_type: TYPE_…", severity=severity)  # fmt: skip
        if not entry.dims:
            model.report(
                "TEN003", f"{named} has no dims: {told}", path,
                fix="write  dims: [ 1 ]  for a scalar: Triton has none without a dimension",
                severity=severity,
            )  # fmt: skip


@check("TEN004", "TEN005")
def names(model: LintedModel) -> None:
    """Names that occur twice."""
    inputs: set[str] = set()
    for kind in ("input", "output"):
        seen: set[str] = set()
        for index, entry in enumerate(getattr(model.config, kind)):
            path = (kind, index, "name")
            if not entry.name:
                continue
            if entry.name in seen:
                harm = (
                    "Triton loads the model, and no request can be right: it expects both and "
                    "refuses the name twice"
                    if kind == "input"
                    else "Triton loads the model, and answers carry both under one name"
                )
                model.report("TEN004", f'two {kind}s are called "{entry.name}": {harm}', path,
                             fix="give it a name of its own, or take it out")  # fmt: skip
            elif kind == "output" and entry.name in inputs:
                model.report(
                    "TEN005", f'"{entry.name}" is an input and an output', path,
                    fix="give the output a name of its own",
                )  # fmt: skip
            seen.add(entry.name)
        inputs = seen


@check("TEN009")
def types(model: LintedModel) -> None:
    """Types that the backend cannot have; PyTorch's have a rule of their own."""
    found = backend(model)
    for kind, index, entry in tensors(model.config):
        path = (kind, index, "data_type")
        if found == "tensorrt" and entry.data_type in _NOT_TENSORRT:
            model.report(
                "TEN009",
                f"TensorRT has no {_NOT_TENSORRT[entry.data_type]}: the type cannot be the "
                "engine's, and Triton refuses the model",
                path,
                fix="write the type of the engine's tensor",
            )
        elif found == "python" and entry.data_type == _BF16:
            model.report(
                "TEN009",
                "numpy has no BF16: as_numpy() of this tensor fails, only DLPack carries it",
                path, severity="info",
            )  # fmt: skip


@check("TEN010", "TEN011", "TEN012")
def special(model: LintedModel) -> None:
    """Formats, shape tensors, ragged batches."""
    known = bool(backend(model) or model.config.platform)
    for kind, index, entry in tensors(model.config):
        path = (kind, index)
        if kind == "input" and entry.format and entry.dims and len(entry.dims) != _LINEAR_DIMS:
            _format(model, path, entry)
        if known and not is_tensorrt(model):
            for field in ("is_shape_tensor", "is_non_linear_format_io"):
                if getattr(entry, field, False):
                    model.report(
                        "TEN011",
                        f"{field} is for TensorRT alone: Triton refuses the model",
                        (*path, field), fix=f"take out {field}",
                        edits=model.removing((*path, field)),
                    )  # fmt: skip
        if kind == "input" and entry.allow_ragged_batch and not model.config.max_batch_size:
            model.report(
                "TEN012",
                "allow_ragged_batch has no effect: max_batch_size is 0, so nothing is batched",
                (*path, "allow_ragged_batch"),
                fix="set max_batch_size, or take out allow_ragged_batch",
            )


def _format(model: LintedModel, path: FieldPath, entry: Any) -> None:
    name = {1: "FORMAT_NHWC", 2: "FORMAT_NCHW"}.get(entry.format)
    if name is None:
        return
    order = "[ height, width, channels ]" if entry.format == 1 else "[ channels, height, width ]"
    model.report(
        "TEN010",
        f"{name} has 3 dims, without the batch, and dims has {len(entry.dims)}: "
        "Triton refuses the model",
        (*path, "format"),
        fix=f"write  dims: {order}",
    )


@check("TEN013")
def nothing(model: LintedModel) -> None:
    """A Python model without outputs, or without inputs, that does not add them either."""
    if backend(model) != "python" or completes(model) is not False:
        return
    if model.located.mistakes:
        return
    if not model.config.output:
        model.report(
            "TEN013",
            "no output is declared, and model.py adds none: every answer is empty",
            fix='add  output [ { name: "…" data_type: TYPE_FP32 dims: [ -1 ] } ]',
        )
    if not model.config.input:
        model.report(
            "TEN013",
            "no input is declared, and model.py adds none: a request with any input is refused",
            severity="info",
        )
