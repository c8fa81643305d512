"""What an event adds: every witness has to say the same, and exactly what is accepted."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_triton.counting import Counts
from pytest_triton.metered import FAILURE, SUCCESS, Metered, rises
from pytest_triton.monitor.metrics import Scrape, parse
from pytest_triton.scraping import contradiction
from pytest_triton.vanishing import Vanished


def page(success: int = 0, rejected: int = 0, executions: int = 0, model: str = "m") -> Scrape:
    head = f'model="{model}",version="1"'
    return parse(
        f"# HELP {SUCCESS} Good\n# TYPE {SUCCESS} counter\n{SUCCESS}{{{head}}} {success}\n"
        f"# HELP {FAILURE} Bad\n# TYPE {FAILURE} counter\n"
        f'{FAILURE}{{{head},reason="REJECTED"}} {rejected}\n{FAILURE}{{{head},reason="OTHER"}} 7\n'
        f"# HELP nv_inference_exec_count Executions\n# TYPE nv_inference_exec_count counter\n"
        f"nv_inference_exec_count{{{head}}} {executions}\n"
    )


def seen(after: Scrape, **told: int) -> Metered:
    return Metered(page(2, 1, 2), after, {"m": Counts(**told)})


REJECTED = f'{FAILURE}{{reason="REJECTED"}}'


def test_what_is_accepted() -> None:
    both = [{"m": {REJECTED: 1.0}}, {"m": rises(1, executions=1)}]
    assert seen(page(2, 2, 2), failure=1).flaw(both) == ""
    assert seen(page(3, 1, 3), success=1, executions=1).flaw(both) == ""
    assert seen(page(2, 1, 2)).flaw([{"m": rises()}]) == ""


@pytest.mark.parametrize(
    ("after", "told", "says"),
    [
        (page(2, 1, 2), {}, f"m: {REJECTED} rose by 0, expected 1"),
        (page(2, 3, 2), {"failure": 2}, f"m: {REJECTED} rose by 2, expected 1"),
        (page(3, 2, 2), {"success": 1, "failure": 1}, f"m: {SUCCESS} rose by 1, expected 0"),
        (page(1, 2, 2), {"failure": 1}, f"m: {SUCCESS} rose by -1, expected 0"),
        (page(2, 2, 2), {}, "m: the metrics count 1 failures, the statistics 0"),
        (page(2, 2, 2), {"failure": 1, "inferences": 1}, "m: the metrics count 0 inferences"),
    ],
)
def test_what_is_not(after: Scrape, told: dict[str, int], says: str) -> None:
    assert seen(after, **told).flaw([{"m": {REJECTED: 1.0}}]).startswith(says)


class _Model:
    versions = ("1",)


class _Subject:
    def __init__(self) -> None:
        self.models = {"m": _Model()}


def contradicts(before: Scrape, after: Scrape) -> str:
    subject: Any = _Subject()
    return contradiction(subject, before, after)


def test_scrapes_that_contradict_each_other() -> None:
    one = page(2, 1, 2)
    assert contradicts(one, one) == contradicts(one, page(3, 1, 4)) == ""
    assert contradicts(one, page(1, 1, 2)) == (
        f'{SUCCESS}{{model="m",version="1"}} falls from 2 to 1'
    )
    gone = parse(one.text.replace('nv_inference_exec_count{model="m",version="1"} 2\n', ""))
    assert contradicts(one, gone) == 'nv_inference_exec_count{model="m",version="1"} is gone'
    assert contradicts(page(model="other"), page(model="m")) == ""  # nobody serves the other one
    for old, new, says in (
        ("# TYPE nv_inference_exec_count counter", "# TYPE nv_inference_exec_count gauge", "is a gauge"),
        ("# HELP nv_inference_exec_count Executions", "# HELP nv_inference_exec_count Else", "(Else)"),
        ("# HELP nv_inference_exec_count Executions\n", "", "lacks TYPE or HELP"),
        (f"# HELP {SUCCESS} Good\n", f"# HELP {SUCCESS} Good\n" * 2, "comes twice"),
    ):  # fmt: skip
        assert old in one.text
        assert says in contradicts(one, parse(one.text.replace(old, new)))


def test_series_of_an_unloaded_model() -> None:
    full, kept = (
        page(3, 1, 3),
        [line for line in page(3, 1, 3).text.splitlines() if SUCCESS not in line],
    )
    between = parse("\n".join(line for line in kept if "exec_count{" not in line) + "\n")
    after = page(0, 1, 0)
    assert Vanished("m", full, between, after).flaws() == []
    assert Vanished("m", full, full, after).flaws() == [
        "nv_inference_exec_count is still there", f"{SUCCESS} is still there",
    ]  # fmt: skip
    changed = parse(between.text.replace('"OTHER"} 7', '"OTHER"} 8'))
    assert Vanished("m", full, changed, after).flaws() == [
        f"{FAILURE} was 7 and is 8 without the model"
    ]
    assert Vanished("m", full, between, full).flaws() == [
        f"{SUCCESS} comes back with 3, it begins at 0"
    ]
    assert (
        "nv_inference_exec_count does not come back"
        in Vanished("m", full, between, between).flaws()
    )
    beside = parse(
        full.text.replace(
            f"# HELP {FAILURE}", f'{SUCCESS}{{model="n",version="1"}} 1\n# HELP {FAILURE}'
        )
    )
    assert Vanished("m", beside, between, beside).flaws()[-1] == "n is gone too"
