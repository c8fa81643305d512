"""Variables of a dashboard, with the values that they have on a live Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_triton.monitor.dashboard import Dashboard, Variable
from pytest_triton.monitor.promql import Unparsable, parse, selectors
from pytest_triton.monitor.templating import Undefined, asked, chosen, filled, without_labels
from pytest_triton.monitoring.absence import Absence, Known, absence
from pytest_triton.monitoring.prometheus import Prometheus, QueryFailed

#: Values of one variable.
_MOST = 200


@dataclass(frozen=True, slots=True)
class Value:
    """What a variable stands for; ``empty`` says why it has no value, and is "" where it has."""

    values: tuple[str, ...]
    empty: Absence | None = None


def resolved(
    dashboard: Dashboard, prometheus: Prometheus, known: Known, prefer: Sequence[str]
) -> dict[str, Value]:
    """Every variable by name, in the order in which they depend on each other.

    Of many values those in ``prefer`` come first.
    """
    found = {name: Value((value or "prometheus",)) for name, value in dashboard.inputs.items()}
    waiting = list(dashboard.variables)
    for _ in range(len(waiting) + 1):
        left = []
        for each in waiting:
            try:
                found[each.name] = _value(each, found, prometheus, known, prefer)
            except Undefined:
                left.append(each)
        if len(left) == len(waiting):
            break
        waiting = left
    for each in waiting:  # they ask for a variable that there is not
        found[each.name] = Value((), Absence("dead", f"${each.name} asks for an unknown variable"))
    return found


def _value(
    each: Variable, found: dict[str, Value], prometheus: Prometheus, known: Known,
    prefer: Sequence[str],
) -> Value:  # fmt: skip
    if each.kind == "datasource":
        return Value(("prometheus",))
    if each.kind != "query":
        first = [one for one in each.current if not one.startswith("$__")]
        values = tuple(dict.fromkeys(first + list(each.values)))
        return Value(values[:_MOST] or (".*",))
    if each.all_value and each.many:
        return Value((each.all_value,))
    query = filled(each.query, {**known.builtins,
                                **{name: one.values for name, one in found.items()}})  # fmt: skip
    told, why = _asked(query, prometheus, known)
    kept = chosen(told, each.regex)[:_MOST]
    if kept:
        return Value(tuple(sorted(kept, key=lambda value: value not in prefer)))
    if told:
        why = Absence("dead", f"its regex {each.regex} keeps none of {', '.join(told[:3])}")
    if why is not None and why.kind != "dead":  # nobody can know its values here
        return Value((".*",))
    reason = why.reason if why else "it returns nothing"
    return Value((), Absence("dead", f"${each.name} has no value: {query}: {reason}"))


def _asked(
    query: str, prometheus: Prometheus, known: Known
) -> tuple[list[str], Absence | None]:  # fmt: skip
    function, inner, label = asked(query)
    inner = without_labels(inner, known.moved, known.kept)
    try:
        if function == "metrics":
            return chosen(sorted(prometheus.names()), inner), None
        if function == "label_names":
            found = prometheus.query(inner or "up")
            return sorted({name for series in found for name in series.labels}), None
        if function == "label_values":
            selected = inner or '{__name__=~".+"}'
            found = prometheus.query(f"count by ({label}) ({selected})")
            values = sorted({series.labels[label] for series in found if label in series.labels})
        else:
            values = [_line(series.labels, series.last, series.times[0])
                      for series in prometheus.query(inner)]  # fmt: skip
        if values:
            return values, None
        if label and known.moves(label):
            return [], Absence("foreign", f"{label} is a label of another environment")
        return [], _why(inner, prometheus, known)
    except QueryFailed as error:
        return [], Absence("dead", str(error))


def _why(inner: str, prometheus: Prometheus, known: Known) -> Absence | None:
    if not inner:
        return None
    try:
        return absence(list(selectors(parse(inner))), prometheus, known)
    except (Unparsable, RecursionError) as error:
        return Absence("dead", str(error))


def _line(labels: object, value: float, at: float) -> str:
    assert isinstance(labels, dict)
    inner = ",".join(f'{name}="{text}"' for name, text in labels.items() if name != "__name__")
    return f"{labels.get('__name__', '')}{{{inner}}} {value:g} {round(at * 1000)}"
