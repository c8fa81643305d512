"""Traces made by hand: of a request to one model, and of one to an ensemble with two steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_triton.probe_set import ADDSUB, CHAIN
from pytest_triton.tracing.asked import HTTP, Asked
from pytest_triton.tracing.stamps import ANSWERED, ORDER, WIRE, Trace

MS = 1_000_000
SERVICE = "made"


def asked(model: str = ADDSUB, **more: Any) -> Asked:
    return replace(Asked("r", HTTP, model, 0, 100 * MS), **more)


def stamps(names: tuple[str, ...], begin: int) -> tuple[tuple[str, int], ...]:
    """One every millisecond."""
    return tuple((name, (begin + at) * MS) for at, name in enumerate(names))


def front(begin: int, end: int) -> tuple[tuple[str, int], ...]:
    """Those of HTTP around a request."""
    wire = WIRE[HTTP]
    return (*stamps(wire[:2], begin - 2), *stamps((ANSWERED, *wire[2:]), end))


def trace(number: int, begin: int, *, model: str = ADDSUB, parent: int = 0, **more: Any) -> Trace:
    """A whole one."""
    around = () if parent else front(begin, begin + 6)
    made = Trace(number, model, 1, "r", parent, (*around, *stamps(ORDER, begin)))
    return replace(made, **more)


def ensemble() -> tuple[Trace, list[Trace]]:
    """The trace of an ensemble, and those of its steps."""
    own = (*stamps(ORDER[:2], 10), ("REQUEST_END", 40 * MS), *front(10, 38))
    return Trace(1, CHAIN, 1, "r", 0, own), [
        trace(2, 13, parent=1),
        trace(3, 22, parent=1),
    ]


def changed(made: Trace, **times: float) -> Trace:
    """With other times, in milliseconds."""
    kept = [(name, round(times[name] * MS) if name in times else ns) for name, ns in made.stamps]
    return replace(made, stamps=tuple(kept))


def without(made: Trace, name: str) -> Trace:
    return replace(made, stamps=tuple(entry for entry in made.stamps if entry[0] != name))
