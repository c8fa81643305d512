"""The rules as data: ``rules/*.toml``, one file for each family."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pytest_triton.errors import Misused
from pytest_triton.repository.lint.finding import SEVERITIES, Severity

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDER = Path(__file__).parent / "rules"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its identity is ``id`` and stays; everything else may be worded better."""

    id: str
    severity: Severity
    title: str
    #: Where it was seen or read: a document of Triton's, a source file, a release.
    source: str
    #: Why it is a defect and what the server does with it; a few sentences.
    explanation: str
    #: A config.pbtxt that breaks the rule, and the same one put right (both are tested).
    bad: str = ""
    good: str = ""
    #: The file that declares it: the family.
    family: str = ""


@lru_cache(maxsize=1)
def rules() -> Mapping[str, Rule]:
    """Every rule by id, in the order of the files."""
    found: dict[str, Rule] = {}
    for path in sorted(_FOLDER.glob("*.toml")):
        for entry in tomllib.loads(path.read_text("utf-8"))["rule"]:
            made = Rule(**entry, family=path.stem.partition("-")[2])
            if made.id in found or made.severity not in SEVERITIES:
                raise ValueError(f"{path.name}: {made.id} twice, or with no severity")
            found[made.id] = made
    return found


def rule(identity: str) -> Rule:
    """One rule. Raises KeyError."""
    return rules()[identity]


def nearest(name: str) -> list[str]:
    """Rules that somebody could have meant, the nearest first."""
    wanted = name.strip().upper()
    family = wanted.rstrip("0123456789")
    digits = wanted[len(family) :].lstrip("0")
    if f"{family}{digits:0>3}" in rules():  # CFG3, CFG0003
        return [f"{family}{digits:0>3}"]
    close = difflib.get_close_matches(wanted, rules(), n=4, cutoff=0.6)
    return close or [one for one in rules() if one.rstrip("0123456789") == family][:4]


def families() -> tuple[str, ...]:
    """The letters that ids begin with, in the order of the files."""
    return tuple(dict.fromkeys(identity.rstrip("0123456789") for identity in rules()))


def matching(name: str) -> tuple[str, ...]:
    """The rules that a rule's id or a family stands for. Raises Misused."""
    wanted = name.strip().upper()
    if wanted in rules():
        return (wanted,)
    if wanted in families():
        return tuple(one for one in rules() if one.rstrip("0123456789") == wanted)
    near = nearest(wanted)
    raise Misused(
        f"there is no lint rule or family {name.strip()!r}",
        f"did you mean {', '.join(near)}?" if near else "see  pytest-triton lint --list",
    )
