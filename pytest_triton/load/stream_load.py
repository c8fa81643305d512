"""Load of streams, in a closed or an open loop: generated in this process, every stream kept.

The pacing is that of the other load (:mod:`pytest_triton.load.pacing`); a client here takes a
stream where a client there takes an answer.
"""

from __future__ import annotations

import asyncio
import math
import os
import resource
import sys
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from pytest_triton.load import pacing
from pytest_triton.load.cpu import CpuMeter, CpuSample, foreign
from pytest_triton.load.plan import Plan
from pytest_triton.load.process import Progress
from pytest_triton.load.result import LoadResult
from pytest_triton.load.running import Run
from pytest_triton.load.serverside import Served
from pytest_triton.load.stream_links import Link, Place
from pytest_triton.load.streams import take, told, too_late
from pytest_triton.load.tokens import StreamProtocol, TimedStream
from pytest_triton.load.trust import SATURATED, doubts, lateness

#: Seconds between two looks at the processors, and that a failed stream's client waits.
_CPU_EVERY, _AGAIN = 0.25, 0.05
#: Seconds from the connections to the first request, so that all begin together.
_SOON = 0.05


@dataclass(frozen=True, kw_only=True)
class StreamJob:
    """A load: either ``concurrency`` streams at once, or a ``plan`` (its warm-up included) with
    at most ``connections``. Seconds; ``pids`` are processes of the server on this machine, None
    where it is here and nobody knows them."""

    place: Place
    protocol: StreamProtocol
    bodies: Sequence[bytes]
    concurrency: int = 0
    plan: Plan | None = None
    warmup_s: float = 0.5
    duration_s: float = 5.0
    timeout_s: float = 60.0
    connections: int = 1000
    seed: int = 0
    pids: Sequence[int] | None = None


@dataclass(frozen=True)
class StreamLoad:
    """What came of it. ``counted``: the streams of the window, as ``result`` counts them;
    ``tokens``: tokens of whole streams that came while the window was open."""

    result: LoadResult
    counted: list[TimedStream] = field(default_factory=list)
    tokens: int = 0


class _Streams:
    """Every stream of a run, and how the next one is asked for."""

    def __init__(self, job: StreamJob, run: Run) -> None:
        self.job, self.run = job, run
        self.whole: list[TimedStream] = []
        self.counted: list[TimedStream] = []
        #: When the streams of ``counted`` were over: later than their last token.
        self.over: list[float] = []


class _Client:
    """One user: one stream at a time, on a connection of its own."""

    def __init__(self, made: _Streams) -> None:
        self.busy = False
        self.sent = 0.0
        self._made = made
        self._link: Link | None = None
        self._task: asyncio.Task[None] | None = None

    def connected(self) -> bool:
        return self._link is not None and self._link.usable

    async def connect(self) -> None:
        await self.close()
        job = self._made.job
        self._link = job.place.link(job.protocol)
        await asyncio.wait_for(self._link.connect(), job.timeout_s)

    async def close(self) -> None:
        if self._link is not None:
            await self._link.close()

    def send(self) -> None:
        """Send what is next, if anything is."""
        turn = self._made.run.feed.next(self)
        if turn is None:
            self.busy = False
            self._made.run.idle()
            return
        self.go(*turn)

    def go(self, index: int, planned: float) -> None:
        """Ask for one stream; ``planned`` 0: now."""
        self.busy = True
        self.sent = time.monotonic()
        self._task = self._made.run.loop.create_task(self._ask(index, planned))

    async def _ask(self, index: int, planned: float) -> None:
        made, job, run = self._made, self._made.job, self._made.run
        stream = TimedStream(index, planned or self.sent)
        try:
            if not self.connected():
                await self.connect()
            assert self._link is not None
            self.sent = time.monotonic()
            await take(self._link, job.bodies[index], stream, job.timeout_s)
        except asyncio.TimeoutError:
            stream.error = too_late(stream, job.timeout_s)
        except Exception as error:
            stream.error = f"cannot connect: {told(error)}"
        now = time.monotonic()
        if planned:
            stream.started = planned
        if not stream.error and not stream.stamps:
            stream.error = "the stream ended without a token"
        if stream.error:
            if run.fail(stream.error, planned or None):
                made.counted.append(stream)
            await asyncio.sleep(_AGAIN)  # or a dead server would be a busy loop
        else:
            made.whole.append(stream)
            if run.record(index, stream.started, self.sent, now, b"", 0):
                made.counted.append(stream)
                made.over.append(now)
        self.send()

    def give_up(self, text: str) -> None:
        """The deadline is the stream's own."""


