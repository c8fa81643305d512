"""Trace contexts of clients, and what becomes of them.

Source: W3C Trace Context (traceparent: version, trace id, parent id, flags; tracestate).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_triton.tracing.asked import Asked
from pytest_triton.tracing.trees import Tree

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
#: First release seen to continue the traces of clients (2.48); 2.39 starts its own.
SINCE = "24.07"
#: Requests over gRPC, of which half at least have to continue their client's trace. Triton loses
#: some: it reads metadata as text that ends with a zero, and what follows makes another header
#: of it (1 to 8 % of them on 2.48 and 2.51; tracestate more often).
OVER_GRPC = 16
#: What is no traceparent. With one of these a server has to start a trace of its own.
BROKEN: Mapping[str, str] = {
    "words": "no context",
    "zeros for a trace": f"00-{'0' * 32}-b7ad6b7169203331-01",
    "zeros for a parent": f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
    "a parent that is too short": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033-01",
    "the forbidden version": "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}


@dataclass(frozen=True, slots=True)
class Context:
    """Where a client's trace stands: ids in hexadecimal digits, and its own state."""

    trace: str
    parent: str
    state: str

    @property
    def headers(self) -> dict[str, str]:
        """As headers of HTTP, or metadata of gRPC."""
        return {TRACEPARENT: f"00-{self.trace}-{self.parent}-01", TRACESTATE: self.state}


def contexts(seed: object, count: int) -> list[Context]:
    """Different ones, drawn."""
    draw = random.Random(f"{seed} contexts")
    return [
        Context(f"{draw.getrandbits(127) + 1:032x}", f"{draw.getrandbits(63) + 1:016x}",
                f"ptt={draw.getrandbits(32):x}")
        for _ in range(count)
    ]  # fmt: skip


def joins(tree: Tree, context: Context) -> bool:
    """Whether a request's trace continues that of its client."""
    return (tree.root.trace, tree.root.parent) == (context.trace, context.parent)


def context_flaws(tree: Tree, context: Context) -> list[str]:
    """How a request's trace does not continue that of its client."""
    said = []
    if tree.root.trace != context.trace:
        said.append(f"is {tree.root.trace}, its client's is {context.trace}")
    if tree.root.parent != context.parent:
        told = tree.root.parent or "nobody"
        said.append(f"has the parent {told}, its client's span is {context.parent}")
    for _, span in tree.walk():
        if span.trace != tree.root.trace:
            said.append(f"loses span {span.name!r} to trace {span.trace}")
        if span.state != context.state:
            said.append(f"has the tracestate {span.state!r} in span {span.name!r}, "
                        f"its client's is {context.state!r}")  # fmt: skip
            break
    return said


def own_flaws(
    trees: Mapping[str, Tree], asked: Sequence[Asked], others: Sequence[Context]
) -> list[str]:
    """How the traces of requests without a context are not their own."""
    said: list[str] = []
    taken = {context.trace for context in others}
    for each in asked:
        root = trees[each.id].root
        if root.parent:
            said.append(f"the trace of {each} has the parent {root.parent}, nobody gave it one")
        if root.trace in taken or any(root.trace in text for text in each.headers.values()):
            said.append(f"the trace of {each} is that of another request: {root.trace}")
        taken.add(root.trace)
    return said
