"""Whether what a panel shows is what happened: by the client's count, and by the server's own.

Judged is a query whose form is known (requests a second, mean latency, batch size, …); the others
are told as not judged.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from pytest_triton.monitor.forms import form
from pytest_triton.monitor.panels import Shape, misread, scale_of, shape_of, unit_of
from pytest_triton.monitor.promql import selectors
from pytest_triton.monitor.templating import NESTED
from pytest_triton.monitoring.absence import Known
from pytest_triton.monitoring.prometheus import Series
from pytest_triton.monitoring.queries import Answer
from pytest_triton.monitoring.watching import WINDOW_S, Span, Watched

#: Shares by which a panel may be off, and those by which the two counts may differ themselves.
TRAFFIC, LATENCY, BATCH, AGREE = 0.10, 0.20, 0.10, 0.05
#: µs that Triton's counters lose of each request.
_LOST_US = 2.0
_TRAFFIC = ("requests/s", "inferences/s", "executions/s")
_ERRORS = ("errors/s", "error ratio")


@dataclass(frozen=True, slots=True)
class Shown:
    """One query with a form: what it shows and should, in its panel's unit (NaN: not compared).

    ``wrong`` says what is the matter, ``open`` why nobody can tell, both "" where it is right.
    """

    answer: Answer
    shape: Shape
    unit: str = ""
    value: float = math.nan
    expected: float = math.nan
    wrong: tuple[str, ...] = ()
    open: str = ""

    def to_json(self) -> dict[str, Any]:
        told = {"value": self.value, "expected": self.expected}
        return {"panel": self.answer.panel.title, "expr": self.answer.target.expr,
                "kind": self.shape.kind, "factor": self.shape.factor, "unit": self.unit,
                **{name: value for name, value in told.items() if math.isfinite(value)},
                "wrong": list(self.wrong), "open": self.open}  # fmt: skip


def shown(answer: Answer, watched: Watched, known: Known) -> Shown | None:
    """The judgement of one query; None for a form that is not known, or one that is dead."""
    if answer.tree is None or answer.verdict == "dead":
        return None
    shape = shape_of(form(answer.tree, known.recorded))
    if shape is None:
        return None
    unit = unit_of(answer.panel, answer.target)
    units = misread(shape, answer.panel, answer.target)
    wrong = [units] if units else []
    about = _speaks_of(answer, watched.model, known)
    if answer.verdict != "alive" or answer.panel.computed or unit is None or not about:
        return Shown(answer, shape, unit or "", wrong=tuple(wrong))
    look = _Look(answer, watched)
    wrong += look.reacts(shape)
    value, expected, doubt = look.compared(shape)
    # what the eye sees: in the panel's unit, or as the query's own factor has it
    scale = scale_of(shape, unit) or _own(shape)
    base = 1e-6 if shape.dimension == "duration" else 1.0
    expected *= base / scale
    allowed = {"latency": LATENCY, "batch size": BATCH}.get(shape.kind, TRAFFIC)
    slack = _LOST_US * base / scale if shape.kind == "latency" else 0.0
    off = abs(value - expected) > allowed * abs(expected) + slack
    told = math.isfinite(value) and math.isfinite(expected)
    numbers = (
        f"shows {value:.4g}{_named(unit)}, {expected:.4g} were "
        f"{'counted by the client' if shape.kind == 'requests/s' else 'told by the server'}"
    )
    if units and told:
        wrong[0] = f"{units}: {numbers}"
    elif told and off and not doubt:
        wrong.append(numbers)
    return Shown(answer, shape, unit, value, expected, tuple(wrong), "" if wrong else doubt)


def _own(shape: Shape) -> float:
    """The scale of a panel that names no unit: that of its query. Rows have no other unit."""
    if shape.kind == "batch size" or not shape.factor:
        return 1.0
    return (1e-6 if shape.dimension == "duration" else 1.0) / shape.factor


def _speaks_of(answer: Answer, model: str, known: Known) -> bool:
    """Whether each of its selectors takes the model that got the load, in all its versions."""
    for each in known.followed(list(selectors(answer.tree))):
        for label, sign, value in each.matchers:
            if label == "version" and sign in ("=", "!="):
                return False
            if label == "model" and not _takes(sign, value, model):
                return False
    return True


def _takes(sign: str, value: str, model: str) -> bool:
    if sign in ("=", "!="):
        return (value == model) is (sign == "=")
    if NESTED.search(value):
        return False
    try:
        return bool(re.fullmatch(value, model)) is (sign == "=~")
    except re.error:
        return False


def _named(unit: str) -> str:
    return f" {unit}" if unit else ""


@dataclass(frozen=True)
class _Look:
    """The series of the model that got the load."""

    answer: Answer
    watched: Watched

    def _series(self, span: Span) -> list[Series]:
        found = self.watched.prometheus.query_range(self.answer.asked, span.start, span.end)
        if any("model" in each.labels for each in found):
            found = [each for each in found if each.labels.get("model") == self.watched.model]
        return [each for each in found if any(map(math.isfinite, each.values))]

    def _values(self, span: Span) -> list[float]:
        return [value for each in self._series(span) for value in each.values
                if math.isfinite(value)]  # fmt: skip

    def reacts(self, shape: Shape) -> list[str]:
        """Findings: it is no higher under load, or when requests fail, than at rest."""
        watched = self.watched
        if shape.factor <= 0:
            return []
        if shape.kind in _TRAFFIC or shape.kind == "queue length":
            asked = self._rate("nv_inference_request_success")
            if shape.kind == "queue length":
                asked = f'sum(nv_inference_pending_request_count{{model="{watched.model}"}})'
            if not self._higher(asked):
                return []
            before, after = self._values(watched.rest), self._values(watched.settled)
            if after and max(after) <= max(before, default=0.0):
                return [f"is no higher under load ({max(after):.4g}) than at rest"]
        if shape.kind in _ERRORS and watched.failing is not None:
            values = self._values(watched.failing)
            if values and max(values) <= 0:
                return ["stays 0 while requests fail"]
        return []

    def _higher(self, asked: str) -> bool:
        """Whether the metric itself rose: what did not happen nobody has to show."""
        spans = (self.watched.rest, self.watched.settled)
        before, after = (
            max([value for each in self.watched.prometheus.query_range(asked, span.start, span.end)
                for value in each.values if math.isfinite(value)] or [0.0]) for span in spans
        )  # fmt: skip
        return after > 2 * before and after > 0

    def compared(self, shape: Shape) -> tuple[float, float, str]:
        """(shown, expected in the metric's own unit, why they cannot be compared)."""
        nothing = (math.nan, math.nan, "")
        if not shape.exact:
            return nothing
        series = self._series(self.watched.settled)
        if not series:
            return nothing
        if shape.kind in _TRAFFIC:
            if shape.kind != "requests/s":
                return nothing
            value = sum(_mean(each) for each in series)
        elif len(series) == 1:
            value = _mean(series[0])
        else:
            return nothing
        expected, doubt = self._expected(shape)
        return value, expected, doubt

    def _expected(self, shape: Shape) -> tuple[float, str]:
        """(expected, why it is not to be believed): of the same seconds as what is shown."""
        run, watched = self.watched.run, self.watched
        counted = watched.mean(self._rate("nv_inference_request_success"))
        span = watched.settled
        moments = [span.start + at for at in _steps(span)]
        client = sum(map(watched.answered, moments)) / len(moments) if moments else math.nan
        doubt = "; ".join(run.doubts)
        if not abs(counted - client) <= AGREE * client:
            doubt = doubt or (
                f"the client got {client:.4g} answers a second, Prometheus counted {counted:.4g}: "
                "others use the server too"
            )
        if shape.kind == "requests/s":
            return client, doubt
        if shape.kind in ("error ratio", "success ratio") and not run.bad:
            return (0.0 if shape.kind == "error ratio" else 1.0), doubt
        served = run.served
        if shape.kind not in ("latency", "batch size"):
            return math.nan, ""
        if served is None or not served.success:
            return math.nan, run.unread or "the server does not tell what it did"
        if shape.kind == "batch size":
            names, told, share = ["nv_inference_count"], served.mean_batch, BATCH / 2
            below = "nv_inference_exec_count"
        else:
            names = [f"nv_inference_{stage}_duration_us" for stage in shape.stages]
            ns = sum(served.request_ns if stage == "request" else served.stages_ns.get(stage, 0)
                     for stage in shape.stages)  # fmt: skip
            told, share = ns / 1e3 / served.success, LATENCY / 2
            below = "nv_inference_request_success"

        def ratio(seconds: float) -> str:
            above = " + ".join(self._rate(name, seconds) for name in names)
            return f"({above}) / {self._rate(below, seconds)}"

        whole = watched.prometheus.query(
            ratio(watched.load.end - watched.load.start), watched.load.end
        )
        if not whole or not abs(whole[0].last - told) <= share * told + _LOST_US:
            doubt = doubt or f"the statistics tell {told:.4g} where the metrics do not"
        return watched.mean(ratio(WINDOW_S)), doubt

    def _rate(self, name: str, seconds: float = WINDOW_S) -> str:
        return f'sum(rate({name}{{model="{self.watched.model}"}}[{round(seconds * 1000)}ms]))'


def _mean(series: Series) -> float:
    values = [value for value in series.values if math.isfinite(value)]
    return sum(values) / len(values)


def _steps(span: Span) -> list[float]:
    return [at * 0.5 for at in range(max(int((span.end - span.start) / 0.5) + 1, 0))]
