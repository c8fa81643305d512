"""Carry fixes out: several rounds, nothing is written before the outcome is known.

Comments and order stay, because a fix changes characters and never writes a file anew. After
each round everything is linted again: a fix that did not help, or after which something else
is wrong, is taken back. Only what was hidden by text that could not be read may come to light.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_triton.repository.config import ConfigError, read_text
from pytest_triton.repository.lint.context import LintOptions
from pytest_triton.repository.lint.engine import LintResult, lint
from pytest_triton.repository.lint.finding import Edit, Finding, apply_edits
from pytest_triton.repository.positions import Position

#: Spelling of fields and values: the text behind it was not looked at before.
_READING = ("CFG003", "CFG004")
_SYNTAX = "CFG002"
#: Rounds after which no more fixes are tried, whatever is left.
_ROUNDS = 200

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """One configuration, before and after its fixes."""

    path: Path
    #: As its findings call it.
    file: str
    before: str
    after: str
    #: What was put right, as it was found.
    fixed: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What fixing a path would change, and what is found afterwards."""

    changes: tuple[Change, ...]
    result: LintResult
    #: Findings whose fix was not carried out, because something else would be found then.
    refused: tuple[Finding, ...]


@dataclass(slots=True)
class _State:
    texts: dict[Path, str]
    result: LintResult
    fixed: list[tuple[Path, Finding]]
    refused: dict[_Key, Finding]


def plan(path: Path | str, options: LintOptions | None = None) -> Plan:
    """Everything that can be fixed mechanically; writes nothing."""
    path, options = Path(path), options or LintOptions()
    root = path if path.is_dir() else path.parent
    # What is switched off is not fixed, but it must not arise either.
    everything = replace(options, severities={})
    state = _State({}, lint(path, everything), [], {})
    size = None  # of a batch; halved until the fix that does harm is alone
    for _ in range(_ROUNDS):
        found = _candidates(state, root, options.severities)
        if not found:
            break
        batch, texts = _apply(found[:size], state.texts)
        after = lint(path, everything, texts=texts)
        if _better(state.result, after, [finding for _, finding in batch]):
            state.texts, state.result = texts, after
            state.fixed += batch
            size = None
        elif len(batch) == 1:
            state.refused[_key(batch[0][1])] = batch[0][1]
            size = None
        else:
            size = len(batch) // 2
    return Plan(
        tuple(_changes(state)),
        lint(path, options, texts=state.texts),
        tuple(state.refused.values()),
    )


def write(change: Change) -> str:
    """Replace the file at once; the reason when that is not done, else an empty text."""
    if change.path.is_symlink():
        return "it is a symbolic link: change the file that it leads to"
    temporary = change.path.with_name(f".{change.path.name}.{os.getpid()}")
    try:
        if read_text(change.path) != change.before:
            return "it has changed meanwhile"
        mode = change.path.stat().st_mode & 0o777
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(change.after.encode("utf-8"))
        temporary.chmod(mode)  # whatever the umask says
        temporary.replace(change.path)
    except ConfigError as error:
        return error.reason
    except OSError as error:
        temporary.unlink(missing_ok=True)
        return error.strerror or str(error)
    return ""


def _key(finding: Finding) -> _Key:
    return finding.file, finding.rule, finding.message


def _candidates(
    state: _State, root: Path, severities: Mapping[str, str]
) -> list[tuple[Path, Finding]]:
    """Findings that have edits; mistakes of reading alone while there are any."""
    found = [
        (root / finding.file, finding)
        for finding in state.result.findings
        if finding.edits
        and severities.get(finding.rule) != "off"
        and _key(finding) not in state.refused
        and (root / finding.file).is_file()
    ]
    return [one for one in found if one[1].rule in _READING] or found


def _apply(
    found: Sequence[tuple[Path, Finding]], texts: Mapping[Path, str]
) -> tuple[list[tuple[Path, Finding]], dict[Path, str]]:
    """As many of them as do not overlap, and the texts that come out."""
    batch: list[tuple[Path, Finding]] = []
    edits: dict[Path, tuple[Edit, ...]] = {}
    new = dict(texts)
    for path, finding in found:
        text = texts[path] if path in texts else read_text(path)
        before = edits.get(path, ())
        # Two findings may ask for the same change: it is made once.
        both = (*before, *(whole_line(text, e) for e in finding.edits))
        both = tuple(dict.fromkeys(both))
        try:
            new[path] = apply_edits(text, both)
        except ValueError:
            continue
        edits[path] = both
        batch.append((path, finding))
    return batch, new


def whole_line(text: str, edit: Edit) -> Edit:
    """An edit that takes out everything on its lines takes the lines too."""
    if edit.text:
        return edit
    lines = text.split("\n")
    before = lines[edit.start.line - 1][: edit.start.column - 1]
    after = lines[edit.end.line - 1][edit.end.column - 1 :]
    if before.strip() or after.strip():
        return edit
    if edit.end.line < len(lines):
        return Edit(Position(edit.start.line, 1), Position(edit.end.line + 1, 1), "")
    return edit


def _better(before: LintResult, after: LintResult, fixed: Sequence[Finding]) -> bool:
    """Whether the fixed findings are gone, and nothing else is wrong."""
    had, has = _count(before.findings), _count(after.findings)
    asked = _count(fixed)
    if any(has[key] > had[key] - times for key, times in asked.items()):
        return False
    gained = {rule for (file, rule), times in has.items() if times > had[file, rule]}
    if all(finding.rule in _READING for finding in fixed):
        return _SYNTAX not in gained
    if all(finding.severity != "info" for finding in fixed):
        # What is only worth knowing (of the batching that was added) is no harm.
        gained -= {one.rule for one in after.findings if one.severity == "info"}
    return not gained


def _count(findings: Sequence[Finding]) -> Counter[tuple[str, str]]:
    return Counter((finding.file, finding.rule) for finding in findings)


def _changes(state: _State) -> Iterator[Change]:
    for path, after in state.texts.items():
        fixed = tuple(finding for where, finding in state.fixed if where == path)
        if fixed:
            yield Change(path, fixed[0].file, read_text(path), after, fixed)
