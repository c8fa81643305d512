"""One objective on a server that is there: the load, both accounts, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pytest_triton.load.budgets import Judgement
from pytest_triton.load.result import LoadResult
from pytest_triton.load.serverside import Served
from pytest_triton.load.stream_load import stream_load
from pytest_triton.load.tokens import StreamProtocol, TimedStream
from pytest_triton.loading import streaming
from pytest_triton.loading.levels import Level
from pytest_triton.loading.prompts import Prompts
from pytest_triton.loading.sweep import Wanted, drive
from pytest_triton.loading.target import Target
from pytest_triton.objectives.accounts import Accounts, accounts_of
from pytest_triton.objectives.judging import judge, judge_streams
from pytest_triton.objectives.stating import Objective

#: Connections of an open loop, at most.
CONNECTIONS = 256
#: Streams at once, and tokens of each, where nobody states them.
STREAMS, TOKENS = 2, 16
#: Seconds for one stream.
STREAM_S = 60.0


@dataclass(frozen=True)
class Seen:
    """One objective, what was measured, and what it came to."""

    objective: Objective
    load: str
    run: LoadResult
    accounts: Accounts | None
    judged: Sequence[Judgement]
    streams: Sequence[TimedStream] = field(default_factory=tuple)

    @property
    def contradiction(self) -> str:
        """Why the two accounts cannot both be right; empty where they can."""
        if self.accounts is None:
            return ""
        return self.accounts.missing() or self.accounts.surplus()


def plain(target: Target, objective: Objective, wanted: Wanted,
          say: Callable[[str], None] | None = None) -> Seen:  # fmt: skip
    """Requests with one answer; there is no warm-up: a window has every request."""
    rate, concurrency = objective.rate, objective.concurrency
    level = Level(rate=rate) if rate else Level(concurrency or 1)
    requests = target.prepared(wanted.protocol, wanted.batch)
    run = drive(target, wanted, requests, level, say)
    accounts = accounts_of([run])
    load = f"{rate:g} requests/s" if rate else f"{level.number:g} in flight"
    return Seen(objective, load, run, accounts, judge(objective, run, accounts))


def streams(
    target: Target, objective: Objective, protocol: StreamProtocol, window_s: float,
    *, connections: int = CONNECTIONS, say: Callable[[str], None] | None = None,
) -> Seen:  # fmt: skip
    """Token streams over one protocol; an open loop opens ``connections`` at most."""
    wanted = Wanted(protocol, window_s, 0.0, timeout_s=STREAM_S, connections=connections)
    level = (
        Level(rate=objective.rate) if objective.rate else Level(objective.concurrency or STREAMS)
    )
    prompts = Prompts(target.inputs, objective.max_tokens or TOKENS, seed=target.seed)
    ready = streaming.prepare(target, wanted, prompts, None, say)
    load = stream_load(streaming.job(target, wanted, ready, level), Served(target.counters), say)
    run = streaming.streamed(load, level, ready).measured.result
    accounts = accounts_of([run])
    judged = [*judge(objective, run, accounts, streams=True),
              *judge_streams(objective, run, load.counted)]  # fmt: skip
    what = "requests/s" if objective.rate else "streams"
    return Seen(objective, f"{level.number:g} {what} over {protocol}", run, accounts, judged,
                load.counted)  # fmt: skip
