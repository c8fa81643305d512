"""Rules WRM001 to WRM007: samples of model_warmup that fail the load, or are not run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_triton.repository.lint.backends import COMPLETING, backend
from pytest_triton.repository.lint.completing import completes
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.files import bytes_needed, size_of
from pytest_triton.repository.lint.near import quoted
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath

_REFUSED = "Triton refuses the model"


def _samples(model: LintedModel) -> Iterator[tuple[FieldPath, Any]]:
    """The samples that are executed; nothing of the others is looked at by the server."""
    if backend(model) == "ensemble":
        return
    for index, sample in enumerate(model.config.model_warmup):
        if sample.batch_size:
            yield ("model_warmup", index), sample


def _inputs(model: LintedModel) -> Iterator[tuple[FieldPath, str, Any, Any]]:
    """Place, name and content of each input of each sample, with the model's input of that name."""
    known = {tensor.name: tensor for tensor in model.config.input}
    for path, sample in _samples(model):
        for name in sorted(sample.inputs):
            yield (*path, "inputs", name, "value"), name, sample.inputs[name], known.get(name)


@check("WRM001")
def skipped(model: LintedModel) -> None:
    """A sample without batch_size: proto3's default is 0, and 0 is skipped in silence."""
    if backend(model) == "ensemble":
        return
    for index, sample in enumerate(model.config.model_warmup):
        path: FieldPath = ("model_warmup", index)
        if sample.batch_size or model.located.doubtful(*path):
            continue
        given = model.span(*path, "batch_size")
        model.report(
            "WRM001",
            f"warm-up sample {sample.name!r} has "
            + ("batch_size 0" if given else "no batch_size")
            + ": it is skipped",
            (*path, "batch_size") if given else path,
            fix="write batch_size: 1, or the sizes that you expect",
            edits=model.replacing((*path, "batch_size"), "1"),
        )


@check("WRM002")
def complete(model: LintedModel) -> None:
    """Each required input is in each sample, and nothing else is."""
    config = model.config
    known = {tensor.name for tensor in config.input}
    batching = config.sequence_batching
    made = {tensor.name for tensor in batching.control_input}
    made |= {state.input_name for state in batching.state}
    made |= {name for entry in config.batch_input for name in entry.target_name}
    for path, sample in _samples(model):
        missing = [
            tensor.name for tensor in config.input
            if not tensor.optional and tensor.name and tensor.name not in sample.inputs
        ]  # fmt: skip
        if missing:
            model.report(
                "WRM002",
                f"warm-up sample {sample.name!r} lacks input {missing[0]!r}: {_REFUSED}",
                path,
                fix=f"add  inputs {{ key: {quoted(missing[0])} … }}",
            )
        elif not sample.inputs and config.max_batch_size > 0 and (known or not completes(model)):
            model.report(
                "WRM002",
                f"warm-up sample {sample.name!r} gives no input, so that its batch has no size: "
                f"{_REFUSED}",
                path,
                fix=f"add  inputs {{ key: {quoted(min(known, default='…'))} … }}",
            )
        for name in sorted(set(sample.inputs) - known - made):
            if missing or not known or completes(model):
                continue  # a name that is written wrong is one of the missing ones
            model.report(
                "WRM002",
                f"warm-up sample {sample.name!r} gives {name!r}, which is no input of the model",
                (*path, "inputs", name),
                fix="correct the key, or remove it",
                severity="warning",
            )


@check("WRM003", "WRM005")
def typed(model: LintedModel) -> None:
    """The type that the model has, and one of the three sources of data."""
    for path, name, value, tensor in _inputs(model):
        if model.located.doubtful(*path):
            continue
        if tensor is not None and tensor.data_type and tensor.data_type != value.data_type:
            types = value.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
            given, wanted = (
                types[one].name if one in types else str(one)
                for one in (value.data_type, tensor.data_type)
            )
            told = f"is {given}" if value.data_type else "has no data_type"
            model.report(
                "WRM003",
                f"warm-up input {name!r} {told}, the model's is {wanted}: {_REFUSED}",
                (*path, "data_type"),
                fix=f"write data_type: {wanted}",
                edits=model.replacing((*path, "data_type"), wanted),
            )
        if value.WhichOneof("input_data_type") is None:
            model.report(
                "WRM005",
                f"warm-up input {name!r} has no data: {_REFUSED}",
                path,
                fix="add zero_data: true, random_data: true or input_data_file",
            )


@check("WRM004")
def shaped(model: LintedModel) -> None:
    """Fixed sizes that fit the model's dims, without the batch dimension."""
    for path, name, value, tensor in _inputs(model):
        sizes = list(value.dims)
        if -1 in sizes:
            model.report(
                "WRM004",
                f"warm-up input {name!r} has dims {sizes}: a sample cannot vary, {_REFUSED}",
                (*path, "dims"),
                fix="write the sizes that you expect",
            )
            continue
        if tensor is None or not tensor.dims or backend(model) in COMPLETING:
            continue  # such a backend may correct dims
        wanted = list(tensor.dims)
        if len(sizes) == len(wanted) and all(
            want in (-1, size) for size, want in zip(sizes, wanted, strict=True)
        ):
            continue
        batched = len(sizes) == len(wanted) + 1 and model.config.max_batch_size
        model.report(
            "WRM004",
            f"warm-up input {name!r} has dims {sizes}, the model's input has {wanted}"
            + (" without the batch dimension" if batched else "")
            + f": {_REFUSED}",
            (*path, "dims"),
            fix=f"write dims: {sizes[1:]}, and the batch as batch_size"
            if batched
            else f"write sizes that fit {wanted}",
        )


@check("WRM006")
def files(model: LintedModel) -> None:
    """A file of the warmup folder that is there and has enough bytes."""
    if model.directory is None:
        return
    for path, name, value, _ in _inputs(model):
        if value.WhichOneof("input_data_type") != "input_data_file" or -1 in value.dims:
            continue
        file = f"warmup/{value.input_data_file}"
        size, needed = size_of(model, file), bytes_needed(value.dims, value.data_type)
        where = (*path, "input_data_file")
        if size is None:
            told = f"there is no file {file}: {_REFUSED}"
            model.report("WRM006", told, where, fix="add it to the folder warmup beside 1/")
        elif size < needed:
            told = f"{file} has {size} bytes, input {name!r} needs {needed}: {_REFUSED}"
            model.report("WRM006", told, where, fix="write all values, raw and little-endian")
        elif size > needed > 0:
            told = f"{file} has {size} bytes, input {name!r} takes the first {needed}"
            fix = "correct dims or data_type; a sample has no batch dimension"
            model.report("WRM006", told, where, fix=fix, severity="warning")


@check("WRM007")
def too_large(model: LintedModel) -> None:
    """More requests in one execution than the model takes."""
    limit = max(model.config.max_batch_size, 1)
    if model.config.max_batch_size == 0 and completes(model):
        return
    for path, sample in _samples(model):
        if sample.batch_size > limit:
            model.report(
                "WRM007",
                f"warm-up sample {sample.name!r} has batch_size {sample.batch_size}, "
                f"max_batch_size is {model.config.max_batch_size}: {_REFUSED}, and at times the "
                "server ends",
                (*path, "batch_size"),
                fix=f"write batch_size: {limit}",
                edits=model.replacing((*path, "batch_size"), str(limit)),
                # What a backend of another maker does with it is its own matter.
                severity=None
                if backend(model) in COMPLETING | {"python", "pytorch"}
                else "warning",
            )
