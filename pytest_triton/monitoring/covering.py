"""What the dashboards cover, without the queries that return nothing: signals, models, units."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_triton.monitor.forms import form
from pytest_triton.monitor.panels import shape_of, unit_of
from pytest_triton.monitor.promql import selectors
from pytest_triton.monitor.signals import BY_MODEL, SIGNALS, told
from pytest_triton.monitoring.absence import Known
from pytest_triton.monitoring.queries import Answer

#: Panels that a dashboard has at least.
PANELS = 6
_MODEL = re.compile(r"\{\{\s*\.?(?:labels\.)?model\s*\}\}|by\s*\([^)]*\bmodel\b[^)]*\)"
                    r"|model\s*=~?\s*[\"'][^\"']*(?:\$|\[\[)")  # fmt: skip
#: Data sources of Grafana's own.
_OWN_SOURCES = ("-- ", "grafana", "__expr__")


def there(answers: Sequence[Answer]) -> list[Answer]:
    """The queries that are not dead."""
    return [answer for answer in answers if answer.verdict != "dead"]


def covered(answers: Sequence[Answer], known: Known) -> dict[str, list[Answer]]:
    """Signal -> the queries that tell it."""
    made: dict[str, list[Answer]] = {signal: [] for signal in SIGNALS}
    for answer in there(answers):
        if answer.tree is None:
            continue
        names = {each.name for each in known.followed(list(selectors(answer.tree)))}
        for signal in told(names):
            made[signal].append(answer)
    return made


def uncovered(by_signal: dict[str, list[Answer]]) -> list[str]:
    """What is missing: signals, and signals that no panel splits by model."""
    found = [f"no panel shows {signal}" for signal in SIGNALS if not by_signal[signal]]
    found += [
        f"no panel shows {signal} of one model: sum by (model) (…), legend {{{{model}}}}"
        for signal in BY_MODEL
        if by_signal[signal] and not any(map(splits, by_signal[signal]))
    ]
    return found


def splits(answer: Answer) -> bool:
    """Whether one model can be told from another: by label, legend, or a variable."""
    if any("model" in each.labels for each in answer.series):
        return True
    return bool(_MODEL.search(f"{answer.target.expr} {answer.target.legend}"))


def fixed(answer: Answer) -> str:
    """The data source that only one Grafana has; "" for the default one, or a variable."""
    source = answer.target.source
    if not source or "$" in source or "[[" in source:
        return ""
    return "" if source.lower().startswith(_OWN_SOURCES) else source


def unitless(answer: Answer, known: Known) -> bool:
    """Whether it shows a duration, and nobody says in which unit."""
    if answer.tree is None:
        return False
    shape = shape_of(form(answer.tree, known.recorded))
    if shape is None or shape.dimension != "duration":
        return False
    return unit_of(answer.panel, answer.target) == ""
