"""Rules CFG001 to CFG008: the text of config.pbtxt."""

from __future__ import annotations

import difflib

from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.finding import Edit
from pytest_triton.repository.lint.gates import gate_of
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.lint.syntax import hint
from pytest_triton.repository.positions import Mistake, Position

#: What people write for a data type, and what Triton calls it.
_TYPES = {
    "FLOAT": "TYPE_FP32", "FLOAT16": "TYPE_FP16", "FLOAT32": "TYPE_FP32", "FLOAT64": "TYPE_FP64",
    "HALF": "TYPE_FP16", "DOUBLE": "TYPE_FP64", "BFLOAT16": "TYPE_BF16", "INT": "TYPE_INT32",
    "LONG": "TYPE_INT64", "BYTES": "TYPE_STRING", "STR": "TYPE_STRING", "BOOLEAN": "TYPE_BOOL",
    "BYTE": "TYPE_UINT8",
}  # fmt: skip
_RULES = {
    "syntax": "CFG002", "field": "CFG003", "value": "CFG004", "twice": "CFG005",
    "choice": "CFG006", "kind": "CFG007", "mark": "CFG002",
}  # fmt: skip


@check("CFG002", "CFG003", "CFG004", "CFG005", "CFG006", "CFG007", needs_config=False)
def mistakes(model: LintedModel) -> None:
    """Every mistake of the parser, with what it could have been."""
    for mistake in model.located.mistakes:
        if gate_of(mistake):
            continue  # a field of a newer Triton than the tritonclient that is installed
        fix, edits = _remedy(model, mistake)
        model.report(
            _RULES[mistake.kind], _told(model, mistake), mistake.position, fix=fix, edits=edits
        )


def _told(model: LintedModel, mistake: Mistake) -> str:
    refused = "Triton refuses the file"
    if mistake.kind == "field":
        return f"{mistake.within} has no field {mistake.name!r}: {refused}"
    if mistake.kind == "value":
        return f"{mistake.within} has no value {mistake.name}: {refused}"
    if mistake.kind == "twice":
        return f"{mistake.name} is set twice: {refused}"
    if mistake.kind == "choice":
        return f"{mistake.name} beside {mistake.choices[0]}, only one can be set: {refused}"
    if mistake.kind == "kind":
        field = [str(step) for step in mistake.path if isinstance(step, str)][-1]
        return f"{field} takes {_wanted(mistake)}, not {mistake.name}: {refused}"
    if mistake.kind == "mark":
        return f"{mistake.reason}: {refused}"
    return f"{hint(model.text, mistake).reason}: {refused}"


def _remedy(model: LintedModel, mistake: Mistake) -> tuple[str, tuple[Edit, ...]]:
    if mistake.kind == "mark":
        end = Position(1, 2)
        return "save it as UTF-8 without one", (Edit(mistake.position, end, ""),)
    if mistake.kind == "syntax":
        found = hint(model.text, mistake)
        return found.fix, found.edits
    if mistake.kind == "twice":
        return f"keep one {mistake.name}", ()
    if mistake.kind == "choice":
        return f"take out {mistake.name} or {mistake.choices[0]}", ()
    if mistake.kind == "kind" and mistake.within.startswith("an integer from"):
        return "write a number of that range", ()
    meant = _unquoted(mistake) if mistake.kind == "kind" else _meant(mistake)
    if not meant:
        return _choices(mistake), ()
    position = mistake.position
    end = Position(position.line, position.column + len(mistake.name))
    return f"write {meant}", (Edit(position, end, meant),)


def _choices(mistake: Mistake) -> str:
    """What can be said without a guess at what was meant."""
    if mistake.kind == "field":
        return f"take it out, or write a field of {mistake.within}"
    if mistake.kind == "value" and len(mistake.choices) <= 6:
        return f"write one of {', '.join(mistake.choices)}"
    return f"write {_wanted(mistake)}"


def _wanted(mistake: Mistake) -> str:
    within = mistake.within
    return within if within[:1].islower() else f"a value of {within}"


def _meant(mistake: Mistake) -> str:
    name = mistake.name.removeprefix("TYPE_").upper()
    for candidate in (_TYPES.get(name, ""), f"TYPE_{name}", f"KIND_{name}"):
        if candidate in mistake.choices:
            return candidate
    near = difflib.get_close_matches(mistake.name, mistake.choices, n=1, cutoff=0.75)
    return near[0] if near else ""


def _unquoted(mistake: Mistake) -> str:
    """A value of the right kind, where it is plain which one was meant."""
    text = mistake.name.strip("\"'")
    if mistake.within == "true or false":
        meaning = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false",
                   "off": "false"}  # fmt: skip
        return meaning.get(text.lower(), "")
    if mistake.within == "an integer":
        whole = text.removesuffix(".0").lstrip("+").replace("_", "")
        return whole if whole.removeprefix("-").isdigit() else ""
    if mistake.within == "a number":
        return text if text.replace(".", "", 1).isdigit() else ""
    if mistake.within == "a string":
        return f'"{text}"'
    return text if text.isidentifier() and text != mistake.name else ""


@check("CFG004")
def numbers(model: LintedModel) -> None:
    """Enumerations can be written as numbers, and protobuf takes those that mean nothing."""
    config = model.config
    for kind in ("input", "output"):
        for at, entry in enumerate(getattr(config, kind)):
            types = entry.DESCRIPTOR.fields_by_name["data_type"].enum_type
            if entry.data_type not in types.values_by_number:
                model.report(
                    "CFG004",
                    f"DataType has no value {entry.data_type}: Triton takes it, and no request "
                    "can have that type",
                    (kind, at, "data_type"),
                    fix="write the name of a type, such as TYPE_FP32",
                    severity="warning",
                )
    for at, group in enumerate(config.instance_group):
        if group.kind not in group.Kind.values():
            model.report(
                "CFG004",
                f"Kind has no value {group.kind}: Triton refuses the model",
                ("instance_group", at, "kind"),
                fix=f"write one of {', '.join(group.Kind.keys())}",
            )


@check("CFG008")
def encoding(model: LintedModel) -> None:
    """Bytes that are no UTF-8: harmless in a comment, a trap in a value."""
    if not (at := model.undecodable):
        return
    line = model.text.split("\n")[at.line - 1]
    if "#" in line[: at.column]:
        model.report(
            "CFG008", "a comment holds bytes that are no UTF-8: Triton does not read it", at,
            fix="save the file as UTF-8", severity="info",
        )  # fmt: skip
    else:
        model.report(
            "CFG008",
            "a value holds bytes that are no UTF-8: Triton loads it, and clients that ask for "
            "the configuration get a broken text",
            at,
            fix="save the file as UTF-8",
        )
