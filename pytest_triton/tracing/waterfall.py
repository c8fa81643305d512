"""Traces as rows of a waterfall: where each span begins, and how long it lasts."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_triton.probe_set import PREFIX
from pytest_triton.tracing.spans import Span
from pytest_triton.tracing.stamps import STAGES
from pytest_triton.tracing.trees import EXECUTION, Tree

#: Label, begin and duration in ms.
Row = tuple[str, float, float]


def rows(trees: Sequence[Tree]) -> list[Row]:
    """A row for each span of requests and for each stage of an execution, in ms from the first."""
    first = min((tree.root.start for tree in trees), default=0)
    made: list[Row] = []
    for tree in trees:
        for _, span in tree.walk():
            if span.name == EXECUTION:
                continue
            made.append(
                (span.name.removeprefix(PREFIX), *_ms(span.start - first, span.end - first))
            )
            made += _stages(tree, span, first)
    return made


def _stages(tree: Tree, span: Span, first: int) -> list[Row]:
    times = tree.trace(span).times
    return [
        (f"· {stage.removeprefix('compute_')}", *_ms(times[begin] - first, times[end] - first))
        for stage, (begin, end) in STAGES.items()
        if begin in times and end in times
    ]


def _ms(begin: int, end: int) -> tuple[float, float]:
    return begin / 1e6, (end - begin) / 1e6
