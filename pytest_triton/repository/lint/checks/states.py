"""Rules SEQ011 to SEQ013, SEQ016: implicit states of a sequence, and what they begin with."""

from __future__ import annotations

from typing import Any

from pytest_triton.repository.lint.backends import backend
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.files import bytes_needed, size_of
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath

_STATE: FieldPath = ("sequence_batching", "state")


@check("SEQ011")
def whole(model: LintedModel) -> None:
    """The server accepts a state that lacks a field, and breaks at the first request."""
    for index, state in enumerate(model.config.sequence_batching.state):
        if model.located.doubtful(*_STATE, index):
            continue
        missing = [
            field for field in ("input_name", "output_name", "data_type")
            if not getattr(state, field)
        ]  # fmt: skip
        if missing:
            model.report(
                "SEQ011",
                f"state {state.input_name!r} has no {' and no '.join(missing)}: Triton loads the "
                "model, and its first request takes the model or the server down",
                (*_STATE, index),
                fix=f"add {', '.join(missing)}",
            )
        if not state.dims:
            model.report(
                "SEQ011",
                f"state {state.input_name!r} has no dims: it arrives without a batch dimension",
                (*_STATE, index),
                fix="add dims",
                severity="warning",
            )


@check("SEQ013")
def twice(model: LintedModel) -> None:
    """Two states of one name."""
    for field in ("input_name", "output_name"):
        seen: set[str] = set()
        for index, state in enumerate(model.config.sequence_batching.state):
            name = getattr(state, field)
            if name and name in seen:
                model.report(
                    "SEQ013",
                    f"two states have the {field} {name!r}: one of them is lost",
                    (*_STATE, index, field),
                    fix="give each state its own names",
                )
            seen.add(name)


@check("SEQ016")
def never_written(model: LintedModel) -> None:
    """The Python backend hands states in and takes none out."""
    if model.config.sequence_batching.state and backend(model) == "python":
        model.report(
            "SEQ016",
            "the Python backend does not keep states: each request of a sequence gets the "
            "initial one",
            _STATE,
            fix="keep it in the model, by request.correlation_id() and request.flags()",
        )


@check("SEQ012")
def initial(model: LintedModel) -> None:
    """Everything that the core refuses in initial_state."""
    started: set[str] = set()
    for index, state in enumerate(model.config.sequence_batching.state):
        path: FieldPath = (*_STATE, index, "initial_state")
        if len(state.initial_state) > 1:
            told = f"state {state.input_name!r} has {len(state.initial_state)} initial_state"
            _refused(model, told, (*path, 1), "keep one")
        elif state.initial_state and not model.located.doubtful(*_STATE, index):
            if state.input_name in started:
                told = f"a second initial_state for state {state.input_name!r}"
                _refused(model, told, (*path, 0), "remove one of the two states")
            started.add(state.input_name)
            _initial(model, state, state.initial_state[0], (*path, 0))


def _initial(model: LintedModel, state: Any, start: Any, path: FieldPath) -> None:
    if not start.name:
        _refused(model, "initial_state has no name", path, "add a name")
    if start.data_type != state.data_type:
        types = start.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
        names = [types[one.data_type].name if one.data_type in types else "?"
                 for one in (start, state)]  # fmt: skip
        told = f"initial_state has data_type {names[0]}, the state has {names[1]}"
        _refused(model, told, (*path, "data_type"), f"write {names[1]}")
    sizes, wanted = list(start.dims), list(state.dims)
    if len(sizes) != len(wanted):
        told = f"initial_state has dims {sizes}, the state has {wanted}"
        _refused(model, told, (*path, "dims"), "write as many sizes as the state has")
    elif -1 in sizes:
        told = f"initial_state has dims {sizes}: it cannot vary"
        _refused(model, told, (*path, "dims"), "write sizes that are fixed")
    elif any(want not in (-1, size) for size, want in zip(sizes, wanted, strict=True)):
        told = f"initial_state has dims {sizes}, the state has {wanted}"
        _refused(model, told, (*path, "dims"), f"write {wanted}")
    if start.WhichOneof("state_data") is None:
        told = "initial_state has neither zero_data nor data_file"
        _refused(model, told, path, "add zero_data: true")
    elif start.data_file and model.directory is not None and -1 not in sizes:
        file = f"initial_state/{start.data_file}"
        size, needed = size_of(model, file), bytes_needed(sizes, start.data_type)
        if size is None:
            told = f"there is no file {file}"
            _refused(model, told, (*path, "data_file"), "add it, or write zero_data: true")
        elif size < needed:
            told = f"{file} has {size} bytes, the state needs {needed}"
            _refused(model, told, (*path, "data_file"), "write all of its values")


def _refused(model: LintedModel, told: str, path: FieldPath, fix: str) -> None:
    model.report("SEQ012", f"{told}: Triton refuses the model", path, fix=fix)