def stream_load(
    job: StreamJob, served: Served | None = None, progress: Progress | None = None
) -> StreamLoad:
    """Drive it and measure. Streams that fail are counted with their texts.

    ``served`` is read before, at the window's start and after. Raises OSError where nobody
    answers at the first connection.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if job.plan is not None and soft < hard:  # a connection is a descriptor
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    made: StreamLoad = pacing.run(_driven(job, served, progress), precise=job.plan is not None)
    return made


async def _driven(job: StreamJob, served: Served | None, progress: Progress | None) -> StreamLoad:
    at_first = job.concurrency or 1
    run = Run(
        {
            "timeout_s": job.timeout_s, "max_bytes": 0, "check_every": sys.maxsize, "count": None,
            "open": job.plan is not None, "sample_bytes": 0, "seed": job.seed, "first": 0,
            "connections": job.connections, "warmup_s": job.warmup_s,
            "duration_s": job.duration_s, "max_s": job.duration_s,
        },
        job.bodies,
    )  # fmt: skip
    made = _Streams(job, run)
    clients = [_Client(made) for _ in range(at_first)]
    run.connections = list(clients)
    connected = await asyncio.gather(
        *(client.connect() for client in clients), return_exceptions=True
    )
    for error in filter(None, connected):
        late = isinstance(error, asyncio.TimeoutError)
        raise OSError(f"no connection within {job.timeout_s:g} s") if late else error
    if served:
        await asyncio.to_thread(served.begin)
    meter = CpuMeter(job.pids or (), alone=(os.getpid(),))
    samples = [meter.sample()]
    start = time.monotonic() + _SOON
    feed: pacing.AtOnce | pacing.Paced
    if job.plan is None:
        feed = pacing.AtOnce(run)
    else:
        # whole microseconds, so that the same requests lie in the window here and there
        times = array("d", np.round(job.plan.times, 6).tobytes())
        feed = pacing.Paced(run, start, times, lambda run, number: _Client(made))
    run.feed = feed
    watch = [asyncio.ensure_future(_watched(meter, samples))]
    if served:
        watch.append(asyncio.ensure_future(_opened(served, start + job.warmup_s)))
    spent = time.process_time(), time.thread_time()
    if progress:
        progress("warming up")
    await pacing.play(run, feed, start, lambda done: _tell(job, done, progress))
    wall = time.monotonic() - start
    used = time.process_time() - spent[0], (time.thread_time() - spent[1]) / max(wall, 1e-9)
    watch.pop(0).cancel()
    await asyncio.gather(*watch)
    samples.append(meter.sample())
    for client in run.connections:
        if isinstance(client, _Client):
            await client.close()
    if served:
        await asyncio.to_thread(served.finish, run.good, run.bad)
    slept = np.frombuffer(feed.slept) if isinstance(feed, pacing.Paced) else np.empty(0)
    return _collected(made, samples, served, used, slept)


def _tell(job: StreamJob, done: dict[str, float], progress: Progress | None) -> None:
    if progress:
        failed = f", {done['errors']} errors" if done["errors"] else ""
        progress(f"measuring {done['s']:.1f} of {job.duration_s:g} s, {done['n']} streams{failed}")


async def _watched(meter: CpuMeter, samples: list[CpuSample]) -> None:
    while True:
        await asyncio.sleep(_CPU_EVERY)
        samples.append(meter.sample())


async def _opened(served: Served, at: float) -> None:
    await asyncio.sleep(max(0.0, at - time.monotonic()))
    await asyncio.to_thread(served.open)


def _collected(
    made: _Streams, samples: Sequence[CpuSample], served: Served | None,
    used: tuple[float, float], slept: np.ndarray[Any, Any],
) -> StreamLoad:  # fmt: skip
    job, run = made.job, made.run
    opened, duration = run.opened, run.closed - run.opened
    good = [stream for stream in made.counted if not stream.error]
    over = np.array(made.over) - opened
    began = np.array([stream.started for stream in good]) - opened
    series = [
        (one.at - opened, two.at - opened, foreign(one, two))
        for one, two in pairwise(samples)
        if two.at > opened and one.at < run.closed
    ]
    if job.pids is None:  # what the server used would count as foreign
        series = []
    seen = sum(to - since for since, to, _ in series)
    others = sum((to - since) * cores for since, to, cores in series)
    tells = served is not None and served.tells
    plan = job.plan
    result = LoadResult(
        requests=len(good) + run.errors.total(), errors=run.errors.total(), wrong=0, checked=0,
        duration_s=duration, throughput_rps=run.in_window / duration if duration > 0 else 0.0,
        latency_us=(over - began) * 1e6, ended_s=over, started=opened, finished=run.closed,
        concurrency=job.concurrency, error_texts=Counter(run.errors),
        foreign_cpu=others / seen if seen else math.nan, foreign_series=series,
        client_cpu_s=used[0], client_busy=used[1],
        inferences=run.in_window / duration if duration > 0 else 0.0, protocol=job.protocol,
        request_rate=plan.rate if plan else math.nan, arrivals=plan.arrivals if plan else "",
        planned=_planned(job), slept_us=slept, failed_s=np.array(run.failed),
        connections=len(run.connections), good=run.good, bad=run.bad,
        served=served.window if served and tells else None,
        served_whole=served.whole if served and tells else None,
        unread=served.fault if served else "",
    )  # fmt: skip
    tokens = sum(
        run.opened <= stamp <= run.closed for stream in made.whole for stamp in stream.stamps
    )
    return StreamLoad(judged(result, good), made.counted, tokens)


def _planned(job: StreamJob) -> int:
    if job.plan is None:
        return 0
    times, since = np.round(job.plan.times, 6), round(job.warmup_s, 6)
    return int(np.count_nonzero((times >= since) & (times < round(since + job.duration_s, 6))))


def judged(result: LoadResult, good: Sequence[TimedStream]) -> LoadResult:
    """Doubts are about whole streams; latencies are to the last token, as the field has them."""
    found = list(doubts(result))
    if result.concurrency and result.client_busy > SATURATED:
        found.append(
            f"this client computed for {result.client_busy:.0%} of the time: the stamps are its own"
        )
    ttft = np.array([stream.ttft_s for stream in good]) * 1e6
    # to be on time is a matter of the first token, not of the last
    text = lateness(replace(result, latency_us=ttft))
    return replace(
        result, doubts=tuple(found), lateness=text,
        latency_us=np.array([stream.latency_s for stream in good]) * 1e6,
    )  # fmt: skip
