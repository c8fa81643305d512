"""The catalogue: ours is whole, and what contradicts itself is refused."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from pytest_triton.criteria import Catalogue, CatalogueError, Status, load
from pytest_triton.criteria.outcome import Result
from pytest_triton.criteria.requires import ExpressionError, holds, names
from pytest_triton.criteria.waivers import Waiver, apply
from pytest_triton.options import AREAS, TIERS

CRITERION = {"id": "T1", "tier": "basic", "title": "t", "points": 1}
CLAUSE = {
    "id": "TEAM-01", "area": "setup", "criteria": ["T1"], "title": "t", "must": "It MUST be.",
    "source": "s", "hint": "h",
}  # fmt: skip


def test_ours_is_whole() -> None:
    own = load()
    assert set(own.criteria) == {f"{letter}{n}" for letter in "BAE" for n in range(1, 5)}
    assert sum(criterion.points for criterion in own.criteria.values()) == 100
    assert {criterion.tier for criterion in own.criteria.values()} == set(TIERS)
    for name in own.criteria:
        assert own.of(name), f"{name} has no clause"
    for clause in own.clauses.values():
        assert clause.area in AREAS
        assert clause.hint, clause.id
        assert clause.source, clause.id


def test_every_test_names_a_clause_and_every_clause_has_a_test() -> None:
    suites = Path(__file__).resolve().parents[2] / "suites"
    text = "\n".join(path.read_text("utf-8") for path in suites.glob("test_*.py"))
    named = set(re.findall(r'@pytest\.mark\.clause\("([^"]+)"\)', text))
    built = {name for name, clause in load().clauses.items() if clause.built}
    assert named == built
    for found in re.finditer(r"^((?:@.*\n|    .*\n|\)\n)*)def test_(\w+)", text, re.MULTILINE):
        assert "mark.clause(" in found[1], found[2]


def test_exact_counters_are_taken_alone() -> None:
    """Tests that hold counters of the shared server against what they sent."""
    exclusive = {name for name, clause in load().clauses.items() if clause.exclusive}
    assert {"MTR-04", "MTR-05", "MTR-08", "STA-02"} <= exclusive


def test_each_copy_is_its_own() -> None:
    one = load()
    one.clauses.clear()
    assert load().clauses
    with pytest.raises(CatalogueError, match="changed"):
        one.check()
    load().check()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"id": "team-1"}, "no clause id"),
        ({"id": "TEAM-1"}, "no clause id"),
        ({"must": "it should"}, "MUST"),
        ({"area": "speed"}, "area 'speed' is unknown"),
        ({"criteria": ["T9"]}, "names no criterion 'T9'"),
        ({"needs": ["luck"]}, "need 'luck' is unknown"),
        ({"after": ["luck"]}, "prerequisite 'luck' is unknown"),
        ({"requires": "luck"}, "capability 'luck' is unknown"),
        ({"requires": "owned and"}, "requires: cannot read"),
        ({"requires": "owned()"}, "has no place"),
        ({"colour": "red"}, "unknown keys colour"),
    ],
)
def test_a_clause_that_is_refused(change: dict, text: str) -> None:
    made = Catalogue()
    with pytest.raises(CatalogueError, match=re.escape(text)) as caught:
        made.add({"criterion": [CRITERION], "clause": [{**CLAUSE, **change}]}, origin="team.toml")
    assert "team.toml" in str(caught.value)


@pytest.mark.parametrize("key", ["id", "area", "title", "must", "source", "hint"])
def test_a_clause_that_lacks_a_key(key: str) -> None:
    entry = {name: value for name, value in CLAUSE.items() if name != key}
    with pytest.raises(CatalogueError, match=f"lacks {key}"):
        Catalogue().add({"criterion": [CRITERION], "clause": [entry]}, origin="x")


@pytest.mark.parametrize(
    ("change", "text"),
    [({"tier": "gold"}, "tier 'gold'"), ({"id": "1"}, "no criterion id"),
     ({"shows": ["no clause"]}, "shows")],
)  # fmt: skip
def test_a_criterion_that_is_refused(change: dict, text: str) -> None:
    with pytest.raises(CatalogueError, match=text):
        Catalogue().add({"criterion": [{**CRITERION, **change}]}, origin="x")


@pytest.mark.parametrize(
    "data", [{"clause": [{**CLAUSE, "id": "HLT-05"}]}, {"criterion": [{**CRITERION, "id": "B1"}]}]
)
def test_ids_are_taken_once(data: dict) -> None:
    made = load()
    made.add({"criterion": [CRITERION]}, origin="x")
    with pytest.raises(CatalogueError, match="exists already"):
        made.add(data, origin="y")


def test_releases() -> None:
    made = Catalogue()
    made.add({"clause": [{**CLAUSE, "criteria": [], "releases": ["24.01", "24.07"]}]}, origin="x")
    holds_for = made.clauses["TEAM-01"].holds_for
    assert [holds_for(r) for r in ("23.10", "24.01", "24.07", "24.10", None)] == [
        False, True, True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "true", "wanted"),
    [
        ("", set(), True),
        ("a", {"a"}, True),
        ("a", set(), False),
        ("not a", set(), True),
        ("a and not b", {"a", "b"}, False),
        ("a or b and c", {"a"}, True),
        ("(a or b) and c", {"a"}, False),
    ],
)
def test_requires(text: str, true: set[str], wanted: bool) -> None:
    assert holds(text, true.__contains__) is wanted


def test_requires_asks_no_more_than_it_needs() -> None:
    asked: list[str] = []

    def capability(name: str) -> bool:
        asked.append(name)
        return name == "a"

    assert holds("a or b", capability)
    assert not holds("b and a", capability)
    assert asked == ["a", "b"]
    assert names("a and (b or not c)") == {"a", "b", "c"}


@pytest.mark.parametrize(
    "text", ["a.b", "a == b", "1", "a if b else c", "a; b", "lambda: a", "a +"]
)
def test_requires_is_no_code(text: str) -> None:
    with pytest.raises(ExpressionError):
        names(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [("fail", "waived"), ("pass", "error"), ("error", "error"), ("inconclusive", "inconclusive"),
     ("not_assessed", "not_assessed")],
)  # fmt: skip
def test_what_a_waiver_waives(before: str, after: str) -> None:
    results = {"X": Result("X", Status(before), reason="why")}
    apply({"X": Waiver("X", "known", dt.date(2999, 1, 1))}, results)
    assert results["X"].status.value == after
