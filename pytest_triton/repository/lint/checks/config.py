"""Rules CFG002 to CFG004: what protobuf's parser says of the text."""

from __future__ import annotations

import difflib

from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.finding import Edit
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import Mistake, Position

#: What people write for a data type, and what Triton calls it.
_TYPES = {
    "FLOAT": "TYPE_FP32", "FLOAT16": "TYPE_FP16", "FLOAT32": "TYPE_FP32", "FLOAT64": "TYPE_FP64",
    "HALF": "TYPE_FP16", "DOUBLE": "TYPE_FP64", "BFLOAT16": "TYPE_BF16", "INT": "TYPE_INT32",
    "LONG": "TYPE_INT64", "BYTES": "TYPE_STRING", "STR": "TYPE_STRING", "BOOLEAN": "TYPE_BOOL",
    "BYTE": "TYPE_UINT8",
}  # fmt: skip


@check("CFG002", "CFG003", "CFG004", needs_config=False)
def mistakes(model: LintedModel) -> None:
    """Every mistake of the parser, with what it could have been."""
    rules = {"syntax": "CFG002", "field": "CFG003", "value": "CFG004"}
    for mistake in model.located.mistakes:
        meant = _meant(mistake)
        edits: tuple[Edit, ...] = ()
        if meant:
            position = mistake.position
            end = Position(position.line, position.column + len(mistake.name))
            edits = (Edit(position, end, meant),)
        model.report(
            rules[mistake.kind],
            _told(mistake),
            mistake.position,
            fix=f"write {meant}" if meant else "",
            edits=edits,
        )


def _told(mistake: Mistake) -> str:
    if mistake.kind == "field":
        return f"{mistake.within} has no field {mistake.name!r}: Triton refuses the file"
    if mistake.kind == "value":
        return f"{mistake.within} has no value {mistake.name}: Triton refuses the file"
    return f"{mistake.reason}: Triton refuses the file"


def _meant(mistake: Mistake) -> str:
    name = mistake.name.removeprefix("TYPE_").upper()
    for candidate in (_TYPES.get(name, ""), f"TYPE_{name}", f"KIND_{name}"):
        if candidate in mistake.choices:
            return candidate
    near = difflib.get_close_matches(mistake.name, mistake.choices, n=1, cutoff=0.75)
    return near[0] if near else ""
