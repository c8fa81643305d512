"""The rules as data: each is looked for by a check, shown by its texts, and met by a test."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import pytest
from lint_corpus import cases

from pytest_triton.repository import lint as package
from pytest_triton.repository.lint import LintResult, Rule, lint, rules
from pytest_triton.repository.lint.registry import checks

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
_ID = re.compile(r'"([A-Z]{2,3}\d{3})"')
#: What the engine finds before there is anything to check.
ENGINE = {
    identity
    for name in ("engine.py", "suppress.py")
    for identity in _ID.findall((Path(str(package.__file__)).parent / name).read_text("utf-8"))
}

with_texts = pytest.mark.parametrize(
    "rule", [rule for rule in rules().values() if rule.bad], ids=lambda rule: rule.id
)


def alone(text: str, directory: Path) -> LintResult:
    """Lint a text as the lone configuration of a model."""
    path = directory / "model" / "config.pbtxt"
    path.parent.mkdir()
    path.write_text(text, "utf-8")
    return lint(path)


def test_each_rule_is_looked_for() -> None:
    looked_for = {identity for one in checks() for identity in one.rules}
    assert looked_for | ENGINE == set(rules())


def test_a_check_reports_its_own_rules() -> None:
    """Every rule that a module names is registered by one of its checks."""
    declared: dict[str, set[str]] = {}
    for one in checks():
        declared.setdefault(one.function.__module__, set()).update(one.rules)
    for module, registered in declared.items():
        named = set(_ID.findall(inspect.getsource(sys.modules[module])))
        assert named == registered, module


def test_each_rule_is_met_by_a_test() -> None:
    met = {one.partition("@")[0] for case in cases() for one in case.expect}
    for path in HERE.glob("test_*.py"):
        met |= set(re.findall(r"\b[A-Z]{2,3}\d{3}\b", path.read_text("utf-8")))
    missing = sorted(set(rules()) - met)
    assert not missing


@pytest.mark.parametrize("rule", rules().values(), ids=lambda rule: rule.id)
def test_a_rule_is_whole(rule: Rule) -> None:
    assert re.fullmatch(r"[A-Z]{2,3}\d{3}", rule.id)
    assert rule.title == rule.title.strip()
    assert rule.title[-1] not in ".:"
    assert rule.source
    assert len(rule.explanation.strip()) > 40
    assert bool(rule.bad) == bool(rule.good), "both texts, or none"
    assert rule.bad != rule.good or not rule.bad


@with_texts
def test_bad_breaks_the_rule(rule: Rule, tmp_path: Path) -> None:
    found = [finding.rule for finding in alone(rule.bad, tmp_path).findings]
    assert rule.id in found, f"reported are {found}"


@with_texts
def test_good_is_clean(rule: Rule, tmp_path: Path) -> None:
    findings = alone(rule.good, tmp_path).findings
    assert rule.id not in {finding.rule for finding in findings}
    loud = [f"{f.severity} {f.rule} {f.message}" for f in findings if f.severity != "info"]
    assert not loud
