"""A rubric: what is graded and how many points it is worth, as data. An instructor's file.

Points are whole thousandths inside: sums have no rounding.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from pytest_triton.criteria.catalogue import Catalogue
from pytest_triton.errors import Misused
from pytest_triton.options import TIERS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

THOUSAND = 1000
_EXAMPLE = (
    "see docs/how-to/grade-with-your-own-rubric.md; --print writes ours as a file to start from"
)

#: JSON Schema of the file, once TOML is read.
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "rubric of pytest-triton",
    "type": "object",
    "required": ["id", "criterion"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "minLength": 1, "description": "of this rubric, and its year"},
        "version": {"type": "string"},
        "criterion": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["id", "tier", "title", "points", "clauses"],
                "additionalProperties": False,
                "properties": {
                    "id": {"type": "string", "pattern": "^[A-Z][A-Za-z0-9_-]{0,15}$"},
                    "tier": {"enum": list(TIERS)},
                    "title": {"type": "string", "minLength": 1},
                    "points": {"type": "number", "minimum": 0, "maximum": 100000},
                    "clauses": {
                        "type": "array",
                        "items": {"type": "string"},
                        "uniqueItems": True,
                        "description": "ids; none: a person marks it",
                    },
                    "partial": {
                        "type": "object",
                        "required": ["clause", "measurement", "steps"],
                        "additionalProperties": False,
                        "description": "a share of the points by a measured number, where the clause "
                        "is all that fails",
                        "properties": {
                            "clause": {"type": "string"},
                            "measurement": {"type": "string"},
                            "steps": {
                                "type": "array",
                                "minItems": 2,
                                "items": {
                                    "type": "array",
                                    "minItems": 2,
                                    "maxItems": 2,
                                    "prefixItems": [
                                        {"type": "number"},
                                        {"type": "number", "minimum": 0, "maximum": 1},
                                    ],
                                },
                                "description": "[value, share], by ascending value; linear between "
                                "them, and as the nearest one beyond",
                            },
                        },
                    },
                },
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class Partial:
    """Share of the points by a measured number: ``steps`` of (value, share), ascending."""

    clause: str
    measurement: str
    steps: tuple[tuple[Fraction, Fraction], ...]

    def share(self, measured: float) -> Fraction:
        """Linear between two steps, and that of the nearest one beyond them; exact."""
        steps, value = self.steps, Fraction(str(measured))
        if value <= steps[0][0]:
            return steps[0][1]
        for (low, one), (high, two) in pairwise(steps):
            if value <= high:
                return one + (two - one) * (value - low) / (high - low)
        return steps[-1][1]


@dataclass(frozen=True, slots=True)
class Graded:
    """One criterion; ``milli`` are thousandths of a point."""

    id: str
    tier: str
    title: str
    milli: int
    clauses: tuple[str, ...]
    partial: Partial | None = None


@dataclass(frozen=True, slots=True)
class Rubric:
    """All criteria, in order. ``sha256`` is of the file."""

    id: str
    version: str
    sha256: str
    criteria: tuple[Graded, ...]


def thousandths(value: float | int, place: str) -> int:
    """Points as whole thousandths. Misused for a finer number."""
    try:
        made = Decimal(str(value)) * THOUSAND
    except InvalidOperation:
        raise Misused(f"{place}: {value!r} is no number of points", _EXAMPLE) from None
    if made != made.to_integral_value():
        raise Misused(f"{place}: {value!r} points are finer than thousandths", _EXAMPLE)
    return int(made)


def read(path: Path, known: Sequence[str]) -> Rubric:
    """A rubric whose clauses are ``known``. Raises Misused that names the entry."""
    import jsonschema

    try:
        data = path.read_bytes()
        document = tomllib.loads(data.decode("utf-8"))
    except (OSError, ValueError) as error:
        raise Misused(f"{path}: {error}", _EXAMPLE) from None
    try:
        jsonschema.Draft202012Validator(SCHEMA).validate(document)
    except jsonschema.ValidationError as error:
        raise Misused(f"{path}: {error.json_path}: {error.message[:200]}", _EXAMPLE) from None
    criteria = [_graded(path, entry, set(known)) for entry in document["criterion"]]
    ids = [one.id for one in criteria]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise Misused(f"{path}: criterion {twice[0]} comes twice", _EXAMPLE)
    digest = hashlib.sha256(data).hexdigest()
    return Rubric(document["id"], document.get("version", ""), digest, tuple(criteria))


def _graded(path: Path, entry: Mapping[str, Any], known: set[str]) -> Graded:
    place = f"{path}: {entry['id']}"
    if unknown := [name for name in entry["clauses"] if name not in known]:
        raise Misused(f"{place} names a clause that the report does not have: {unknown[0]}",
                      "pytest-triton explain --list has ours")  # fmt: skip
    partial = None
    if given := entry.get("partial"):
        if given["clause"] not in entry["clauses"]:
            raise Misused(f"{place}: partial is by {given['clause']}, which is none of its clauses",
                          _EXAMPLE)  # fmt: skip
        steps = tuple(
            (Fraction(str(value)), Fraction(str(share))) for value, share in given["steps"]
        )
        if any(one[0] >= two[0] for one, two in pairwise(steps)):
            raise Misused(f"{place}: the steps of partial do not ascend", _EXAMPLE)
        partial = Partial(given["clause"], given["measurement"], steps)
    return Graded(entry["id"], entry["tier"], entry["title"], thousandths(entry["points"], place),
                  tuple(entry["clauses"]), partial)  # fmt: skip


def printed(catalogue: Catalogue) -> str:
    """Our own criteria as a rubric's file."""
    lines = ['id = "triton-lab"', 'version = "1"']
    for criterion in catalogue.criteria.values():
        names = [clause.id for clause in catalogue.of(criterion.id)]
        lines += [
            "", "[[criterion]]", f'id = "{criterion.id}"', f'tier = "{criterion.tier}"',
            f"title = {json.dumps(criterion.title, ensure_ascii=False)}",
            f"points = {criterion.points:g}", f"clauses = {json.dumps(names)}",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"
