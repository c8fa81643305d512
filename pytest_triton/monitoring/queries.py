"""Every query of a dashboard on a live Prometheus: whether it returns something, and why not."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_triton.errors import ToolError
from pytest_triton.monitor.dashboard import Dashboard, Panel, Target
from pytest_triton.monitor.panels import impossible
from pytest_triton.monitor.promql import RATES, Unparsable, misuses, parse, selectors
from pytest_triton.monitor.templating import Undefined, filled, shortened, used, without_labels
from pytest_triton.monitoring.absence import Known, absence
from pytest_triton.monitoring.prometheus import QueryFailed, Series
from pytest_triton.monitoring.variables import Value, resolved
from pytest_triton.monitoring.watching import WINDOW_S, Watched

#: alive: it returns numbers. dead: it never can here. idle: it may, and nothing made it. hardware,
#: option, foreign: it asks for what this server cannot have, so that nobody can tell.
Verdict = Literal["alive", "dead", "idle", "hardware", "option", "foreign"]
#: Seconds for all queries of a dashboard.
_MOST_S = 60.0
_FILTERS = frozenset({"==", "!=", ">", "<", ">=", "<=", "and", "unless"})
#: Data sources that speak PromQL.
_PROMETHEUS = ("prom", "mimir", "victoria", "thanos", "cortex")


@dataclass(frozen=True)
class Answer:
    """One query: its verdict with the reason, what was asked, and the series that came.

    ``raw`` are counters that it takes as they are, ``notes`` what is odd and no fault.
    """

    dashboard: Dashboard
    panel: Panel
    target: Target
    verdict: Verdict
    reason: str = ""
    asked: str = ""
    series: Sequence[Series] = ()
    tree: Any = None
    raw: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        return self.verdict in ("alive", "dead")

    @property
    def place(self) -> str:
        return f"{self.panel.title} ({self.dashboard.path.name}:{self.target.line})"

    def to_json(self) -> dict[str, Any]:
        return {"panel": self.panel.title, "expr": self.target.expr, "asked": self.asked,
                "verdict": self.verdict, "reason": self.reason, "series": len(self.series),
                "raw": list(self.raw), "notes": list(self.notes)}  # fmt: skip


def answers(
    dashboard: Dashboard, watched: Watched, known: Known, interval_s: float
) -> list[Answer]:
    """All queries, in order. ``interval_s``: how often the job that was handed in scrapes."""
    values = resolved(dashboard, watched.prometheus, known, (watched.model,))
    types = watched.prometheus.types()
    deadline = time.monotonic() + _MOST_S
    made = []
    for panel, target in dashboard.targets:
        if time.monotonic() > deadline:
            late = f"its queries take over {_MOST_S:g} s"
            made.append(Answer(dashboard, panel, target, "dead", late))
            continue
        made.append(_answer(dashboard, panel, target, watched, known, values, types, interval_s))
    return made


def _answer(
    dashboard: Dashboard, panel: Panel, target: Target, watched: Watched, known: Known,
    values: Mapping[str, Value], types: Mapping[str, str], interval_s: float,
) -> Answer:  # fmt: skip
    def told(verdict: Verdict, reason: str = "", **more: Any) -> Answer:
        return Answer(dashboard, panel, target, verdict, reason, **more)

    if target.kind and not any(word in target.kind.lower() for word in _PROMETHEUS):
        return told("foreign", f"it asks a data source of the type {target.kind}")
    try:
        real = parse(_put(target.expr, values, known.usual))
        written = _put(target.expr, values, known.builtins)
        asked = without_labels(shortened(written, WINDOW_S), known.moved, known.kept)
        tree = parse(asked)
        found = list(selectors(tree))
    except Undefined as error:
        return told("dead", f"${error} is no variable of the dashboard")
    except (Unparsable, RecursionError) as error:
        return told(
            "dead", f"it is no PromQL: {str(error) or 'nested too deep'}", asked=target.expr
        )
    empty = [why.reason for name in used(target.expr)
             if (value := values.get(name)) and (why := value.empty)]  # fmt: skip
    prometheus = watched.prometheus
    try:
        series = prometheus.query_range(asked, watched.load.start, watched.whole.end)
    except QueryFailed as error:
        return told("dead", str(error), asked=asked)
    except ToolError:
        return told("dead", "Prometheus does not answer it within 10 s", asked=asked)
    raw = tuple(each.partition(" ")[0] for each in misuses(tree, types)
                if each.endswith("without rate() or increase()"))  # fmt: skip
    notes = tuple(each for each in misuses(tree, types) if "which is a gauge" in each)
    more: dict[str, Any] = {"asked": asked, "tree": tree, "raw": raw, "notes": notes,
                            "series": [each for each in series if finite(each)]}  # fmt: skip
    if short := _too_short(real, interval_s):
        return told("dead", short, **{**more, "series": ()})
    if more["series"]:
        return told("alive", **more)
    if never := impossible(tree):
        return told("dead", never, **more)
    if why := absence(found, prometheus, known):
        if why.kind == "dead" and empty:
            return told("dead", "; ".join(empty), **more)
        return told(why.kind, why.reason, **more)
    if empty:
        return told("dead", "; ".join(empty), **more)
    if reasons := misuses(tree, {}):
        return told("dead", "; ".join(reasons), **more)
    if series or _may_be_empty(tree, known):
        return told("idle", "nothing made it return something", **more)
    return told("dead", "it returns nothing, although each of its metrics is there", **more)


def _put(text: str, values: Mapping[str, Value], own: Mapping[str, Sequence[str]]) -> str:
    return filled(text, {**own, **{name: one.values for name, one in values.items()}})


def finite(series: Series) -> bool:
    """Whether one of its values is a number."""
    return any(math.isfinite(value) for value in series.values)


def _too_short(tree: Any, interval_s: float) -> str:
    """rate() needs two samples: in a range of one scrape there is never more than one."""
    for each in selectors(tree):
        if each.range_s is not None and each.range_s <= interval_s and set(each.above) & RATES:
            return (f"{each.name}[{each.range_s:g}s] never holds two scrapes of {interval_s:g} s: "
                    "rate() needs them")  # fmt: skip
    return ""


def _may_be_empty(tree: Any, known: Known) -> bool:
    """Whether it compares, looks back or at what is absent: then nothing may be its answer."""
    names = [each.name for each in selectors(tree)]
    trees = [tree, *(known.recorded[name] for name in names if name in known.recorded)]
    return any(_filters(each) for each in trees) or "ALERTS" in names


def _filters(node: Any) -> bool:
    kind = type(node).__name__
    if kind == "BinaryExpr" and str(node.op).strip().lower() in _FILTERS:
        return True
    if kind == "Call" and node.func.name.startswith("absent"):
        return True
    if kind == "VectorSelector" and (node.offset is not None or node.at is not None):
        return True
    return any(_filters(each) for each in _below(node))


def _below(node: Any) -> Iterator[Any]:
    if type(node).__name__ == "MatrixSelector":
        yield node.vector_selector
    elif type(node).__name__ == "Call":
        yield from node.args
    else:
        for name in ("expr", "lhs", "rhs"):
            if (inner := getattr(node, name, None)) is not None:
                yield inner
