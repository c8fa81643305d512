"""The remedies of load errors name the rule of lint that finds the same before a server does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lint_corpus import Case, cases

from pytest_triton.launch.reasons import RULES, explain
from pytest_triton.repository.lint import rules

REFUSED = [case for case in cases() if case.server == "refused" and case.text]


def test_they_name_rules_that_there_are() -> None:
    named = {rule.lint for rule in RULES if rule.lint}
    assert named <= set(rules())
    assert len(named) >= 15


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_a_case_that_is_refused_gets_its_own_rule(case: Case, tmp_path: Path) -> None:
    _, remedy = explain(case.text, case.id, tmp_path)
    if found := re.search(r"\(lint rule (\w+)\)", remedy):
        assert found[1] in {one.partition("@")[0] for one in case.expect}, case.text
