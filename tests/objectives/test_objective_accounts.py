"""Two accounts of one window, and what each failure is in them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pytest_triton.errors import ToolError
from pytest_triton.objectives.accounts import Accounts, kind_of
from pytest_triton.objectives.judging import availability, requests_needed
from pytest_triton.objectives.stating import Objective, read

FULL = "503 Exceeds maximum queue size"
RAISED = "500 Failed to process the request(s) for model 'm_0_0', message: RuntimeError"


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        (FULL, "nowhere"),
        ("503 Request timeout expired", "failure"),
        (RAISED, "failure"),
        ("500 Stub process 'm_0_0' is not healthy.", "failure"),
        ("500 the model says no", "unknown"),
        ("404 Request for unknown model: 'nope' is not found", "nowhere"),
        ("400 unexpected shape for input 'X'", "nowhere"),
        ("503 Service Unavailable", "unknown"),
        ("502 Bad Gateway", "unknown"),
        ("cannot connect: timeout", "unknown"),
        ("the connection was closed before the whole answer", "unknown"),
        ("DEADLINE_EXCEEDED: Deadline Exceeded", "unknown"),
        ("no answer within 10 s", "unknown"),
        ("something nobody knows", "unknown"),
    ],
)
def test_where_a_failure_is_counted(text: str, counted: str) -> None:
    assert kind_of(text).counted == counted


def test_accounts_that_agree() -> None:
    seen = Accounts(90, 10, 90, 10, {RAISED: 10})
    assert seen.client == seen.server == 0.9
    assert not seen.findings()
    assert not seen.missing()
    assert not seen.surplus()
    assert math.isnan(Accounts(0, 0, 0, 0, {}).client)


def test_what_only_clients_see_is_found() -> None:
    seen = Accounts(90, 10, 90, 2, {FULL: 8, RAISED: 2})
    assert seen.server > seen.client
    (text,) = seen.findings()
    assert "8 of 10 failures" in text
    assert "8× a full queue" in text
    assert not seen.missing()
    assert not seen.surplus()


@pytest.mark.parametrize(
    ("seen", "missing", "surplus"),
    [
        (Accounts(100, 0, 60, 0, {}), "something in front of it answers", ""),
        (Accounts(90, 10, 90, 4, {RAISED: 10}), "kinds that Triton counts, it counts 4", ""),
        (Accounts(100, 0, 150, 0, {}), "", "somebody else asks too"),
        # what a client gave up on, or a model answered as an error, may count as a success
        (Accounts(90, 10, 100, 0, {"500 the model says no": 10}), "", ""),
        (Accounts(90, 10, 90, 10, {"no answer within 1 s": 10}), "", ""),
        (Accounts(100, 0, 100, 7, {}), "", "a gateway repeats requests"),
        (Accounts(90, 10, 90, 10, {FULL: 10}), "", "a gateway repeats requests"),
    ],
)
def test_accounts_that_contradict_each_other(seen: Accounts, missing: str, surplus: str) -> None:
    assert missing in seen.missing()
    assert bool(seen.missing()) == bool(missing)
    assert surplus in seen.surplus()
    assert bool(seen.surplus()) == bool(surplus)


@pytest.mark.parametrize(
    ("good", "bad", "verdict"),
    [(1000, 0, "pass"), (990, 10, "inconclusive"), (940, 60, "fail"), (0, 0, "inconclusive"),
     (100, 0, "inconclusive"), (0, 3, "fail")],
)  # fmt: skip
def test_an_availability_is_told_or_not(good: int, bad: int, verdict: str) -> None:
    found = availability(good, bad, 99.0, by="by somebody")
    assert found.verdict == verdict, found
    if good + bad:
        assert found.interval is not None
        assert found.interval[0] <= found.value <= found.interval[1]


def test_how_many_requests_show_it() -> None:
    for percent in (95.0, 99.0, 99.9):
        needed = requests_needed(percent)
        assert availability(needed, 0, percent, by="").verdict == "pass"
        assert availability(needed - 1, 0, percent, by="").verdict == "inconclusive"


def test_a_false_pass_is_rare() -> None:
    """At an availability just below what is asked for, of 4000 windows."""
    import numpy as np

    bad = np.random.default_rng(3).binomial(2000, 0.0105, 4000)
    verdicts = [availability(2000 - int(n), int(n), 99.0, by="").verdict for n in bad]
    assert verdicts.count("pass") / len(verdicts) <= 0.01


def test_objectives_are_read(tmp_path: Path) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(
        '[[objective]]\nmodel = "llm"\navailability = 99.5\nttft_p95_ms = 300\nrate = 2\n'
        '[[budget]]\nmodel = "m"\nrate = 5\np95_ms = 40\n'
    )
    assert read(file) == [Objective("llm", 99.5, ttft_p95_ms=300, rate=2)]
    file.write_text('[[budget]]\nmodel = "m"\nrate = 5\np95_ms = 40\n')
    assert read(file) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("availability = 99", "names no model"),
        ('model = "m"\navailability = 100', "below 100"),
        ('model = "m"\navailability = -1', "above 0"),
        ('model = "m"\np95 = 5', "'p95' is not known"),
        ('model = "m"\np95_ms = "5 ms"', "a number above 0"),
        ('model = "m"\np95_ms = 0', "a number above 0"),
        ('model = "m"\nconcurrency = 1.5', "a number above 0"),
        ('model = "m"\nrate = 1\nconcurrency = 1', "both rate and concurrency"),
        ('model = "m', "objective|llm|Illegal|Unterminated|budgets.toml"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text(f"[[objective]]\n{text}\n")
    with pytest.raises(ToolError, match=told):
        read(file)
