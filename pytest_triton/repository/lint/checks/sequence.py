"""Rules SEQ001 to SEQ010: control tensors of the sequence batcher."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_triton.repository.lint.backends import backend
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath

_VALUES = ("int32_false_true", "fp32_false_true", "bool_false_true")
_CORRID_TYPES = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")
#: Backends whose models see of a sequence only what control tensors tell.
_SEE_TENSORS = frozenset({"onnxruntime", "openvino", "pytorch", "tensorflow", "tensorrt"})


def _controls(model: LintedModel) -> Iterator[tuple[FieldPath, str, Any, str]]:
    """Place, tensor, control and its kind without the common beginning (``START``)."""
    for index, tensor in enumerate(model.config.sequence_batching.control_input):
        for place, control in enumerate(tensor.control):
            path = ("sequence_batching", "control_input", index, "control", place)
            if model.located.doubtful(*path):
                continue
            kinds = control.Kind.DESCRIPTOR.values_by_number
            kind = kinds[control.kind].name if control.kind in kinds else ""
            yield path, tensor.name, control, kind.removeprefix("CONTROL_SEQUENCE_")


def _refused(model: LintedModel, rule: str, told: str, path: FieldPath, fix: str) -> None:
    model.report(rule, f"{told}: Triton refuses the model", path, fix=fix)


@check("SEQ001", "SEQ006")
def values(model: LintedModel) -> None:
    """START, END and READY need one pair of values, and two that differ."""
    for path, name, control, kind in _controls(model):
        given = [field for field in _VALUES if len(getattr(control, field))]
        if kind == "CORRID":
            if given:
                told = f"CORRID of {name!r} has {given[0]}: it carries the sequence's id"
                _refused(model, "SEQ001", told, (*path, given[0]), f"remove {given[0]}")
            continue
        if not given:
            told = f"{kind} of {name!r} has no values"
            _refused(model, "SEQ001", told, path, "add  int32_false_true: [ 0, 1 ]")
        elif len(given) > 1:
            told = f"{kind} of {name!r} has {' and '.join(given)}"
            _refused(model, "SEQ001", told, (*path, given[1]), "keep one of them")
        else:
            pair = list(getattr(control, given[0]))
            if len(pair) != 2:
                told = f"{given[0]} of {kind} has {len(pair)} entries, it needs exactly 2"
                fix = "write the value for false, then the value for true"
                _refused(model, "SEQ001", told, (*path, given[0]), fix)
            elif pair[0] == pair[1]:
                model.report(
                    "SEQ006",
                    f"{kind} of {name!r} is {pair[0]:g} whether it is false or true: the model "
                    "cannot tell",
                    (*path, given[0]),
                    fix="write two values that differ, [ 0, 1 ]",
                )


@check("SEQ002", "SEQ003")
def names(model: LintedModel) -> None:
    """Each control tensor has a name of its own, and each kind has one tensor."""
    tensors: set[str] = set()
    for index, tensor in enumerate(model.config.sequence_batching.control_input):
        path: FieldPath = ("sequence_batching", "control_input", index)
        if not tensor.name and not model.located.doubtful(*path):
            _refused(model, "SEQ002", "a control_input has no name", path, "add its name")
        elif tensor.name in tensors:
            told = f"two control_input are called {tensor.name!r}"
            fix = "give each kind a tensor of its own"
            _refused(model, "SEQ002", told, (*path, "name"), fix)
        tensors.add(tensor.name)
    kinds: set[str] = set()
    for path, name, _, kind in _controls(model):
        if kind in kinds:
            told = f"{name!r} is a second tensor for {kind}"
            _refused(model, "SEQ003", told, path, "correct its kind, or remove it")
        kinds.add(kind)


@check("SEQ004")
def correlation(model: LintedModel) -> None:
    """The id of a sequence has a type; only five fit."""
    for path, name, control, kind in _controls(model):
        if kind != "CORRID":
            continue
        types = control.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
        chosen = types[control.data_type].name if control.data_type in types else ""
        if chosen not in _CORRID_TYPES:
            told = f"CORRID of {name!r} has "
            told += "no data_type" if chosen == "TYPE_INVALID" else f"data_type {chosen}"
            where = (*path, "data_type") if control.data_type else path
            fix = "write data_type: TYPE_UINT64 (or TYPE_STRING for ids that are text)"
            edits = model.replacing((*path, "data_type"), "TYPE_UINT64")
            model.report("SEQ004", f"{told}: Triton refuses the model", where, fix=fix, edits=edits)


@check("SEQ007")
def overwritten(model: LintedModel) -> None:
    """A control or state tensor with the name of an input takes its place."""
    batching = model.config.sequence_batching
    inputs = {tensor.name for tensor in model.config.input}
    for index, tensor in enumerate(batching.control_input):
        if tensor.name and tensor.name in inputs:
            model.report(
                "SEQ007",
                f"control_input {tensor.name!r} has the name of an input: the model gets the "
                "control value, and never what the request sent",
                ("sequence_batching", "control_input", index, "name"),
                fix="give the control tensor another name",
            )
    for index, state in enumerate(batching.state):
        if state.input_name and state.input_name in inputs:
            model.report(
                "SEQ007",
                f"state input {state.input_name!r} has the name of an input: the model gets the "
                "state, and never what the request sent",
                ("sequence_batching", "state", index, "input_name"),
                fix="remove the input, or give the state another name",
            )


@check("SEQ008")
def odd_controls(model: LintedModel) -> None:
    """Control tensors that say less than it seems."""
    kinds_of: dict[FieldPath, list[str]] = {}
    for where, _, _, kind in _controls(model):
        kinds_of.setdefault(where[:3], []).append(kind)
    for index, tensor in enumerate(model.config.sequence_batching.control_input):
        path: FieldPath = ("sequence_batching", "control_input", index)
        if not tensor.control and not model.located.doubtful(*path):
            model.report(
                "SEQ008",
                f"control_input {tensor.name!r} has no control: the model never gets this tensor",
                path,
                fix="add  control [ { kind: CONTROL_SEQUENCE_START … } ], or remove it",
            )
        for place in range(len(tensor.control)):
            where = (*path, "control", place)
            if model.span(*where, "kind") is None and not model.located.doubtful(*where):
                model.report(
                    "SEQ008",
                    f"a control of {tensor.name!r} has no kind: that means START",
                    where,
                    fix="write kind: CONTROL_SEQUENCE_START if that is meant",
                )
        kinds = kinds_of.get(path, [])
        if len(kinds) > 1:
            model.report(
                "SEQ008",
                f"{tensor.name!r} carries {' and '.join(kinds)}: only the last arrives",
                (*path, "control", 1),
                fix="give each kind a tensor of its own",
            )


@check("SEQ009", "SEQ010")
def missing_controls(model: LintedModel) -> None:
    """What a model has to be told and is not."""
    config = model.config
    if not config.HasField("sequence_batching") or model.located.doubtful("sequence_batching"):
        return
    batching = config.sequence_batching
    kinds = {kind for _, _, _, kind in _controls(model)}
    tensors_only = backend(model) in _SEE_TENSORS
    remembered = len(batching.state) > 0
    blank = [state.input_name for state in batching.state if not state.initial_state]
    if "START" not in kinds and tensors_only and (blank or not remembered):
        why = (
            f"state {blank[0]!r} begins with whatever lay in memory, and nothing tells the model"
            if blank
            else "the model cannot tell where a sequence begins"
        )
        fix = "add initial_state, or a control_input" if blank else "add a control_input"
        model.report(
            "SEQ009",
            f"no control for START: {why}",
            ("sequence_batching",),
            fix=f"{fix} of kind CONTROL_SEQUENCE_START",
        )
    if "READY" in kinds or config.max_batch_size <= 1 or batching.HasField("oldest"):
        return
    model.report(
        "SEQ010",
        "no control for READY: the direct strategy executes slots without a request on whatever "
        "lies in memory, and only READY tells",
        ("sequence_batching",),
        fix="add a control_input of kind CONTROL_SEQUENCE_READY, or use  oldest { }",
        # Python models can tell by the request itself.
        severity=None if tensors_only else "info",
    )
