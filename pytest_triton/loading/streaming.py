"""Token streams of a model under load: asked alone before, then level by level."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from pytest_triton.errors import Misused, ToolError
from pytest_triton.load import pacing
from pytest_triton.load.engine import here
from pytest_triton.load.plan import planned, with_warmup
from pytest_triton.load.records import Record
from pytest_triton.load.serverside import Served
from pytest_triton.load.stream_links import Place
from pytest_triton.load.stream_load import StreamJob, StreamLoad, stream_load
from pytest_triton.load.stream_requests import INTEGERS, TokenOutput, shape_flaw, stream_body
from pytest_triton.load.streams import take, told
from pytest_triton.load.tokens import TimedStream, Token, TokenRun, summary
from pytest_triton.loading.levels import Level
from pytest_triton.loading.prompts import Prompts, asked
from pytest_triton.loading.sweep import Measured, Wanted, record
from pytest_triton.loading.target import Target
from pytest_triton.probe.inputs import tensor_specs

#: Outputs that are tokens where a model has several.
OUTPUTS = ("token_ids", "text_output")
#: Requests that are asked alone, those that are so twice, and seconds after which no more are.
ALONE, TWICE, ALONE_S = 32, 2, 5.0
#: Seconds for the first connection.
CONNECT_S = 10.0


@dataclass(frozen=True)
class Ready:
    """Requests as they go out, and what each was answered with alone; None: was not asked, or
    not answered. ``uncompared``: why contents are not compared; "" where they are."""

    place: Place
    bodies: list[bytes]
    alone: list[list[Token] | None]
    uncompared: str = ""


@dataclass(frozen=True)
class Streamed:
    """One level: ``measured`` as of other load, latencies to the last token; ``run``: what is
    told of tokens, and ``tokens``: how many came inside the window."""

    measured: Measured
    run: TokenRun
    tokens: int


def output_of(target: Target, name: str | None) -> TokenOutput:
    """The output that is read. Raises Misused where it has to be named, or is none."""
    metadata = target.http.model_metadata(target.model, target.version)
    specs = {spec.name: spec for spec in tensor_specs(metadata.get("outputs", []))}
    told = f"outputs are {', '.join(specs)}"
    if name is not None and name not in specs:
        raise Misused(f"--token-output {name}: {target.model} has no such output", told)
    likely = [one for one in OUTPUTS if one in specs] or list(specs)
    if name is None and len(specs) != 1 and likely[0] not in OUTPUTS:
        raise Misused(f"{target.model} has {len(specs)} outputs", f"give --token-output: {told}")
    chosen = name or likely[0]
    return TokenOutput(chosen, specs[chosen].datatype)


def prepare(
    target: Target, wanted: Wanted, prompts: Prompts, output: str | None,
    say: Callable[[str], None] | None = None,
) -> Ready:  # fmt: skip
    """Ask requests alone, the first ones twice: only a model that repeats itself is compared.

    Raises ToolError where the server refuses every one of them.
    """
    found = output_of(target, output)
    place = Place(target.http_url, target.grpc_url or "", target.model, found, target.version,
                  target.headers, target.tls)  # fmt: skip
    metadata = target.http.model_metadata(target.model, target.version)
    requests = asked(target.model, metadata, target.config, prompts)
    specs = tensor_specs(metadata.get("inputs", []))
    flaws = (shape_flaw(specs, case.inputs) for case in requests.cases)
    if wanted.protocol == "http" and (flaw := next(filter(None, flaws), "")):
        raise Misused(f"{target.model}: {flaw}", "use --protocol grpc")
    try:
        bodies = [
            stream_body(wanted.protocol, target.model, case.inputs, version=target.version,
                        parameters=requests.parameters)
            for case in requests.cases
        ]  # fmt: skip
    except TypeError as error:
        raise Misused(f"{target.model}: {error}", "use --protocol grpc") from None
    ready = Ready(place, bodies, [None] * len(bodies))
    return pacing.run(_alone(ready, wanted, say), precise=False)  # type: ignore[no-any-return]


async def _alone(ready: Ready, wanted: Wanted, say: Callable[[str], None] | None) -> Ready:
    link = ready.place.link(wanted.protocol)

    async def once(at: int) -> TimedStream:
        stream = TimedStream(at, time.monotonic())
        try:
            if not link.usable:
                await link.close()
                await asyncio.wait_for(link.connect(), CONNECT_S)
            await take(link, ready.bodies[at], stream, wanted.timeout_s)
        except asyncio.TimeoutError:
            raise ToolError(f"no connection within {CONNECT_S:g} s", "is a Triton there?") from None
        except OSError as error:
            raise ToolError(told(error), "is a Triton there?") from None
        return stream

    since, uncompared = time.monotonic(), ""
    integers = ready.place.output.datatype in (*INTEGERS, "BYTES")
    if not integers:
        uncompared = f"{ready.place.output.name} holds {ready.place.output.datatype}"
    refused = 0
    for at in range(min(ALONE, len(ready.bodies))):
        if say:
            say(f"asking alone, request {at + 1}")
        stream = await once(at)
        refused += stream.refused and not stream.tokens
        if refused > TWICE:
            break
        if not stream.error and stream.tokens:
            ready.alone[at] = stream.tokens
            again = await once(at) if at < TWICE else stream
            if not again.error and again.tokens != stream.tokens:
                uncompared = uncompared or "asked twice alone, the model said two things"
        if time.monotonic() - since > ALONE_S or (uncompared and at + 1 >= TWICE):
            break
    await link.close()
    known = [one for one in ready.alone if one is not None]
    if refused and not known:
        raise ToolError(
            f"{ready.place.model} refuses every request ({stream.error})",
            "give real inputs: --inputs FILE, as perf_analyzer's --input-data",
        )
    if not known:
        uncompared = uncompared or "no stream was whole when it was asked alone"
    return replace(ready, uncompared=uncompared)


def sweep(
    target: Target, wanted: Wanted, ready: Ready, levels: Sequence[Level],
    say: Callable[[str], None] | None = None, each: Callable[[Streamed], None] | None = None,
) -> list[Streamed]:  # fmt: skip
    """Measure every level."""
    made = []
    for level in levels:
        load = stream_load(job(target, wanted, ready, level), Served(target.counters), say)
        made.append(streamed(load, level, ready))
        if each:
            each(made[-1])
    return made


def job(target: Target, wanted: Wanted, ready: Ready, level: Level) -> StreamJob:
    """What one level comes to."""
    duration, plan = wanted.duration_s, None
    if wanted.trace is not None:
        plan, duration = with_warmup(wanted.trace, wanted.warmup_s, None)
    elif level.rate is not None:
        seconds = wanted.warmup_s + duration
        plan = planned(wanted.arrivals, level.rate, seconds, seed=target.seed)
    pids = target.processes()
    blind = not pids and here(urlsplit(target.http_url).hostname or "")
    return StreamJob(
        place=ready.place, protocol=wanted.protocol, bodies=ready.bodies,
        concurrency=level.concurrency or 0, plan=plan, warmup_s=wanted.warmup_s,
        duration_s=duration, timeout_s=wanted.timeout_s, connections=wanted.connections,
        seed=target.seed, pids=None if blind else tuple(pids),
    )  # fmt: skip


def streamed(load: StreamLoad, level: Level, ready: Ready) -> Streamed:
    """A level out of its load: streams compared with what was said alone."""
    result = load.result
    checked, wrong = 0, Counter[str]()
    for stream in load.counted:
        wanted = ready.alone[stream.prompt]
        if ready.uncompared or stream.error or wanted is None:
            continue
        checked += 1
        if text := _other(stream, ready.alone):
            wrong[text] += 1
    result = replace(result, checked=checked, wrong=wrong.total(), wrong_texts=wrong)
    run = summary(result.protocol, level.concurrency or 0, load.counted)  # type: ignore[arg-type]
    seconds = result.duration_s
    tps = load.tokens / seconds if seconds > 0 else 0.0
    run = replace(run, seconds=seconds, tps=tps)
    return Streamed(Measured(level, result, float("nan")), run, load.tokens)


def _other(stream: TimedStream, alone: Sequence[list[Token] | None]) -> str:
    """How a stream differs from what its request got alone; "": it does not."""
    wanted = alone[stream.prompt]
    if wanted is None or stream.tokens == wanted:
        return ""
    for other, tokens in enumerate(alone):
        if tokens is not None and tokens == stream.tokens:
            return f"request {stream.prompt} got the stream of request {other}"
    if len(stream.tokens) != len(wanted):
        return f"{len(stream.tokens)} tokens, alone they were {len(wanted)}"
    at = next(at for at, token in enumerate(wanted) if token != stream.tokens[at])
    return f"token {at} is {stream.tokens[at]!r:.40}, alone it was {wanted[at]!r:.40}"


def stream_record(streamed: Streamed, model: str, ready: Ready) -> Record:
    """The numbers of one level."""
    run = streamed.run
    made = record(streamed.measured, model)
    stream: dict[str, Any] = {
        "ttft_ms": asdict(run.ttft_ms),
        "itl_ms": asdict(run.itl_ms),
        "tokens": streamed.tokens,
        "tokens_per_s": run.tps,
        "tokens_per_s_per_user": run.tps_per_user,
        "token_output": ready.place.output.name,
    }
    return replace(made, stream=stream, more={**made.more, "uncompared": ready.uncompared})
