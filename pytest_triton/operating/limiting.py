"""The rate limiter: which models execute at once, and how often each has its turn.

The models say themselves when they worked, on one clock: whether two of them did at once does
not depend on how fast the machine is.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pytest_triton.backlog import ARRIVAL_S, in_time
from pytest_triton.deployment import Deployment
from pytest_triton.errors import SubjectFault
from pytest_triton.factory import ServerFactory
from pytest_triton.operating.models import limited, write_busy
from pytest_triton.operating.working import Outcome, pending, work
from pytest_triton.probe.http import wait_until

#: The resource of which there is one, and the one of which there is enough for two.
SCARCE, AMPLE = "PTT_SCARCE", "PTT_AMPLE"
FLAGS = (
    "--rate-limit=execution_count",
    f"--rate-limit-resource={SCARCE}:1",
    f"--rate-limit-resource={AMPLE}:2",
)
_NAME = "pytest_triton_limited_"
#: Models that share the scarce resource, and models that share the ample one.
SHARING, FREE = (f"{_NAME}one", f"{_NAME}two"), (f"{_NAME}three", f"{_NAME}four")
#: A model that needs more of the scarce resource than there is.
GREEDY = f"{_NAME}greedy"
#: A model that holds the resource, and models of priority 1 and 2 that wait for it.
HOLDER, FIRST, SECOND = f"{_NAME}holder", f"{_NAME}first", f"{_NAME}second"
#: Requests to each model in a round, milliseconds of each, and rounds of both pairs in turn.
EACH, WORK_MS, ROUNDS = 3, 80, 2
#: Requests that wait for each of two priorities, milliseconds of each, and of the holder.
WAITING, TURN_MS, HOLD_MS = 8, 10, 1200
_STEP = 0.01
_COUNT = itertools.count(1)
_REQUESTS = itertools.count(1)


@dataclass(slots=True)
class Limited:
    """What was seen: the executions of both pairs of models, and what became of the greedy one."""

    sharing: list[list[Outcome]] = field(default_factory=list)
    free: list[list[Outcome]] = field(default_factory=list)
    refusal: str = ""


def overlaps(done: Sequence[Outcome]) -> list[tuple[Outcome, Outcome]]:
    """Pairs of executions of different models that went on at the same time."""
    return [
        (one, two)
        for one, two in itertools.combinations(done, 2)
        if one.model != two.model and one.span[0] < two.span[1] and two.span[0] < one.span[1]
    ]


def limits(factory: ServerFactory, directory: Path) -> Limited:
    """Keep both pairs of models busy in turn. Inconclusive when nothing ever went on at once."""
    groups = {
        **{name: limited(SCARCE) for name in SHARING},
        **{name: limited(AMPLE) for name in FREE},
        GREEDY: limited(SCARCE, count=2),
    }
    repository = write_busy(directory / f"limited-{next(_COUNT)}", groups)
    deployment = factory(
        repository, tuple(groups), tolerant=True, auto_complete=False, server_args=FLAGS
    )
    seen = Limited(refusal=deployment.failed.get(GREEDY, ""))
    try:

        def attempt() -> Limited | None:
            for _ in range(ROUNDS):
                seen.sharing.append(_round(deployment, SHARING))
                seen.free.append(_round(deployment, FREE))
            at_once = any(overlaps(done) for done in seen.free)
            return seen if at_once or any(overlaps(done) for done in seen.sharing) else None

        return in_time(attempt, "models that may execute at once never did")
    finally:
        factory.stop(deployment)


def _round(deployment: Deployment, models: Sequence[str]) -> list[Outcome]:
    """Requests to some models at the same time, all answered."""
    with ThreadPoolExecutor(EACH * len(models)) as pool:
        asked = [
            _work(pool.submit, deployment, model, WORK_MS) for _ in range(EACH) for model in models
        ]
        return _right(asked)


def _work(
    submit: Callable[..., Future[Outcome]], deployment: Deployment, model: str, milliseconds: int
) -> Future[Outcome]:
    number = next(_REQUESTS)
    name = f"{model.removeprefix(_NAME)} {number}"
    return submit(work, deployment, "http", name, number, milliseconds, model=model)


def _right(asked: Sequence[Future[Outcome]]) -> list[Outcome]:
    """What came of requests, in the order of execution. SubjectFault unless all are right."""
    done = [one.result() for one in asked]
    for one in done:
        if not one.right:
            raise SubjectFault(f"{one.name} {one.told}")
    return sorted(done, key=lambda one: one.span)


def turns(factory: ServerFactory, directory: Path) -> str:
    """The order in which models of priority 1 and 2 executed that all waited: "1121…".

    Raises Inconclusive when the requests did not all wait at once.
    """
    return in_time(
        lambda: _turns(factory, directory), "the resource was free before all requests waited"
    )


def _turns(factory: ServerFactory, directory: Path) -> str | None:
    groups = {
        HOLDER: limited(SCARCE),
        FIRST: limited(SCARCE, priority=1),
        SECOND: limited(SCARCE, priority=2),
    }
    repository = write_busy(directory / f"limited-{next(_COUNT)}", groups)
    # A new server each time: what a model has executed before counts.
    deployment = factory(repository, tuple(groups), auto_complete=False, server_args=FLAGS)
    try:
        with ThreadPoolExecutor(1 + 2 * WAITING) as pool:
            holder = _work(pool.submit, deployment, HOLDER, HOLD_MS)
            time.sleep(ARRIVAL_S)
            asked = [
                _work(pool.submit, deployment, model, TURN_MS)
                for _ in range(WAITING)
                for model in (FIRST, SECOND)
            ]
            there = wait_until(
                lambda: all(pending(deployment, name) == WAITING for name in (FIRST, SECOND)),
                timeout=HOLD_MS / 1000,
                interval=_STEP,
            )
            there = there and not holder.done()
            held, done = _right([holder])[0], _right(asked)
    finally:
        factory.stop(deployment)
    if early := overlaps([held, *done]):
        raise SubjectFault(f"{early[0][1].model} executes while {HOLDER} holds what both need")
    if not there or done[0].span < held.span:
        return None
    return "".join("1" if one.model == FIRST else "2" for one in done)
