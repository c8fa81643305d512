"""What can be told of an expression without asking anybody."""

from __future__ import annotations

import pytest

from pytest_triton.monitor.promql import (
    Unparsable,
    is_condition,
    misuses,
    parse,
    selectors,
    thresholds,
)

TYPES = {
    "nv_inference_request_success": "counter",
    "nv_inference_request_failure": "counter",
    "nv_inference_pending_request_count": "gauge",
    "nv_cache_num_hits": "gauge",
}
OK, BAD, WAIT = (
    "nv_inference_request_success", "nv_inference_request_failure",
    "nv_inference_pending_request_count",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (f"sum by (model) (rate({BAD}[5m])) > 1", []),
        (f"{BAD} > 0", [f"{BAD} is a counter without rate() or increase()"]),
        (f"sum({BAD}) by (model) > 0", [f"{BAD} is a counter without rate() or increase()"]),
        (f"absent({OK})", []),
        (f"count({OK}) < 1", []),
        (f"resets({OK}[1h]) > 0", []),
        (f"up == 1 unless on (job, instance) {OK}", []),
        (f"up == 1 and ({OK})", []),
        (f"up == 1 and {OK} > 5", [f"{OK} is a counter without rate() or increase()"]),
        (f"rate({WAIT}[1m]) > 1", [f"rate() of {WAIT}, which is a gauge"]),
        (f"max_over_time({WAIT}[1m]) > 1", []),
        ("rate(nv_cache_num_hits[1m]) > 1", []),  # Triton calls its total a gauge
        ("rate(nv_of_another_server[1m]) / nv_also > 1", []),
        (
            f"rate({BAD}[1m]) / rate({OK}[1m]) > 0.1",
            ["the two sides of / never match: only one has reason"],
        ),
        (f"sum without (reason) (rate({BAD}[1m])) / rate({OK}[1m]) > 0.1", []),
        (f"rate({BAD}[1m]) / ignoring (reason) group_left rate({OK}[1m]) > 0.1", []),
        (
            f"sum by (model) (rate({BAD}[1m])) / sum by (version) (rate({OK}[1m])) > 0.1",
            ["the two sides of / never match: only one has model, version"],
        ),
        (f"sum(rate({BAD}[1m])) / sum(rate({OK}[1m])) > 0.1", []),
        (f"sum by (model, region) (rate({BAD}[1m])) / sum by (model) (rate({OK}[1m])) > 0", []),
    ],
)
def test_misuses(text: str, wrong: list[str]) -> None:
    assert misuses(parse(text), TYPES) == wrong


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("up == 0", True),
        ("up", False),
        ("up > bool 0", False),  # a series whatever the value is
        ("absent(up)", True),
        ("up == 0 or absent(up)", True),
        ("up == 0 or up", False),
        ("up and up > 0", True),
        ("sum(up == 0)", True),
        ("(1 - up) * 100 > 5", True),
        ("rate(a[5m]) * 2", False),
    ],
)
def test_a_condition_can_be_silent(text: str, condition: bool) -> None:
    assert is_condition(parse(text)) is condition


def test_what_is_selected() -> None:
    tree = parse('sum by (a) (rate({__name__="x", b=~"c.*"}[5m])) / y{d!="e"} unless z')
    assert [(each.name, each.range_s, each.above, each.matchers) for each in selectors(tree)] == [
        ("x", 300.0, ("rate", "sum"), (("__name__", "=", "x"), ("b", "=~", "c.*"))),
        ("y", None, (), (("d", "!=", "e"),)),
        ("z", None, ("unless",), ()),
    ]


def test_thresholds_stand_on_the_right() -> None:
    assert thresholds(parse("a > 5 and (0.5 < b or -3 >= c)")) == [
        (">", 5), (">", 0.5), ("<=", -3),
    ]  # fmt: skip
    assert thresholds(parse("a > b")) == []


@pytest.mark.parametrize("text", ["", "rate(up", "up{", "rate(up) > 1", "sum by", "a[5m] > 1"])
def test_what_is_no_promql(text: str) -> None:
    with pytest.raises(Unparsable):
        parse(text)
