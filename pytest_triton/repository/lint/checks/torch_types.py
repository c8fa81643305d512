"""Rules PT008 to PT015: types that the backend refuses, and results that it cannot deliver."""

from __future__ import annotations

from typing import Any

from pytest_triton.repository.archive import Signature, Type
from pytest_triton.repository.lint import torchscript as torch
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath

#: What to declare instead of a type that TorchScript does not share with Triton.
_INSTEAD = {
    "TYPE_UINT16": "TYPE_INT32", "TYPE_UINT32": "TYPE_INT64", "TYPE_UINT64": "TYPE_INT64",
    "TYPE_BF16": "TYPE_FP32",
}  # fmt: skip
#: Elements of a result that are never a tensor.
_NO_TENSOR = frozenset({
    "int", "float", "bool", "str", "number", "complex", "Device", "NoneType", "Dict", "Tuple",
})  # fmt: skip


@check("PT008", "PT009")
def data_types(model: LintedModel) -> None:
    """Types that libtorch and Triton do not share, and the rank of strings."""
    if not torch.is_torchscript(model):
        return
    batching = model.config.max_batch_size > 0
    entries: list[tuple[FieldPath, str, str, Any]] = []
    for kind in ("input", "output"):
        for at, entry in enumerate(getattr(model.config, kind)):
            entries.append(((kind, at), kind, entry.name, entry))
    for path, state in torch.states(model):
        entries.append((path, "state", state.input_name, state))
    for path, kind, name, entry in entries:
        data_type = torch.data_type(entry)
        if data_type in _INSTEAD:
            instead = _INSTEAD[data_type]
            model.report(
                "PT008",
                f"{kind} {name!r} is {data_type}, which the PyTorch backend refuses",
                (*path, "data_type"),
                # No edit: without the other half requests fail instead of the load.
                fix=f"write {instead}, and convert to it in the module",
            )
        if data_type == "TYPE_STRING":
            reshaped = kind != "state" and entry.HasField("reshape")
            rank = len(entry.reshape.shape if reshaped else entry.dims) + batching
            if rank > 1:
                field = "reshape" if reshaped else "dims"
                model.report(
                    "PT009",
                    f"{kind} {name!r} is TYPE_STRING of {rank} dimensions"
                    f"{' with the batch' if batching else ''}: the PyTorch backend takes lists of "
                    "strings, of one dimension",
                    (*path, field),
                    fix="add  reshape { shape: [ ] }  to dims: [ 1 ]"
                    if batching
                    else "write dims: [ -1 ]",
                )


@check("PT010", "PT011", "PT013", "PT014")
def results(model: LintedModel) -> None:
    """The outputs of the configuration against what forward returns."""
    if not torch.is_torchscript(model):
        return
    _, placed = torch.placed_outputs(model)
    taken: dict[int, str] = {}
    for one in placed:
        if one.index in taken and taken[one.index] != one.name:
            model.report(
                "PT011",
                f"outputs {taken[one.index]!r} and {one.name!r} are both element {one.index} of "
                "the result",
                one.where,
                fix=f'give one of them another index, as in "{one.name.partition("__")[0]}__'
                f'{max(place.index for place in placed) + 1}"',
            )
        taken.setdefault(one.index, one.name)
    _without_dimensions(model, placed)
    for told, forward in torch.signatures(model):
        if problem := _undeliverable(forward):
            model.report(
                "PT013",
                f"{told} returns {forward.returns}: {problem}, so that every request fails",
                ("output",),
                fix="export a wrapper that returns a Tensor or a tuple of Tensors",
            )
            continue
        if forward.returns.name.startswith("__torch__") and len(forward.results) == 1:
            continue  # a class of its own: nobody knows what is in it
        for one in placed:
            if one.index >= len(forward.results):
                model.report(
                    "PT010",
                    f"output {one.name!r} is element {one.index} of the result, and {told} returns "
                    f"{_count(len(forward.results))}: every request fails",
                    one.where,
                    fix="remove it, or return it from forward"
                    if len(placed) > len(forward.results)
                    else f'rename it to "{one.name.partition("__")[0]}__'
                    f'{_free(taken, len(forward.results))}"',
                )
                continue
            kind = forward.results[one.index]
            declared = torch.data_type(model.config.output[one.where[1]])
            if one.strings and kind.name == "Tensor":
                message = "is TYPE_STRING, and forward returns a Tensor there: every request fails"
            elif not one.strings and str(kind) == "List[str]":
                message = (
                    f"is {declared}, and forward returns a list of strings there: responses carry "
                    "BYTES, whatever the metadata say"
                )
            else:
                continue
            model.report(
                "PT014",
                f"output {one.name!r} {message}",
                (*one.where[:2], "data_type"),
                fix="declare the tensor's type" if one.strings else "write TYPE_STRING",
            )


