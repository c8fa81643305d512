"""Spans of requests as the trees that they make: whole, and each inside its parent.

A request is ``InferRequest``; in it is a span of its model, named like it; in that one
``compute``, or a span for each step of an ensemble. Source: Triton user guide, trace.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_triton.tracing.asked import Asked
from pytest_triton.tracing.spans import SERVER, Span, inside
from pytest_triton.tracing.stamps import COMPUTE, REQUEST, Trace, request_flaws

ROOT, EXECUTION = "InferRequest", "compute"
#: First release seen to tell a request's id in its spans (2.48); 2.39 does not.
ID_SINCE = "24.07"
MODEL, VERSION, REQUEST_ID = "triton.model_name", "triton.model_version", "triton.request_id"
NUMBER, PARENT = "triton.trace_id", "triton.trace_parent_id"


@dataclass(frozen=True, slots=True)
class Tree:
    """The spans of one request: ``children`` of each by its id, in the order of their start."""

    root: Span
    children: Mapping[str, list[Span]]

    def below(self, span: Span) -> list[Span]:
        """The children of a span; a root below itself is none."""
        return [child for child in self.children.get(span.id, []) if child is not self.root]

    def walk(self, span: Span | None = None, depth: int = 0) -> Iterator[tuple[int, Span]]:
        """Every span with its depth, each before its children."""
        here = span or self.root
        yield depth, here
        for child in self.below(here):
            yield from self.walk(child, depth + 1)

    @property
    def top(self) -> Span | None:
        """The span of the request's model."""
        return next(iter(self.below(self.root)), None)

    @property
    def request_id(self) -> str:
        """The id that the client gave, "" where it is not told."""
        return str(self.top.attributes.get(REQUEST_ID, "")) if self.top else ""

    @property
    def number(self) -> int:
        """Triton's number of the request's trace: it counts them."""
        return _int(self.top.attributes.get(NUMBER)) if self.top else 0

    def trace(self, span: Span) -> Trace:
        """The timestamps of a model's span; those of its execution and of a root are among them."""
        around = self.root.stamps if span.parent == self.root.id else ()
        within = [stamp for child in self.below(span) if child.name == EXECUTION
                  for stamp in child.stamps]  # fmt: skip
        told = span.attributes
        return Trace(
            _int(told.get(NUMBER)), str(told.get(MODEL, "")), _int(told.get(VERSION)),
            str(told.get(REQUEST_ID, "")), _int(told.get(PARENT)), (*around, *span.stamps, *within),
        )  # fmt: skip

    def steps(self) -> list[Span]:
        """The spans of an ensemble's steps, in the order of their start."""
        return [span for span in self.below(self.top) if span.name != EXECUTION] if self.top else []


def _int(value: Any) -> int:
    return value if isinstance(value, int) else 0


def grow(spans: Sequence[Span]) -> tuple[list[Tree], list[str]]:
    """The trees in the order of Triton's numbers, and what is wrong with spans of none."""
    children = inside(spans)
    trees = [Tree(span, children) for span in spans if span.name == ROOT]
    ids = [span.id for span in spans]
    if len(set(ids)) < len(ids):
        return [], ["two spans have one id"]
    placed = {span.id for tree in trees for _, span in tree.walk()}
    lost = [span for span in spans if span.id not in placed]
    said = [f"span {span.name!r} has no parent among the spans that came" for span in lost[:3]]
    return sorted(trees, key=lambda tree: tree.number), said


def tree_flaws(tree: Tree, asked: Asked, service: str, *, named: bool) -> list[str]:
    """What is wrong with the tree of a request; ``named``: its spans tell the request's id."""
    top = tree.top
    if top is None or len(tree.below(tree.root)) != 1:
        names = [span.name for span in tree.below(tree.root)]
        return [f"has {names} in {ROOT}, not one span of {asked.model}"]
    said = _shape(tree, asked, top)
    for _, span in tree.walk():
        said += [f"span {span.name!r} {text}" for text in _span_flaws(tree, span, service)]
    steps = [tree.trace(span) for span in tree.steps()]
    return said + request_flaws(asked, tree.trace(top), steps, named=named)


