"""PromQL as a tree: which metrics an expression selects, and what in it can never be right.

Parsed by promql-parser (the extra ``monitor``). The rules are those that pint and promruval know:
a counter is looked at through rate() and its like, a gauge is not, the two sides of an operator
need the same labels, a condition is a comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_triton.errors import ToolError

#: Functions that make something of a counter, whose value alone says how old the server is.
RATES = frozenset({"rate", "irate", "increase"})
_OF_COUNTERS = RATES | {"resets", "changes", "absent", "absent_over_time", "present_over_time",
                        "timestamp", "count_over_time"}  # fmt: skip
#: Aggregations that look at the presence of series, not at their values.
_COUNTING = frozenset({"count", "group"})
_COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
_SETS = frozenset({"and", "or", "unless"})
#: Of their right side only the presence of series counts.
_PRESENCE = frozenset({"and", "unless"})
#: Gauges whose value only grows: Triton's cache tells its totals so (up to 2.51).
_GROWING = ("nv_cache_num_", "nv_cache_lookup_duration", "nv_cache_insertion_duration")
#: Labels that a scrape adds.
SCRAPE_LABELS = frozenset({"job", "instance"})


class Unparsable(Exception):
    """No PromQL; the text says where."""


@dataclass(frozen=True, slots=True)
class Selector:
    """One selected metric.

    ``range_s`` of [5m], else None; ``matchers`` as (label, operator, value); ``above``: functions
    and aggregations around it, and "and" or "unless" to whose right it stands, innermost first.
    """

    name: str
    matchers: tuple[tuple[str, str, str], ...]
    range_s: float | None
    above: tuple[str, ...]


def parse(text: str) -> Any:
    """The tree. Raises Unparsable; ToolError where promql-parser is not installed."""
    try:
        import promql_parser
    except ImportError:
        raise ToolError(
            "promql-parser is not installed", "pip install 'pytest-triton[monitor]'"
        ) from None
    try:
        return promql_parser.parse(text)
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        # a panic of the Rust parser is no Exception
        raise Unparsable(str(error).splitlines()[0][:300] if str(error) else "no PromQL") from None


def _kind(node: Any) -> str:
    return type(node).__name__


def selectors(node: Any, above: tuple[str, ...] = ()) -> Iterator[Selector]:
    """Every selected metric, from left to right."""
    kind = _kind(node)
    if kind == "VectorSelector":
        yield _selector(node, None, above)
    elif kind == "MatrixSelector":
        yield _selector(node.vector_selector, node.range.total_seconds(), above)
    elif kind == "Call":
        for argument in node.args:
            yield from selectors(argument, (node.func.name, *above))
    elif kind == "AggregateExpr":
        yield from selectors(node.expr, (_operator(node.op), *above))
    elif kind == "BinaryExpr":
        op = _operator(node.op)
        if op not in _SETS:  # values count again
            above = tuple(name for name in above if name not in _PRESENCE)
        yield from selectors(node.lhs, above)
        yield from selectors(node.rhs, (op, *above) if op in _PRESENCE else above)
    elif kind in ("ParenExpr", "UnaryExpr", "SubqueryExpr"):
        yield from selectors(node.expr, above)


def _operator(op: Any) -> str:
    return str(op).strip().lower()


def _selector(node: Any, range_s: float | None, above: tuple[str, ...]) -> Selector:
    matchers = tuple((each.name, _sign(each.op), each.value) for each in node.matchers.matchers)
    named = [value for label, sign, value in matchers if label == "__name__" and sign == "="]
    return Selector(node.name or (named[0] if named else ""), matchers, range_s, above)


def _sign(op: Any) -> str:
    from promql_parser import MatchOp

    known = ((MatchOp.Equal, "="), (MatchOp.NotEqual, "!="), (MatchOp.Re, "=~"))
    return next((sign for each, sign in known if each == op), "!~")


def misuses(node: Any, types: Mapping[str, str]) -> list[str]:
    """What is wrong whatever the values are: ``types`` are counter, gauge, … by metric name.

    Metrics that ``types`` does not know are left alone.
    """
    found = []
    for each in selectors(node):
        kind = types.get(each.name)
        rated = RATES & set(each.above)
        if kind == "counter" and not set(each.above) & (_OF_COUNTERS | _COUNTING | _PRESENCE):
            found.append(f"{each.name} is a counter without rate() or increase()")
        elif kind == "gauge" and rated and not each.name.startswith(_GROWING):
            found.append(f"{min(rated)}() of {each.name}, which is a gauge")
    found += _unmatched(node)
    return list(dict.fromkeys(found))


#: Labels of Triton's own series beside those of the scrape; by the beginning of a name.
_LABELS: tuple[tuple[str, frozenset[str]], ...] = (
    ("nv_inference_request_failure", frozenset({"model", "version", "reason"})),
    ("nv_inference_", frozenset({"model", "version"})),
    ("nv_cache_num_hits_per_model", frozenset({"model", "version"})),
    ("nv_cache_num_misses_per_model", frozenset({"model", "version"})),
    ("nv_gpu_", frozenset({"gpu_uuid"})),
    ("nv_energy_", frozenset({"gpu_uuid"})),
)


def _labels(node: Any) -> frozenset[str] | None:
    """The labels of a result; None where nobody can know them."""
    kind = _kind(node)
    if kind == "VectorSelector":
        name = node.name or ""
        if "_summary_" in name or name.endswith(("_bucket", "_sum")):
            return None
        for start, labels in _LABELS:
            if name.startswith(start):
                return labels | SCRAPE_LABELS
        return None
    if kind == "MatrixSelector":
        return _labels(node.vector_selector)
    if kind in ("ParenExpr", "UnaryExpr", "SubqueryExpr"):
        return _labels(node.expr)
    if kind == "Call":
        if node.func.name in ("absent", "absent_over_time", "label_replace", "label_join",
                              "vector", "scalar", "histogram_quantile", "time"):  # fmt: skip
            return None
        return _labels(node.args[-1]) if node.args else None
    if kind == "AggregateExpr":
        return _aggregated(node)
    if kind == "BinaryExpr":
        left, right = _labels(node.lhs), _labels(node.rhs)
        if _operator(node.op) in _SETS or _grouped(node):
            return None
        return left if _vector(node.lhs) else right
    return None


def _aggregated(node: Any) -> frozenset[str] | None:
    op = _operator(node.op)
    inner = _labels(node.expr)
    if op in ("topk", "bottomk", "limitk"):
        return inner
    if op == "count_values":
        return None
    said = str(node.modifier or "").strip().lower()
    names = frozenset(part.strip() for part in said.partition("(")[2].rstrip(")").split(",")
                      if part.strip())  # fmt: skip
    if said.startswith("without"):
        return None if inner is None else inner - names
    if not said.startswith("by"):
        return frozenset()
    # what a series does not have is as good as left out
    return names if inner is None else names & inner


def _vector(node: Any) -> bool:
    kind = _kind(node)
    if kind in ("NumberLiteral", "StringLiteral"):
        return False
    if kind in ("ParenExpr", "UnaryExpr"):
        return _vector(node.expr)
    if kind == "Call":
        return node.func.name not in ("scalar", "time", "pi")
    if kind == "BinaryExpr":
        return _vector(node.lhs) or _vector(node.rhs)
    return True


def _grouped(node: Any) -> bool:
    """Whether on(), ignoring() or group_left() says how two sides match."""
    modifier = node.modifier
    return modifier is not None and getattr(modifier, "matching", None) is not None


def _unmatched(node: Any) -> list[str]:
    """Operators whose two sides have other labels, so that nothing ever matches."""
    kind = _kind(node)
    if kind == "BinaryExpr":
        found = _unmatched(node.lhs) + _unmatched(node.rhs)
        two = _vector(node.lhs) and _vector(node.rhs)
        if two and _operator(node.op) not in _SETS and not _grouped(node):
            left, right = _labels(node.lhs), _labels(node.rhs)
            if left is not None and right is not None and left != right:
                only = ", ".join(sorted(left ^ right))
                found.append(
                    f"the two sides of {_operator(node.op)} never match: only one has {only}"
                )
        return found
    if kind == "Call":
        return [each for argument in node.args for each in _unmatched(argument)]
    if kind in ("AggregateExpr", "ParenExpr", "UnaryExpr", "SubqueryExpr"):
        return _unmatched(node.expr)
    return []


def is_condition(node: Any) -> bool:
    """Whether an alert of it can be silent: a comparison, absent(), or sets of such."""
    kind = _kind(node)
    if kind in ("ParenExpr", "UnaryExpr"):
        return is_condition(node.expr)
    if kind == "AggregateExpr":
        return is_condition(node.expr)
    if kind == "Call":
        return node.func.name in ("absent", "absent_over_time")
    if kind != "BinaryExpr":
        return False
    op = _operator(node.op)
    if op in _COMPARISONS:  # "> bool" answers 0 instead of nothing: that alert never ends
        return not getattr(node.modifier, "return_bool", False)
    if op == "or":
        return is_condition(node.lhs) and is_condition(node.rhs)
    if op in ("and", "unless"):
        return is_condition(node.lhs) or is_condition(node.rhs)
    return is_condition(node.lhs) or is_condition(node.rhs)


def thresholds(node: Any) -> list[tuple[str, float]]:
    """Comparisons with numbers: operator and number, as if the number stood on the right."""
    kind = _kind(node)
    if kind in ("ParenExpr", "UnaryExpr", "AggregateExpr"):
        return thresholds(node.expr)
    if kind != "BinaryExpr":
        return []
    op = _operator(node.op)
    if op in _COMPARISONS:
        turned = {">": "<", "<": ">", ">=": "<=", "<=": ">="}
        if (right := _number(node.rhs)) is not None:
            return [(op, right)]
        if (left := _number(node.lhs)) is not None:
            return [(turned.get(op, op), left)]
        return []
    return thresholds(node.lhs) + thresholds(node.rhs)


def _number(node: Any) -> float | None:
    kind = _kind(node)
    if kind == "NumberLiteral":
        return float(node.val)
    if kind == "ParenExpr":
        return _number(node.expr)
    if kind == "UnaryExpr":
        inner = _number(node.expr)
        return None if inner is None else -inner
    return None
