"""Fixes: carried out together or not at all, and never to somebody's harm."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from lint_corpus import Case, cases, write_case

from pytest_triton.repository.lint import Edit, Finding, LintOptions, lint
from pytest_triton.repository.lint.catalogue import rules
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.finding import apply_edits
from pytest_triton.repository.lint.fixing import Change, plan, whole_line, write
from pytest_triton.repository.lint.registry import Registered
from pytest_triton.repository.positions import Position

TEXT = """\
# The first comment.
backend: "python"
max_batchsize: 8   # eight
input [ { name: "x" data_type: TYPE_FLOAT32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ] # last
"""


def config(directory: Path, text: str = TEXT) -> Path:
    path = directory / "m" / "config.pbtxt"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    return path


def edit(line: int, column: int, end_line: int, end_column: int, text: str = "") -> Edit:
    return Edit(Position(line, column), Position(end_line, end_column), text)


def only(monkeypatch: pytest.MonkeyPatch, *functions: object) -> None:
    """Lint with these checks alone; they report CFG003 (of reading) or any other rule."""
    from pytest_triton.repository.lint import engine

    made = tuple(Registered(function, tuple(rules()), False) for function in functions)  # type: ignore[arg-type]
    monkeypatch.setattr(engine, "checks", lambda: made)


def test_characters_change_and_nothing_else(tmp_path: Path) -> None:
    path = config(tmp_path)
    made = plan(path, LintOptions(severities={}))
    (change,) = made.changes
    expected = TEXT.replace("max_batchsize", "max_batch_size").replace("FLOAT32", "FP32")
    assert change.after.startswith(expected.rstrip("\n").rpartition("\n")[0])
    assert {finding.rule for finding in change.fixed} >= {"CFG003", "CFG004"}
    assert path.read_text() == TEXT
    assert write(change) == ""
    assert path.read_text() == change.after


def test_line_ends_stay(tmp_path: Path) -> None:
    path = config(tmp_path, TEXT.replace("\n", "\r\n"))
    (change,) = plan(path).changes
    assert write(change) == ""
    data = path.read_bytes()
    assert b"max_batch_size: 8   # eight\r\n" in data
    assert data.count(b"\n") == data.count(b"\r\n")


def test_what_is_switched_off_is_not_fixed(tmp_path: Path) -> None:
    path = config(tmp_path)
    off = {identity: "off" for identity in rules() if identity != "CFG004"}
    (change,) = plan(path, LintOptions(severities=off)).changes
    assert "max_batchsize" in change.after
    assert "TYPE_FP32" in change.after


def test_a_file_that_has_changed_is_left(tmp_path: Path) -> None:
    path = config(tmp_path)
    (change,) = plan(path).changes
    path.write_text("something else")
    assert write(change) == "it has changed meanwhile"
    assert path.read_text() == "something else"


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "config.pbtxt"
    assert write(Change(path, "config.pbtxt", "a", "b", ())) != ""


def harmful(model: LintedModel) -> None:
    """``version 1`` becomes 2, after which another rule is broken; ``two`` is put right."""
    if "one: 1" in model.text:
        model.report("CFG004", "one", Position(1, 1), edits=(edit(1, 6, 1, 7, "2"),))
    if "one: 2" in model.text:
        model.report("SUP002", "harm", Position(1, 1), severity="warning")
    if "two: 1" in model.text:
        model.report("SUP001", "two", Position(2, 1), edits=(edit(2, 6, 2, 7, "2"),))


def test_a_fix_that_does_harm_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_triton.repository.lint.fixing._READING", ())
    only(monkeypatch, harmful)
    made = plan(config(tmp_path, "one: 1\ntwo: 1\n"))
    (change,) = made.changes
    assert change.after == "one: 1\ntwo: 2\n"
    assert [finding.message for finding in change.fixed] == ["two"]
    assert [finding.message for finding in made.refused] == ["one"]
    assert [finding.message for finding in made.result.findings] == ["one"]


def useless(model: LintedModel) -> None:
    model.report("SUP001", "always", Position(1, 1), edits=(edit(1, 1, 1, 1, " "),))


def test_a_fix_that_does_not_help_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, useless)
    made = plan(config(tmp_path))
    assert made.changes == ()
    assert [finding.message for finding in made.refused] == ["always"]


def chain(model: LintedModel) -> None:
    """Each round brings the next: 1 to 2 to 3."""
    for number, rule in (("1", "CFG003"), ("2", "SUP001")):
        if f"a: {number}" in model.text:
            after = str(int(number) + 1)
            model.report(rule, number, Position(1, 1), edits=(edit(1, 4, 1, 5, after),))


def test_rounds_until_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, chain)
    (change,) = plan(config(tmp_path, "a: 1\n")).changes
    assert change.after == "a: 3\n"
    assert [finding.rule for finding in change.fixed] == ["CFG003", "SUP001"]


def overlapping(model: LintedModel) -> None:
    if model.text.startswith("ab"):
        model.report("SUP001", "left", Position(1, 1), edits=(edit(1, 1, 1, 3, "x"),))
        model.report("SUP001", "right", Position(1, 2), edits=(edit(1, 2, 1, 4, "y"),))


def test_of_overlapping_fixes_one_is_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, overlapping)
    (change,) = plan(config(tmp_path, "abc\n")).changes
    assert change.after == "xc\n"
    assert len(change.fixed) == 1


def twice(model: LintedModel) -> None:
    """Two findings with one remedy."""
    if "end" not in model.text:
        for rule in ("SUP001", "SUP002"):
            model.report(rule, rule, edits=model.appending("end\n"))


def test_one_change_for_two_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, twice)
    (change,) = plan(config(tmp_path, "a\n")).changes
    assert change.after == "a\nend\n"
    assert len(change.fixed) == 2


@pytest.mark.parametrize(
    ("text", "removed", "after"),
    [
        ("a\n  b: 1\nc\n", edit(2, 3, 2, 7), "a\nc\n"),
        ("a\n  b {\n  }\nc\n", edit(2, 3, 3, 4), "a\nc\n"),
        ("a\n  b: 1 # why\nc\n", edit(2, 3, 2, 7), "a\n   # why\nc\n"),
        ("a b: 1\n", edit(1, 3, 1, 7), "a \n"),
        ("a\nb", edit(2, 1, 2, 2), "a\n"),
        ("a\nb\n", edit(2, 1, 2, 2, "c"), "a\nc\n"),
    ],
)
def test_an_empty_line_does_not_stay(text: str, removed: Edit, after: str) -> None:
    assert apply_edits(text, (whole_line(text, removed),)) == after


# -- the whole corpus ------------------------------------------------------------------


def comments(text: str) -> Counter[str]:
    return Counter(re.findall(r"#[^\n]*", re.sub(r'"(?:[^"\\\n]|\\.)*"', "", text)))


def kinds(findings: Sequence[Finding]) -> Counter[tuple[str, str]]:
    return Counter((finding.file, finding.rule) for finding in findings)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_the_fixes_of_the_corpus(case: Case, tmp_path: Path) -> None:
    """What is fixed is gone, nothing that was not broken is new, and comments survive."""
    if case.needs_torch:
        pytest.importorskip("torch")
    model = write_case(tmp_path, case)
    path = model / "config.pbtxt"
    if path.is_file() and not path.is_symlink() and case.config is not None:
        path.write_text(f"# first\n{case.config.rstrip()}  # last\n")
    before = kinds(lint(tmp_path).findings)
    made = plan(tmp_path)
    harmless = {(f.file, f.rule) for f in made.result.findings if f.severity == "info"}
    fixed: list[Finding] = []
    for change in made.changes:
        assert write(change) == ""
        assert not comments(change.before) - comments(change.after)
        fixed += change.fixed
    after = kinds(lint(tmp_path).findings)
    assert after == kinds(made.result.findings)
    hidden = {finding.file for finding in fixed if finding.rule in ("CFG003", "CFG004")}
    if not hidden:
        assert set(after - before) <= harmless
        # A field that goes takes with it what else was said of it.
        assert after - (after - before) <= before - kinds(fixed)
    assert plan(tmp_path).changes == (), "fixing again changes something again"