def _without_dimensions(model: LintedModel, placed: list[torch.Placed]) -> None:
    """Outputs that are x.sum() or the like. What batch_output scatters may be one."""
    scattered = {name for entry in model.config.batch_output for name in entry.target_name}
    for one in placed:
        found = [
            export for export in torch.exports(model) if one.index in export.archive.scalars
        ]  # fmt: skip
        if found and one.name not in scattered and not one.strings:
            model.report(
                "PT013",
                f"output {one.name!r} is a tensor without dimensions in {found[0].relative} (a "
                "sum, mean, maximum or the like of all elements): every request fails",
                one.where,
                fix="return it with  .reshape(1),  or reduce all dimensions but the batch"
                if model.config.max_batch_size == 0
                else "reduce all dimensions but the batch, as in x.sum(dim=1)",
            )


def _undeliverable(forward: Signature) -> str:
    """Why the backend can deliver nothing of this result; or ""."""
    returns = forward.returns
    if returns.name == "List" and str(returns) != "List[str]":
        return "a list of tensors has to be a tuple" if "Tensor" in str(returns) else "no tensor"
    if returns.name in _NO_TENSOR - {"Tuple"}:
        return "the backend delivers Tensors, lists of strings, and tuples of them"
    if returns.name == "Tuple" or len(forward.results) > 1:
        for at, kind in enumerate(forward.results):
            if _never(kind):
                return f"element {at} is {kind}, and all elements are unpacked"
    return ""


def _never(kind: Type) -> bool:
    """Whether an element of this type can be neither a tensor nor a list of strings."""
    if kind.name == "List":
        return str(kind) != "List[str]"
    return kind.name in _NO_TENSOR


def _count(count: int) -> str:
    return "one" if count == 1 else f"{count} elements"


def _free(taken: dict[int, str], count: int) -> int:
    return next((index for index in range(count) if index not in taken), 0)


@check("PT012")
def arriving(model: LintedModel) -> None:
    """Types of the inputs against the arguments that they reach: a load does not look at them."""
    if not torch.is_torchscript(model):
        return
    for told, forward in torch.signatures(model):
        if torch.is_dict(forward):
            _arriving_in_dict(model, told, forward.arguments[0].type)
            continue
        if len(forward.arguments) != torch.input_count(model):
            continue
        arguments = [item.name for item in forward.arguments]
        names = [entry.name for entry in model.config.input]
        convention = torch.convention_of(names, arguments)
        for one in torch.placed_inputs(model, convention, forward):
            if one.index >= len(arguments) or not torch.plain(forward.arguments[one.index].type):
                continue
            wanted = str(forward.arguments[one.index].type)
            given = "List[str]" if one.strings else "Tensor"
            if wanted == given:
                continue
            argument = arguments[one.index]
            model.report(
                "PT012",
                f"input {one.name!r} arrives as {given}, and argument {argument!r} of {told} takes "
                f"{wanted}: Triton loads the model, and every request fails",
                (*one.where[:2], "data_type") if one.where[0] == "input" else one.where,
                fix=_type_fix(wanted, argument),
            )


def _type_fix(wanted: str, argument: str) -> str:
    if wanted == "List[str]":
        return "write TYPE_STRING"
    if wanted == "Tensor":
        return "write the type of the tensor that forward takes"
    return f"export a wrapper whose forward takes a Tensor as {argument!r}"


def _arriving_in_dict(model: LintedModel, told: str, kind: Type) -> None:
    if str(kind) != "Dict[str, Tensor]":
        model.report(
            "PT012",
            f"{told} takes {kind}: Triton loads the model and sends Dict[str, Tensor], so that "
            "every request fails",
            ("input",),
            fix="export a wrapper whose forward takes Dict[str, Tensor]",
        )
        return
    for at, entry in enumerate(model.config.input):
        if torch.data_type(entry) == "TYPE_STRING":
            model.report(
                "PT012",
                f"input {entry.name!r} is TYPE_STRING, and {told} takes a dictionary of tensors: "
                "every request fails",
                ("input", at, "data_type"),
                fix="send it as a tensor, e.g. TYPE_UINT8 with the bytes",
            )


@check("PT015")
def optional_inputs(model: LintedModel) -> None:
    """The backend takes no optional inputs."""
    if not torch.is_torchscript(model):
        return
    for at, entry in enumerate(model.config.input):
        if entry.optional:
            model.report(
                "PT015",
                f"input {entry.name!r} is optional: the PyTorch backend does not support that, and "
                "Triton refuses the model",
                ("input", at, "optional"),
                fix="remove  optional: true",
                edits=model.removing(("input", at, "optional")),
            )
