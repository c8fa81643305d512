"""Every case of the corpus: lint says exactly what the case expects, and the corpus is varied."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from lint_corpus import (
    SERVER,
    Case,
    Verdict,
    cases,
    disagreement,
    fingerprint,
    normalised,
    said,
    test_names,
    write_case,
)

from pytest_triton.repository.lint import lint, rules


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_lint_says_what_is_expected(case: Case, tmp_path: Path) -> None:
    if case.needs_torch:
        pytest.importorskip("torch")
    write_case(tmp_path, case)
    result = lint(tmp_path)
    found, expected = said(result, case), sorted(case.expect)
    told = "\n".join(
        f"  {one.severity} {one.file}:{one.line}:{one.column} {one.rule} {one.message}"
        for one in result.findings
    )
    assert found == expected, f"{case.theme}.toml, {case.id}: {case.about}\n{told}"


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_a_case_is_whole(case: Case) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_]+", case.id)
    assert case.about
    assert case.server in SERVER
    assert bool(case.why_unrun) == (case.server == "unrun"), "unrun, and nothing else, needs why"
    assert not case.text or case.server == "refused", "only a refusal has a text"
    assert case.server != "refused" or case.text, "a refusal needs the server's words"
    wrong = [one for one in case.expect if not re.fullmatch(r"[A-Z]{2,3}\d{3}@\S.*", one)]
    assert not wrong
    unknown = {one.partition("@")[0] for one in case.expect} - set(rules())
    assert not unknown
    if case.looks_wrong:
        assert case.server in ("ready", "unrun")
        assert not [
            one for one in case.expect if rules()[one[: one.index("@")]].severity == "error"
        ]
    assert case.defect_count <= len(case.expect), "more defects than findings"
    assert not case.shown or case.shown in test_names(), f"there is no test {case.shown}"


def test_ids_are_unique() -> None:
    twice = [name for name, count in Counter(case.id for case in cases()).items() if count > 1]
    assert not twice


def test_models_beside_the_cases_do_not_clash() -> None:
    """All cases are served out of one repository."""
    ids = {case.id for case in cases()}
    seen: dict[str, tuple[str, object]] = {}
    for case in cases():
        for name, other in case.others.items():
            assert name not in ids, f"{case.id}: another model is called {name}, which is a case"
            first, known = seen.setdefault(name, (case.id, other))
            assert known == other, f"{name} is one thing in {first} and another in {case.id}"


def test_no_two_differ_only_in_names_and_numbers() -> None:
    groups = defaultdict(list)
    for case in cases():
        groups[fingerprint(case)].append(case.id)
    same = [names for names in groups.values() if len(names) > 1]
    assert not same, "\n".join(" = ".join(names) for names in same)


def test_there_are_enough_cases() -> None:
    everything = cases()
    count = len(everything)
    double = [case.id for case in everything if case.defect_count >= 2]
    looks = [case.id for case in everything if case.looks_wrong]
    numbers = f"{count} cases, {len(double)} with two defects, {len(looks)} that look wrong"
    assert count >= 120, numbers
    assert len(double) * 3 >= count, numbers
    assert len(looks) * 5 >= count, numbers


# -- the tools themselves --------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ('input { name: "a" dims: [ 4 ] }', 'input {name:"b" dims: [8]} # eight', True),
        ('input { name: "a" } input { name: "a" }', 'input { name: "a" } input { name: "b" }', False),
        ('name: "INPUT__0" name: "INPUT__1"', 'name: "X__0" name: "X__2"', True),
        ('name: "INPUT__0" name: "INPUT__0"', 'name: "X__0" name: "X__2"', False),
        ("max_batch_size: 8", "max_batch_size: 0", False),
        ("dims: [ -1 ]", "dims: [ 3 ]", False),
        ('backend: "python"', 'backend: "pytorch"', False),
        ('parameters { key: "A" value {} }', 'parameters { key: "B" value {} }', False),
        ("data_type: TYPE_FP32", "data_type: TYPE_FP16", False),
    ],
)  # fmt: skip
def test_normalising(left: str, right: str, same: bool) -> None:
    assert (normalised(left) == normalised(right)) is same


@pytest.mark.parametrize(
    ("outcome", "errors", "shown", "agree"),
    [
        ("ready", [], "", True),
        ("ready", ["SHP001@3"], "", False),
        ("ready", ["SHP001@3"], "test_it", True),
        ("ready", ["SHP001@3"], "test_nobody", False),
        ("refused", ["SHP001@3"], "", True),
        ("refused", [], "", False),
        ("hangs", [], "", False),
        ("crashes", [], "", False),
        ("hangs", ["LAY001@1"], "", True),
        ("unrun", ["LAY001@1"], "", True),
    ],
)
def test_disagreements_are_seen(outcome: str, errors: list[str], shown: str, agree: bool) -> None:
    case = Case("x", "x", shown=shown)
    assert (disagreement(case, Verdict(outcome), errors, {"test_it"}) == "") is agree
