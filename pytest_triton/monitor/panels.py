"""What a panel shows, by the form of its query, and in which unit it says so."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from pytest_triton.monitor.dashboard import Panel, Target
from pytest_triton.monitor.forms import Form, matched

_OK, _BAD = "rate nv_inference_request_success", "rate nv_inference_request_failure"
_ROWS, _RUNS = "rate nv_inference_count", "rate nv_inference_exec_count"
_STAGE = {
    "request": "request", "queue": "queue", "compute_input": "compute_input",
    "compute_infer": "compute_infer", "compute_output": "compute_output",
}  # fmt: skip
_SUMS = {f"rate nv_inference_{stage}_duration_us": name for stage, name in _STAGE.items()}
_SUMMARIES = {f"nv_inference_{stage}_summary_us": name for stage, name in _STAGE.items()}
_RATIOS = frozenset({"nv_gpu_utilization", "nv_cpu_utilization", "nv_cache_util"})
_BYTES = re.compile(r"nv_(?:gpu_memory|cpu_memory|pinned_memory_pool)_(?P<what>used|total)_bytes")

#: Grafana's units as seconds, as shares of one, as bytes, as times a second.
SECONDS = {"ns": 1e-9, "µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0,
           "dtdurations": 1.0, "dtdurationms": 1e-3, "clocks": 1.0, "clockms": 1e-3}  # fmt: skip
SHARES = {"percentunit": 1.0, "percent": 0.01, "%": 0.01}
SIZES = {"bytes": 1.0, "decbytes": 1.0, "kbytes": 2.0**10, "deckbytes": 1e3, "mbytes": 2.0**20,
         "decmbytes": 1e6, "gbytes": 2.0**30, "decgbytes": 1e9, "bits": 0.125,
         "decbits": 0.125}  # fmt: skip
RATES = {"reqps": 1.0, "ops": 1.0, "rps": 1.0, "wps": 1.0, "iops": 1.0, "cps": 1.0, "eps": 1.0,
         "hertz": 1.0, "rpm": 1 / 60, "opm": 1 / 60, "wpm": 1 / 60, "cpm": 1 / 60, "epm": 1 / 60,
         "req/s": 1.0, "requests/s": 1.0, "inf/s": 1.0}  # fmt: skip
#: Units that say nothing.
_NONE = frozenset({"", "none", "short", "string", "locale", "sishort"})
_IN_TITLE = re.compile(
    r"[(\[,]\s*(?P<unit>ns|µs|us|ms|s|sec|secs|seconds|milliseconds|microseconds|%|percent)"
    r"\s*(?:$|[)\]])",
    re.IGNORECASE,
)
_WORDS = {"sec": "s", "secs": "s", "seconds": "s", "milliseconds": "ms", "microseconds": "µs",
          "percent": "%"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """``kind`` times ``factor``; what it is of in ``stages``. ``exact`` as for a form.

    Kinds: requests/s, inferences/s, executions/s, errors/s, latency and summary (µs), batch size,
    error ratio, success ratio, ratio, bytes, queue length.
    """

    kind: str
    factor: float
    exact: bool = True
    stages: tuple[str, ...] = ()

    @property
    def dimension(self) -> str:
        if self.kind in ("latency", "summary"):
            return "duration"
        return "share" if self.kind.endswith("ratio") else self.kind


def shape_of(form: Form | None) -> Shape | None:
    """What a form is; None where it is nothing that is known here."""
    if form is None or form.whole:
        return None
    if form.bottom == {"": 1.0}:
        return _plain(form)
    for kind, top, bottom in (
        ("batch size", {_ROWS}, {_RUNS}),
        ("error ratio", {_BAD}, {_OK, _BAD}),
        ("success ratio", {_OK}, {_OK, _BAD}),
    ):
        over = matched(form.top, frozenset(top)) / matched(form.bottom, frozenset(bottom))
        if math.isfinite(over):
            return Shape(kind, over, form.exact)
    return _fraction(form)


def _fraction(form: Form) -> Shape | None:
    below = matched(form.bottom, frozenset({_OK}), some=frozenset({_BAD}))
    if set(form.bottom) == {_ROWS}:
        below = form.bottom[_ROWS]
    values = set(form.top.values())
    if math.isfinite(below) and set(form.top) <= set(_SUMS) and len(values) == 1:
        stages = tuple(sorted(_SUMS[name] for name in form.top))
        if "request" not in stages or len(stages) == 1:
            return Shape("latency", values.pop() / below, form.exact, stages)
        return None
    names = {*form.top, *form.bottom}
    sizes = [match for name in names if (match := _BYTES.fullmatch(name))]
    if len(sizes) == len(names) and all(_BYTES.fullmatch(name)["what"] == "total"  # type: ignore[index]
                                        for name in form.bottom):  # fmt: skip
        return Shape("ratio", max(map(abs, form.top.values())) / max(form.bottom.values()),
                     form.exact)  # fmt: skip
    return None


def _plain(form: Form) -> Shape | None:
    requests = matched(form.top, frozenset({_OK}), some=frozenset({_BAD}))
    if math.isfinite(requests):
        return Shape("requests/s", requests, form.exact)
    if len(form.top) != 1:
        return None
    ((name, factor),) = form.top.items()
    for signal, kind in ((_ROWS, "inferences/s"), (_RUNS, "executions/s"), (_BAD, "errors/s"),
                         ("nv_inference_pending_request_count", "queue length")):  # fmt: skip
        if name == signal:
            return Shape(kind, factor, form.exact)
    if name in _SUMMARIES:
        return Shape("summary", factor, form.exact, (_SUMMARIES[name],))
    if name in _RATIOS:
        return Shape("ratio", factor, form.exact)
    return Shape("bytes", factor, form.exact) if _BYTES.fullmatch(name) else None


_TABLES = {"duration": (SECONDS, 1e-6), "share": (SHARES, 1.0), "bytes": (SIZES, 1.0),
           "requests/s": (RATES, 1.0), "inferences/s": (RATES, 1.0),
           "executions/s": (RATES, 1.0), "errors/s": (RATES, 1.0)}  # fmt: skip


def unit_of(panel: Panel, target: Target) -> str | None:
    """The unit that a reader sees: the panel's, else one in brackets in its title; "" for none.

    None where it cannot be known.
    """
    if target.unit is None:
        return None
    said = target.unit.strip().replace("\u03bc", "µ")
    if said.startswith("suffix:"):
        said = said.removeprefix("suffix:").strip()
    if said not in _NONE:
        return said
    match = _IN_TITLE.search(panel.title.strip())
    if match is None:
        return ""
    word = match["unit"].replace("\u03bc", "µ")
    return _WORDS.get(word.lower(), word if word == "µs" else word.lower())


def scale_of(shape: Shape, unit: str) -> float | None:
    """What one of the unit is in seconds, shares, bytes or 1/s; None: it is another dimension."""
    if shape.dimension not in _TABLES:
        return None
    return _TABLES[shape.dimension][0].get(unit)


def misread(shape: Shape, panel: Panel, target: Target) -> str:
    """How a panel's unit contradicts what it computes; "" where it does not, or says none.

    The metrics' own units are known (µs, shares of one, bytes, per second), so this needs no data.
    """
    unit = unit_of(panel, target)
    if not unit or shape.dimension not in _TABLES or panel.computed:
        return ""
    table, base = _TABLES[shape.dimension]
    scale = table.get(unit)
    if scale is None:
        others = [kind for kind, (known, _) in _TABLES.items() if unit in known]
        if others and shape.dimension in ("duration", "share", "bytes"):
            return f"shows {_says(shape)} in the unit {unit}"
        return ""
    over = shape.factor * scale / base
    if over <= 0 or 0.5 < over < 2:
        return ""
    shown = "times too much" if over > 1 else "times too little"
    return f"shows {_says(shape)} as {unit}: {_round(over if over > 1 else 1 / over)} {shown}"


def _says(shape: Shape) -> str:
    said = {"duration": {1.0: "µs", 1e-3: "ms", 1e-6: "s"}, "share": {1.0: "0..1", 100.0: "percent"},
            "bytes": {1.0: "bytes"}}.get(shape.dimension, {})  # fmt: skip
    for factor, words in said.items():
        if math.isclose(shape.factor, factor, rel_tol=1e-6):
            return words
    return f"{shape.factor:.4g} times {shape.kind}"


def _round(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def impossible(node: Any) -> str:
    """A comparison of a share with a number that it never reaches, e.g. nv_gpu_utilization > 90."""
    kind = type(node).__name__
    if kind in ("ParenExpr", "UnaryExpr", "AggregateExpr", "SubqueryExpr"):
        return impossible(node.expr)
    if kind == "Call":
        return next((told for each in node.args if (told := impossible(each))), "")
    if kind != "BinaryExpr":
        return ""
    op, number = str(node.op).strip(), node.rhs
    if op in (">", ">=") and type(number).__name__ == "NumberLiteral" and number.val > 1:
        from pytest_triton.monitor.forms import form

        found = shape_of(form(node.lhs, {}))
        if found is not None and found.kind == "ratio" and abs(found.factor) < number.val:
            return f"a share of 0..1 is never {op} {number.val:g}"
    return impossible(node.lhs) or impossible(node.rhs)
