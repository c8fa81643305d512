"""Rules that a configuration itself switches off, in comments.

    # triton-lint: disable=BAT002          on a line of its own: for the whole model
    max_batch_size: 8  # triton-lint: disable=BAT002, WRM because requests are rare

What stands behind the rules is a reason for people. A family (BAT) stands for all its rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_triton.repository.lint.catalogue import families, nearest, rules
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.finding import Finding
from pytest_triton.repository.positions import Position

#: A line up to its comment: a ``#`` in a string begins none.
_CODE = re.compile(r"""(?:[^#"'\n]|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|["'])*""")
_COMMENT = re.compile(r"#\s*triton-lint\b\s*:?\s*(.*)")
_DISABLE = re.compile(r"disable\s*=\s*(\w+(?:\s*,\s*\w+)*)")
#: Rules about suppressions are not switched off by themselves.
_OWN = ("SUP001", "SUP002")


@dataclass(frozen=True, slots=True)
class Suppression:
    """One name of one comment."""

    #: A rule or a family.
    name: str
    position: Position
    #: For every line and file of the model, not for its own line alone.
    whole: bool

    def covers(self, finding: Finding, file: str) -> bool:
        """Whether it takes this finding away; ``file`` is the configuration's name."""
        if finding.rule in _OWN or not finding.rule.startswith(self.name):
            return False
        return self.whole or (finding.file == file and finding.line == self.position.line)


def suppress(model: LintedModel) -> list[Finding]:
    """The model's findings without those that its comments switch off.

    A comment that cannot be understood, or that switches nothing off, is a finding itself.
    """
    file = model.shown_file()
    kept, used = [], set()
    found = list(_suppressions(model))
    for finding in model.findings:
        by = [one for one in found if one.covers(finding, file)]
        used.update(by)
        if not by:
            kept.append(finding)
    model.findings = kept
    # What depends on other files, or on options that were not given, may be found elsewhere.
    whole = model.repository is not None and model.repository.whole
    for one in found:
        if one not in used and whole:
            model.report(
                "SUP001",
                f"nothing of {one.name} is found here: the comment switches nothing off",
                one.position,
                fix=f"remove {one.name} from the comment",
            )
    return model.findings


def _suppressions(model: LintedModel) -> Iterator[Suppression]:
    if "triton-lint" not in model.text:
        return
    for number, line in enumerate(model.text.split("\n"), 1):
        code = _CODE.match(line)
        before = code.end() if code else 0
        comment = _COMMENT.match(line, before)
        if comment is None:
            continue
        said = _DISABLE.match(comment[1])
        if said is None:
            position = Position(number, before + 1)
            model.report(
                "SUP002",
                f"the comment {comment[1].strip()!r} is not understood: nothing is switched off",
                position,
                fix="write  # triton-lint: disable=RULE",
            )
            continue
        begin = comment.start(1) + said.start(1)
        for name in re.finditer(r"\w+", said[1]):
            position = Position(number, begin + name.start() + 1)
            if name[0] in rules() or name[0] in families():
                yield Suppression(name[0], position, not line[:before].strip())
                continue
            near = nearest(name[0])
            model.report(
                "SUP002",
                f"there is no rule {name[0]}: nothing is switched off",
                position,
                fix=f"write {near[0]}" if near else "",
            )
