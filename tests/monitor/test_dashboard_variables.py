"""Variables in queries: where they stand decides what they become."""

from __future__ import annotations

from contextlib import suppress

import pytest

from pytest_triton.monitor.promql import Unparsable, parse
from pytest_triton.monitor.templating import (
    Undefined,
    asked,
    builtins,
    chosen,
    filled,
    shortened,
    used,
    without_labels,
)

VALUES = {"model": ("mlp", "cnn.v2"), "job": ("triton",), "q": ("0.9",), "none": (), "all": (".*",)}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('x{model=~"$model"}', 'x{model=~"(mlp|cnn\\\\.v2)"}'),
        ('x{model=~"${model:regex}"}', 'x{model=~"(mlp|cnn\\\\.v2)"}'),
        ('x{model=~"^[[model]]$"}', 'x{model=~"^(mlp|cnn\\\\.v2)$"}'),
        ('x{model="$model", job="${job}"}', 'x{model="mlp", job="triton"}'),
        ("x{model = '[[model:csv]]'}", "x{model = 'mlp'}"),
        ('x{model!~"$model"}', 'x{model!~""}'),
        ('x{model=~"$all", job=~"$none"}', 'x{model=~".*", job=~""}'),
        ("histogram_quantile($q, x_$job)", "histogram_quantile(0.9, x_triton)"),
        ('label_replace(x, "a", "$1", "b", "(.*)")', 'label_replace(x, "a", "$1", "b", "(.*)")'),
        ('x{a="\\"$job"}', 'x{a="\\"triton"}'),
    ],
)
def test_filled(text: str, wanted: str) -> None:
    assert filled(text, VALUES) == wanted
    parse(wanted)


def test_own_variables_of_grafana() -> None:
    own = builtins(3600.0, 15.0)
    text = "rate(x[$__rate_interval]) + rate(x[${__interval}]) + increase(x[$__range]) / $__range_s"
    made = filled(text, own)
    assert made == "rate(x[60000ms]) + rate(x[60000ms]) + increase(x[3600000ms]) / 3600"
    assert filled("rate(x[$__auto_interval_every])", own) == "rate(x[60000ms])"
    parse(made)


def test_a_variable_that_nobody_defines() -> None:
    with pytest.raises(Undefined, match="gone"):
        filled('x{model="$gone"}', VALUES)


def test_used() -> None:
    assert used('x{a="$b", c=~"[[d]]"}[${e:csv}] $b $1') == ["b", "d", "e"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("rate(x[5m])", "rate(x[4000ms])"),
        ("max_over_time(rate(x[5m])[1h:1m])", "max_over_time(rate(x[4000ms])[4000ms:1s])"),
        ('x{a="[5m]"}[ 1h30m ]', 'x{a="[5m]"}[4000ms]'),
    ],
)
def test_shortened(text: str, wanted: str) -> None:
    assert shortened(text, 4.0) == wanted
    parse(wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('x{instance="a:1", job="b"}', 'x{job="b"}'),
        ('x{instance=~"a"} / y{job="{instance=\\"x\\"}",}', 'x{} / y{job="{instance=\\"x\\"}"}'),
        ('label_replace(x, "c", "{instance=\'a\'}", "d", "")',
         'label_replace(x, "c", "{instance=\'a\'}", "d", "")'),
    ],
)  # fmt: skip
def test_labels_of_another_environment(text: str, wanted: str) -> None:
    assert without_labels(text, {"instance"}) == wanted
    parse(wanted)


def test_only_labels_that_are_known() -> None:
    assert without_labels('x{pod="a", model="b"}', (), {"model"}) == 'x{model="b"}'


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("label_values(job)", ("label_values", "", "job")),
        ("label_values(up{a=~\"x,y\"}, job)", ("label_values", 'up{a=~"x,y"}', "job")),
        ("query_result(topk(3, up))", ("query_result", "topk(3, up)", "")),
        ("metrics(nv_.*)", ("metrics", "nv_.*", "")),
        ("up", ("query_result", "up", "")),
    ],
)  # fmt: skip
def test_asked(query: str, wanted: tuple[str, str, str]) -> None:
    assert asked(query) == wanted


@pytest.mark.parametrize(
    ("regex", "wanted"),
    [
        ("", ["mlp", "cnn"]),
        ("/^m/", ["mlp"]),
        ("/(?<value>.)n/", ["c"]),
        ("/M(.*)/i", ["lp"]),
        ("(", ["mlp", "cnn"]),
        ("/(a+)+$/", ["mlp", "cnn"]),
    ],
)
def test_chosen(regex: str, wanted: list[str]) -> None:
    assert chosen(["mlp", "cnn", "mlp"], regex) == wanted


@pytest.mark.parametrize("text", ["(" * 4000, "-" * 4000, "1+" * 1999 + "1", "{" * 4000])
def test_long_expressions_end_the_parser_not_us(text: str) -> None:
    with suppress(Unparsable, RecursionError):
        parse(text)
