"""Which of many requests are traced: rates, counts, and none."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_triton.probe.adjust import HttpAdjusting
from pytest_triton.probe_set import ADDSUB
from pytest_triton.tracing.asked import Asked, ask
from pytest_triton.tracing.serving import PATIENCE_S, Exporting
from pytest_triton.tracing.spans import Span
from pytest_triton.tracing.trees import MODEL, REQUEST_ID, ROOT

#: Every so many requests are traced, and so often.
RATE, TIMES = 3, 3
#: Traces until there are no more.
COUNT = 2
MANY = 6


@dataclass(frozen=True, slots=True)
class Sampled:
    """Requests one after the other under some settings, and which of them have to be traced.

    ``at``: their places; any with these distances for a rate, where Triton may begin anywhere.
    """

    what: str
    asked: Sequence[Asked]
    wanted: int
    apart: int = 1

    def flaw(self, traced: Sequence[int]) -> str:
        """What is wrong with the places that were traced; "" if nothing is."""
        told = f"{self.what}: of {len(self.asked)} requests"
        if len(traced) != self.wanted:
            return f"{told} {len(traced)} are traced, not {self.wanted}"
        places = ", ".join(str(at + 1) for at in traced)
        if any(two - one != self.apart for one, two in itertools.pairwise(traced)):
            return f"{told} numbers {places} are traced, not every {self.apart}."
        return ""


def sample(server: Exporting, *, contexts: Sequence[dict[str, str]]) -> list[Sampled]:
    """Ask a server that was started with rate 0, and change that while it runs.

    ``contexts``: headers of requests that are traced at any rate. The last request is traced,
    and spans are exported in order: when its own are there, nothing is missing.
    """
    subject, settings = server.subject, HttpAdjusting(server.subject.http)

    def many(count: int) -> list[Asked]:
        return [ask(subject, ADDSUB) for _ in range(count)]

    made = [Sampled("rate 0", many(MANY), 0)]
    if contexts:
        sent = [ask(subject, ADDSUB, headers=headers) for headers in contexts]
        made.append(Sampled("rate 0, a traceparent each", sent, len(sent)))
    settings.trace({"trace_rate": str(RATE)})
    made.append(Sampled(f"rate {RATE}", many(RATE * TIMES), TIMES, RATE))
    settings.trace({"trace_rate": "1", "trace_count": str(COUNT)})
    made.append(Sampled(f"count {COUNT}", many(MANY), COUNT))
    settings.trace({"trace_rate": "1", "trace_count": "-1", "trace_level": ["OFF"]})
    made.append(Sampled("level OFF", many(MANY), 0))
    settings.trace({"trace_level": ["TIMESTAMPS"]})
    made.append(Sampled("rate 1", many(MANY), MANY))
    return made


def traced(server: Exporting, made: Sequence[Sampled], *, named: bool) -> list[Span]:
    """The spans that came once those of the last request did, or time is up."""
    last, wanted = made[-1].asked[-1], sum(each.wanted for each in made)

    def enough(spans: Sequence[Span]) -> bool:
        if named:
            return any(span.attributes.get(REQUEST_ID) == last.id for span in spans)
        return sum(span.name == ROOT for span in spans) >= wanted

    return server.collector.wait(enough, PATIENCE_S)


def sampled_flaws(
    spans: Sequence[Span], made: Sequence[Sampled], *, named: bool = True
) -> list[str]:
    """What is wrong with the requests that were traced: which, or (no id is told) how many."""
    if not named:
        found, wanted = sum(span.name == ROOT for span in spans), sum(one.wanted for one in made)
        told = ", ".join(f"{each.what} {each.wanted}" for each in made)
        return [f"{found} requests are traced, not {wanted}: {told}"] if found != wanted else []
    ids = {str(span.attributes.get(REQUEST_ID)) for span in spans if MODEL in span.attributes}
    places = [[at for at, one in enumerate(each.asked) if one.id in ids] for each in made]
    flaws = [each.flaw(found) for each, found in zip(made, places, strict=True)]
    return [flaw for flaw in flaws if flaw]
