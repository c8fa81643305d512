"""What an expression computes, by algebra over its tree: a fraction of sums of Triton's metrics.

``sum by (model) (rate(A[5m])) / sum by (model) (rate(B[5m])) / 1e3`` is rate A ÷ 1000 rate B, however
it is written. What is no such fraction has no form, and nobody judges it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytest_triton.monitor.promql import RATES

#: Functions and aggregations that leave a value what it is; the second kind picks or mixes series.
_SAME = frozenset({"label_replace", "label_join", "sort", "sort_desc", "clamp_min", "clamp_max",
                   "clamp", "abs", "round", "last_over_time"})  # fmt: skip
_MIXED_CALLS = frozenset({"avg_over_time", "max_over_time"})
_MIXED = frozenset({"avg", "max", "topk"})
_COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
#: A constant beside a denominator that only keeps it from being zero.
_TINY = 1e-3
#: Labels that change what a counter counts.
_SPLITTING = frozenset({"reason", "le"})

Terms = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Form:
    """``top`` ÷ ``bottom``, each a sum of coefficient times signal.

    A signal is ``rate NAME`` per second, or ``NAME`` as it is; "" is the number one. ``exact``:
    series are added, not averaged or picked; ``whole``: increases over a range, not per second.
    """

    top: Terms
    bottom: Terms
    exact: bool = True
    whole: bool = False

    @property
    def constant(self) -> float | None:
        """Its value where it is a number."""
        return _only(self.top) if self.bottom == {"": 1.0} else None


def _only(terms: Terms) -> float | None:
    return terms.get("", 0.0) if set(terms) <= {""} else None


def form(node: Any, recorded: Mapping[str, Any], depth: int = 0) -> Form | None:
    """The form of a tree; ``recorded`` are the trees of recording rules by name."""
    if depth > 40:
        return None
    kind = type(node).__name__
    if kind == "NumberLiteral":
        return Form({"": float(node.val)}, {"": 1.0})
    if kind == "ParenExpr":
        return form(node.expr, recorded, depth + 1)
    if kind == "UnaryExpr":
        inner = form(node.expr, recorded, depth + 1)
        return None if inner is None else _scaled(inner, -1.0)
    if kind == "VectorSelector":
        return _selected(node, "", recorded, depth)
    if kind == "AggregateExpr":
        op = str(node.op).strip().lower()
        inner = form(node.expr, recorded, depth + 1)
        if inner is None or op not in _MIXED | {"sum"}:
            return None
        return inner if op == "sum" else replace(inner, exact=False)
    if kind == "Call":
        return _called(node, recorded, depth)
    if kind == "BinaryExpr":
        return _combined(node, recorded, depth)
    return None


def _selected(node: Any, prefix: str, recorded: Mapping[str, Any], depth: int) -> Form | None:
    if node.offset is not None or node.at is not None:
        return None
    name = node.name or ""
    labels = {each.name for each in node.matchers.matchers}
    if not prefix and name in recorded:
        return form(recorded[name], recorded, depth + 1)
    if not name or labels & _SPLITTING:
        return None
    return Form({f"{prefix}{name}": 1.0}, {"": 1.0})


def _called(node: Any, recorded: Mapping[str, Any], depth: int) -> Form | None:
    name = node.func.name
    arguments = list(node.args)
    if not arguments:
        return None
    if name in RATES:
        if type(arguments[0]).__name__ != "MatrixSelector":
            return None
        found = _selected(arguments[0].vector_selector, "rate ", recorded, depth)
        if found is None or name == "rate":
            return found
        if name == "irate":  # of two scrapes, which need not be those of a whole range
            return replace(found, exact=False)
        seconds = arguments[0].range.total_seconds()
        return replace(_scaled(found, seconds), whole=True)
    if name == "vector":
        return form(arguments[0], recorded, depth + 1)
    if name in _SAME:
        return form(arguments[0], recorded, depth + 1)
    if name in _MIXED_CALLS:
        over = arguments[0]
        if type(over).__name__ == "MatrixSelector":
            inner = _selected(over.vector_selector, "", recorded, depth)
        else:
            inner = form(getattr(over, "expr", None), recorded, depth + 1)
        return None if inner is None else replace(inner, exact=False)
    return None


def _combined(node: Any, recorded: Mapping[str, Any], depth: int) -> Form | None:
    op = str(node.op).strip().lower()
    left = form(node.lhs, recorded, depth + 1)
    if op in ("and", "unless"):
        return left if left is None else replace(left, exact=False)
    right = form(node.rhs, recorded, depth + 1)
    if left is None or right is None:
        return None
    if op == "or":  # "or vector(0)"
        return left if right.constant == 0 else None
    if op in _COMPARISONS:
        if getattr(node.modifier, "return_bool", False):
            return None
        return right if left.constant is not None else left
    if op in ("+", "-"):
        return _sum(left, _scaled(right, 1.0 if op == "+" else -1.0))
    if op == "*":
        return _product(left, right)
    if op == "/":
        turned = replace(right, top=_untied(right.bottom), bottom=_untied(right.top))
        return _product(left, turned) if any(turned.bottom.values()) else None
    return None


def _untied(terms: Terms) -> Terms:
    """Without a tiny constant beside other terms."""
    if len(terms) > 1 and abs(terms.get("", 0.0)) <= _TINY:
        return {name: value for name, value in terms.items() if name}
    return terms


def _scaled(of: Form, factor: float) -> Form:
    return replace(of, top={name: value * factor for name, value in of.top.items()})


def _sum(one: Form, two: Form) -> Form | None:
    exact = one.exact and two.exact
    if one.whole != two.whole and one.constant is None and two.constant is None:
        return None
    whole = one.whole or two.whole
    if one.bottom == two.bottom:
        return Form(_added(one.top, two.top), one.bottom, exact, whole)
    for first, second in ((one, two), (two, one)):
        number = _only(first.bottom)
        if (constant := _only(first.top)) is not None and number:
            times = {name: value * constant / number for name, value in second.bottom.items()}
            return Form(_added(times, second.top), second.bottom, exact, whole)
    return None


def _added(one: Terms, two: Terms) -> Terms:
    made = {name: one.get(name, 0.0) + two.get(name, 0.0) for name in {*one, *two}}
    return {name: value for name, value in made.items() if value} or {"": 0.0}


def _product(one: Form, two: Form) -> Form | None:
    top, bottom = _times(one.top, two.top), _times(one.bottom, two.bottom)
    if top is None or bottom is None:
        return None
    number = _only(bottom)
    if number:
        top, bottom = {name: value / number for name, value in top.items()}, {"": 1.0}
    return Form(top, bottom, one.exact and two.exact, one.whole != two.whole)


def _times(one: Terms, two: Terms) -> Terms | None:
    for first, second in ((one, two), (two, one)):
        if (number := _only(first)) is not None:
            return {name: value * number for name, value in second.items()}
    return None


def matched(terms: Terms, wanted: frozenset[str], *, some: frozenset[str] = frozenset()) -> float:
    """The common coefficient where the terms are ``wanted``, with or without ``some``; else NaN."""
    there = set(terms)
    values = set(terms.values())
    fits = wanted <= there <= wanted | some and len(values) == 1
    return values.pop() if fits else float("nan")