def _shape(tree: Tree, asked: Asked, top: Span) -> list[str]:
    """Which spans there are: what is executed has one ``compute``, an ensemble none."""
    said = []
    for span in (top, *tree.steps()):
        wanted = 0 if asked.steps and span is top else 1
        found = [child for child in tree.below(span) if child.name == EXECUTION]
        if len(found) != wanted:
            said.append(f"has {len(found)} spans {EXECUTION!r} in {span.name!r}")
        if not isinstance(number := span.attributes.get(NUMBER), int) or number < 1:
            said.append(f"span {span.name!r} has the {NUMBER} {number!r}")
        if span.name != span.attributes.get(MODEL):
            said.append(f"span {span.name!r} says that its model is {span.attributes.get(MODEL)!r}")
    return said


def _span_flaws(tree: Tree, span: Span, service: str) -> list[str]:
    said = []
    if span.resource.get("service.name") != service:
        said.append(f"comes from service {span.resource.get('service.name')!r}, not {service!r}")
    if span.trace != tree.root.trace:
        said.append("is of another trace than its root")
    if span.kind != SERVER:
        said.append(f"is of kind {span.kind}, not {SERVER}")
    if span.end < span.start:
        said.append("ends before it starts")
    for child in tree.below(span):
        if child.start < span.start or child.end > span.end:
            said.append(f"does not contain {child.name!r}")
    names = () if span is tree.root else COMPUTE if span.name == EXECUTION else REQUEST
    times = dict(span.stamps)
    if foreign := [name for name in (*REQUEST, *COMPUTE) if name in times and name not in names]:
        said.append(f"has {', '.join(foreign)}, of other spans")
    if names and (times.get(names[0]), times.get(names[-1])) != (span.start, span.end):
        said.append(f"does not last from {names[0]} to {names[-1]}")
    if late := [event.name for event in span.events if event.ns > span.end]:
        said.append(f"ends before {', '.join(late)}")
    # A front end reads the request first: the events of that come before the root's start.
    if names and (early := [event.name for event in span.events if event.ns < span.start]):
        said.append(f"starts after {', '.join(early)}")
    return said


def forest_flaws(
    spans: Sequence[Span], asked: Sequence[Asked], service: str, *, named: bool
) -> list[str]:
    """What is wrong with the spans of requests; without ids they were sent one after the other."""
    trees, said = grow(spans)
    if len(trees) != len(asked):
        said.append(f"{len(trees)} requests have a trace, {len(asked)} were sent")
    known = {tree.request_id: tree for tree in trees}
    for at, each in enumerate(asked):
        tree = known.get(each.id) if named else trees[at] if at < len(trees) else None
        if tree is None:
            said.append(f"request {each} has no trace")
        else:
            found = tree_flaws(tree, each, service, named=named)
            said += [f"the trace of {each} {text}" for text in found]
    for what, values in (
        ("id", [tree.root.trace for tree in trees if not tree.root.parent]),
        (NUMBER, [tree.number for tree in trees]),
    ):
        if len(set(values)) < len(values):
            said.append(f"two traces have one {what}")
    return said


def lateness(spans: Sequence[Span], asked: Sequence[Asked], *, named: bool) -> list[float]:
    """Seconds from each answer to the arrival of the last span of its request."""
    trees, _ = grow(spans)
    answered = {each.id: each.answered / 1e9 for each in asked}
    pairs = (
        [(tree, answered[tree.request_id]) for tree in trees if tree.request_id in answered]
        if named
        else list(zip(trees, answered.values(), strict=False))
    )
    return [max(span.arrived for _, span in tree.walk()) - at for tree, at in pairs]


def to_json(spans: Sequence[Span]) -> list[dict[str, Any]]:
    """For the evidence."""
    return [
        {"name": span.name, "trace": span.trace, "id": span.id, "parent": span.parent,
         "start": span.start, "end": span.end, "events": dict(span.stamps),
         "attributes": dict(span.attributes), "service": span.resource.get("service.name"),
         "tracestate": span.state, "arrived_s": span.arrived}
        for span in spans
    ]  # fmt: skip


def ids_told(release: str | None) -> bool:
    """Whether a release tells the ids of requests in their spans."""
    return release is None or release >= ID_SINCE
