"""The windows that a subject's objectives are judged over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.errors import Misused, SubjectFault, ToolError
from pytest_triton.load.result import LoadResult, merged
from pytest_triton.load.tokens import StreamProtocol
from pytest_triton.loading import streaming
from pytest_triton.loading.target import Target
from pytest_triton.measuring import (
    drive,
    drive_open,
    permitted,
    prepare,
    server_processes,
    tls_files,
)
from pytest_triton.objectives.accounts import accounts_of
from pytest_triton.objectives.judging import judge
from pytest_triton.objectives.seen import CONNECTIONS, STREAMS, Seen, streams
from pytest_triton.objectives.stating import Objective, read
from pytest_triton.subject import Subject
from pytest_triton.timing import budgets, runs

#: Seconds of a window where nobody states them, for plain requests and for streams.
WINDOW_S, STREAMS_S = 10.0, 2.0
#: Light runs that are added up while they cannot tell.
LOOKS = 4


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What one window came to, a sentence for each: what is broken, what nobody can tell, and
    failures that the server's account hides."""

    broken: list[str]
    doubtful: list[str]
    findings: list[str]


def conclude(subject: Subject, seen: Seen) -> Conclusion:
    """Objectives that are not kept, and accounts that contradict each other.

    Answers that the server does not count are a fault, unless several servers answer at the
    address; counts that nobody asked for may be somebody else's.
    """
    told = {
        verdict: [one.reason for one in seen.judged if one.verdict == verdict]
        for verdict in ("fail", "inconclusive")
    }
    broken, doubtful, findings = told["fail"], told["inconclusive"], []
    if seen.accounts is None:
        doubtful.append(f"the statistics cannot be used: {seen.run.unread}")
    else:
        findings = seen.accounts.findings()
        if text := seen.accounts.missing():
            several = runs.several_servers(subject)
            (doubtful if several else broken).append(several or text)
        elif text := seen.accounts.surplus():
            doubtful.append(text)
    name = f"{seen.objective.model} at {seen.load}: "
    return Conclusion(*([name + text for text in part] for part in (broken, doubtful, findings)))


def stated(subject: Subject) -> list[Objective]:
    """Those of ``triton_budgets``, or of what was handed in. Raises ToolError, and SubjectFault for
    a file that was handed in."""
    settings = subject.settings
    file = settings.budgets or (settings.handed_in and settings.handed_in / budgets.FILE)
    if not file or (file != settings.budgets and not file.is_file()):
        return []
    try:
        found = read(file)
        if missing := [one.model for one in found if one.model not in subject.models]:
            raise ToolError(f"{file}: {missing[0]!r} is no ready model",
                            f"ready are {', '.join(sorted(subject.models))}")  # fmt: skip
        if wrong := [one.model for one in found
                     if one.streams and not _decoupled(subject, one.model)]:  # fmt: skip
            raise ToolError(f"{file}: {wrong[0]} does not stream: it has no TTFT and no ITL",
                            "state p95_ms for it")  # fmt: skip
    except ToolError as error:
        if settings.budgets:
            raise
        raise SubjectFault(str(error)) from None
    return found


def plain(subject: Subject) -> Iterator[Seen]:
    """Of requests with one answer: each that is stated, and availability at a light rate."""
    for objective in stated(subject):
        if not _decoupled(subject, objective.model):
            yield _driven(subject, objective)
    yield _light(subject)


def _light(subject: Subject) -> Seen:
    """The runs that the tail is looked at in, until they can tell."""
    found: list[LoadResult] = []
    objective = Objective(runs.model_of(subject), stated=False)
    for look in range(LOOKS):
        found.append(runs.light(subject, look).result)
        run = reduce(merged, found)
        accounts = accounts_of(found)
        judged = judge(objective, run, accounts)
        if all(one.verdict != "inconclusive" for one in judged):
            break
    rate = runs.light_rate(subject)
    return Seen(objective, f"{rate:.0f} requests/s", run, accounts, judged)


def _driven(subject: Subject, objective: Objective) -> Seen:
    subject.permit(objective.concurrency or runs.CONCURRENCY)
    model = objective.model
    requests = subject.once(f"timed requests {model}", lambda: prepare(subject, model))
    seconds = objective.window_s or WINDOW_S
    if objective.rate is None:
        clients = objective.concurrency or 1
        run = drive(subject, model, requests, concurrency=clients, duration_s=seconds, warmup_s=0.0)
        load = f"{clients} in flight"
    else:
        run = drive_open(
            subject, model, requests, rate=objective.rate, duration_s=seconds, warmup_s=0.0
        )
        load = f"{objective.rate:g} requests/s"
    accounts = accounts_of([run])
    return Seen(objective, load, run, accounts, judge(objective, run, accounts))


def streamed(subject: Subject) -> Iterator[Seen]:
    """Of token streams: each that is stated, else the first model that streams, over every
    protocol that is there. NotAssessed where none streams tokens."""
    found = [one for one in stated(subject) if _decoupled(subject, one.model)]
    for objective in found or [Objective(_streaming_model(subject), stated=False)]:
        protocols: list[StreamProtocol] = ["http"]
        if subject.deployment.grpc_url:
            protocols.insert(0, "grpc")
        for protocol in protocols:
            yield _stream(subject, objective, protocol)


def _stream(subject: Subject, objective: Objective, protocol: StreamProtocol) -> Seen:
    settings, where = subject.settings, subject.deployment
    subject.permit(objective.concurrency or STREAMS)
    target = Target(
        objective.model, where.http_url, where.grpc_url, headers=where.headers,
        tls=tls_files(settings), inputs=settings.inputs, seed=settings.seed,
        pids=server_processes(where),
    )  # fmt: skip
    try:
        return streams(
            target, objective, protocol, objective.window_s or STREAMS_S,
            connections=permitted(settings, CONNECTIONS),
        )  # fmt: skip
    except Misused as error:
        raise NotAssessed(Reason.NO_INPUTS, f"{objective.model}: {error.message}") from None


def _decoupled(subject: Subject, model: str) -> bool:
    policy = subject.models[model].config.get("model_transaction_policy") or {}
    return bool(policy.get("decoupled"))


def _streaming_model(subject: Subject) -> str:
    """The first decoupled model whose output is text or tokens."""
    for name in sorted(subject.models):
        outputs = subject.models[name].config.get("output", [])
        tokens = len(outputs) == 1 or any(one["name"] in streaming.OUTPUTS for one in outputs)
        if _decoupled(subject, name) and tokens:
            return name
    raise NotAssessed(Reason.NOT_APPLICABLE, "no model streams tokens")
