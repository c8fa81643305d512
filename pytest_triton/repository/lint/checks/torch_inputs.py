"""Rules PT001 to PT007: the names of tensors against the arguments and results of ``forward``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from pytest_triton.repository.archive import Signature
from pytest_triton.repository.lint import torchscript as torch
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.finding import Edit, Severity
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.lint.torchscript import Placed


@check("PT001", "PT002")
def arguments(model: LintedModel) -> None:
    """Number and types of the arguments, as a load compares them."""
    if not torch.is_torchscript(model) or not model.config.input:
        return
    for told, forward in torch.signatures(model):
        if torch.is_dict(forward) or not forward.arguments:
            continue
        refused = [item for item in forward.arguments if not torch.plain(item.type)]
        for item in refused:
            dictionary = item.type.name == "Dict"
            model.report(
                "PT002",
                f"argument {item.name!r} of {told} is of type {item.type}: Triton refuses the "
                "model, which may take tensors, or one Dict[str, Tensor] alone",
                ("input",),
                fix=(
                    "export it with one Dict[str, Tensor] as its only argument"
                    if dictionary
                    else f"export a wrapper whose forward has no {item.name!r}, or takes a Tensor"
                ),
            )
        expected, given = torch.input_count(model), len(forward.arguments)
        if not refused and expected != given:
            model.report(
                "PT001",
                f"the configuration has {_inputs(model, expected)}, {told} takes {given}: Triton "
                "refuses the model",
                ("input",),
                fix=_count_fix(model, forward),
            )


def _inputs(model: LintedModel, count: int) -> str:
    extra = count - len(model.config.input)
    words = f"{count} input{'s' if count != 1 else ''}"
    return f"{words} ({extra} of them controls, states or batch_input)" if extra else words


def _count_fix(model: LintedModel, forward: Signature) -> str:
    names = [entry.name for entry in model.config.input]
    known = [item.name for item in forward.arguments]
    if len(names) < len(known) and not torch.states(model) and not torch.controls(model):
        if set(names) <= set(known):
            missing = [name for name in known if name not in names]
        else:
            missing = [f"INPUT__{index}" for index in range(len(names), len(known))]
        return f"add an input for {', '.join(missing)}"
    extra = [name for name in names if name not in known]
    if extra and len(names) - len(extra) == len(known):
        return f"remove the input {', '.join(extra)}"
    return "give each argument of forward one input, or export the model again"


@check("PT003", "PT004")
def indices(model: LintedModel) -> None:
    """Names that end in ``__<index>``: beyond the arguments, used twice, left out."""
    if not torch.is_torchscript(model):
        return
    for told, forward in _known(model):
        if forward is not None and (torch.is_dict(forward) or not forward.arguments):
            continue
        arguments = [item.name for item in forward.arguments] if forward else []
        names = [entry.name for entry in model.config.input]
        if torch.convention_of(names, arguments) != "index" or len(set(names)) < len(names):
            continue  # a name that comes twice is TEN004's
        count = torch.input_count(model)
        if forward is not None and count != len(arguments):
            continue  # PT001 says it
        _check_indices(model, told, forward, torch.placed_inputs(model, "index", forward), count)


def _known(model: LintedModel) -> Sequence[tuple[str, Signature | None]]:
    return torch.signatures(model) or [("", None)]


def _check_indices(
    model: LintedModel, told: str, forward: Signature | None, placed: list[Placed], count: int
) -> None:
    taken: dict[int, list[Placed]] = defaultdict(list)
    for one in placed:
        taken[one.index].append(one)
    free = [index for index in range(count) if index not in taken]
    severity: Severity | None = None if forward else "warning"
    takes = f"{told} takes {_number(count, 'argument')}" if forward else (
        f"with {_number(count, 'input')} the last index is {count - 1}"
    )  # fmt: skip
    for index, ones in sorted(taken.items()):
        for one in ones[1:]:
            empty = free.pop(0) if free and index < count else None
            left = f", and nothing reaches argument {empty}" if empty is not None else ""
            model.report(
                "PT004",
                f'inputs "{ones[0].name}" and "{one.name}" both have index {index}{left}: Triton '
                "loads the model, and forward gets one of them",
                one.where,
                fix=_renamed(one, empty),
                edits=_rename(model, one, empty),
                severity="error" if empty is not None else "warning",
            )
        if index >= count:
            empty = free.pop(0) if free else None
            skips = f"skips index {empty}: " if empty is not None else f"has index {index}: "
            model.report(
                "PT003",
                f'input "{ones[0].name}" {skips}{takes}',
                ones[0].where,
                fix=_renamed(ones[0], empty),
                edits=_rename(model, ones[0], empty),
                severity=severity,
            )


def _number(count: int, word: str) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return f"{words[count] if count < len(words) else count} {word}{'' if count == 1 else 's'}"


def _new_name(one: Placed, index: int) -> str:
    return f"{one.name.partition('__')[0]}__{index}"


def _renamed(one: Placed, index: int | None) -> str:
    return f'rename it to "{_new_name(one, index)}"' if index is not None else ""


def _rename(model: LintedModel, one: Placed, index: int | None) -> tuple[Edit, ...]:
    if index is None or one.where[0] != "input":
        return ()
    return model.replacing(one.where, f'"{_new_name(one, index)}"')


@check("PT005", "PT006")
def order(model: LintedModel) -> None:
    """Names that say nothing to the backend, which then takes the order of the configuration."""
    if not torch.is_torchscript(model):
        return
    for _, forward in _known(model):
        if forward is not None and not _countable(model, forward):
            continue
        arguments = [item.name for item in forward.arguments] if forward else []
        names = [entry.name for entry in model.config.input]
        if len(names) > 1 and torch.convention_of(names, arguments) == "order":
            _check_order(model, "input", names, arguments)
    names = [entry.name for entry in model.config.output]
    if len(names) > 1 and torch.convention_of(names, ()) == "order":
        _check_order(model, "output", names, [])


def _countable(model: LintedModel, forward: Signature) -> bool:
    """Whether inputs can be compared with arguments one by one; PT001 and PT002 say why not."""
    if torch.is_dict(forward) or len(forward.arguments) != torch.input_count(model):
        return False
    return all(torch.plain(item.type) for item in forward.arguments)


def _check_order(model: LintedModel, kind: str, names: list[str], arguments: list[str]) -> None:
    """One name out of line sends all names to the order: does that change what they say?"""
    if not all(names):
        return  # TEN001 says that one has no name
    means = {name: _meaning(name, arguments) for name in names}
    stray = [name for name in names if means[name] is None]
    if len(stray) == len(names):
        return
    if not stray:  # arguments and indices, mixed
        stray = [name for name in names if name not in arguments]
    moved = [(at, name) for at, name in enumerate(names) if means[name] not in (None, at)]
    what = "argument" if kind == "input" else "element of the result"
    for at, name in moved:
        gets = f"{what} {at}"
        if at < len(arguments):
            gets += f" ({arguments[at]!r})"
        model.report(
            "PT006",
            f"{kind} {name!r} is {gets}: {_list(stray)} follows no convention, so that Triton "
            f"takes all {kind}s in the order of the configuration",
            (kind, at, "name"),
            fix=_order_fix(kind, arguments),
        )
    if not moved:
        at = names.index(stray[0])
        model.report(
            "PT005",
            f"{kind} {_list(stray)} is no {'argument of forward and no ' if arguments else ''}"
            f"name with __<index>: Triton takes all {kind}s in the order of the configuration",
            (kind, at, "name"),
            fix=_order_fix(kind, arguments),
        )


def _meaning(name: str, arguments: list[str]) -> int | None:
    """The position that a name claims for itself."""
    if name in arguments:
        return arguments.index(name)
    return torch.index_of(name) if torch.has_index(name) else None


def _order_fix(kind: str, arguments: list[str]) -> str:
    if arguments:
        return f"name the inputs as the arguments: {', '.join(arguments)}"
    return f"name them {kind.upper()}__0, {kind.upper()}__1, …"


def _list(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)


@check("PT007")
def tensors(model: LintedModel) -> None:
    """The backend completes nothing: inputs and outputs have to be there."""
    if not torch.is_torchscript(model):
        return
    for kind, entries in (("input", model.config.input), ("output", model.config.output)):
        if not entries:
            wanted = f"add an {kind} for each element of its result"
            if kind == "input":
                named = [item.name for _, one in torch.signatures(model) for item in one.arguments]
                wanted = f"add an input for {', '.join(named)}" if named else "add the inputs"
            model.report(
                "PT007",
                f"no {kind}: a TorchScript file does not tell the types and shapes of its {kind}s, "
                "and Triton refuses the model",
                fix=wanted,
            )
