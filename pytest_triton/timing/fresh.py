"""Whether inputs that come again are computed again: MLPerf's TEST04, by the server's own account.

A model that remembers its answers counts every request, and no cache is hit; but what it never saw
takes longer than what it saw before.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_triton.criteria import Inconclusive
from pytest_triton.load.requests import prepare_http
from pytest_triton.load.serverside import Reading
from pytest_triton.measuring import drive
from pytest_triton.subject import Subject
from pytest_triton.timing import runs

#: Inputs of a turn that nobody sent before, and turns: the fastest counts, since noise only adds.
FRESH, TURNS = 48, 3
#: Inputs that are known by then, since every run draws from them.
_KNOWN = 64
#: New inputs may take this many times what known ones take, and so many ms more.
TIMES, MORE_MS = 2.0, 0.5
#: What is so many times slower in every turn, known inputs between them, is not noise.
FAR = 4.0


@dataclass(frozen=True, slots=True)
class Fresh:
    """Mean time of an execution in ms, of inputs that came before and of new ones."""

    known_ms: float
    new_ms: float

    @property
    def remembered(self) -> bool:
        return self.new_ms > TIMES * self.known_ms and self.new_ms - self.known_ms > MORE_MS


def fresh(subject: Subject) -> Fresh | None:
    """Known and new inputs in turn. None where there are too few different ones, or the server
    does not tell; Inconclusive where only noise can have made the difference."""
    name, requests = runs.requests_of(subject)
    cases = subject.distinct(name, _KNOWN + TURNS * FRESH)[_KNOWN:]
    if len(cases) < TURNS * FRESH:
        return None
    known: list[float] = []
    new: list[float] = []
    noise = ""
    for turn in range(TURNS):
        some = cases[turn * FRESH : (turn + 1) * FRESH]
        asked = [prepare_http(name, "", case.inputs, batch=max(case.batch, 1)) for case in some]
        for these, found in ((requests[:FRESH], known), (asked, new)):
            run = drive(subject, name, these, concurrency=1, count=FRESH, warmup_s=0.0)
            runs.plain(run)
            noise = noise or runs.restless(run)
            if (took := _execution_ms(run.served_whole)) is not None:
                found.append(took)
    if not known or not new:
        return None
    result = Fresh(min(known), min(new))
    if result.remembered and noise and result.new_ms < FAR * result.known_ms:
        raise Inconclusive(
            f"{name}: new inputs take {result.new_ms:.2f} ms, known ones {result.known_ms:.2f} ms; "
            f"{noise}"
        )
    return result


def _execution_ms(served: Reading | None) -> float | None:
    executions = sum(served.batches.values()) if served else 0
    return served.busy_ns / executions / 1e6 if served and executions else None
