"""A server that is told to stop while it works: what becomes of its requests, and of itself."""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.backlog import in_time
from pytest_triton.criteria import Inconclusive
from pytest_triton.deployment import Deployment
from pytest_triton.factory import ServerFactory
from pytest_triton.operating.models import BUSY, write_busy
from pytest_triton.operating.working import Outcome, Protocol, pending, regions, work
from pytest_triton.probe.http import wait_until

PROTOCOLS: tuple[Protocol, ...] = ("http", "grpc")
#: Seconds of --exit-timeout-secs, Triton's default, and how many more its end may take.
EXIT_TIMEOUT, MARGIN = 30, 10.0
#: The same for a server whose request outlasts it, and the seconds that the request takes.
SHORT_TIMEOUT, SHORT_MARGIN, OUTLASTS = 1, 20.0, 60
#: Requests that wait behind the first; milliseconds that the first takes, and each other one.
WAITING, FIRST_MS, NEXT_MS = 2, 1200, 200
#: Requests that come while the server is stopping, and seconds for what becomes of each.
LATE, LATE_S = 2, 5.0
#: What Triton logs when it is told to stop, and then every second while it waits for them.
SIGNAL = "Signal (15) received"
WAITS = re.compile(r"Timeout \d+: Found [1-9]\d* (?:HTTP service connections|live models)")
EXPIRED = "Exit timeout expired"
#: Seconds between two looks at the log or the metrics.
_STEP = 0.01
_COUNT = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Stopped:
    """What was seen of one server.

    ``accepted``: requests that it had when SIGTERM came; ``late``: those that came when its log
    said that it waits for them. ``status``: of its process, None when it still ran after
    ``seconds``. ``log``: what it logged from the signal on. ``left``: regions of its own that
    were still there when it had ended; ``held``: requests whose clients still waited then.
    """

    accepted: tuple[Outcome, ...]
    late: tuple[Outcome, ...]
    status: int | None
    seconds: float
    log: str
    left: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    @property
    def too_slow(self) -> bool:
        """Whether nothing is wrong but that too little was seen: the machine was busy."""
        if self.status is None or not WAITS.search(self.log):
            return False
        if not all(one.right for one in self.accepted):
            return False
        done = max(one.ended for one in self.accepted)
        return len(self.late) < LATE or any(one.refusal and one.ended > done for one in self.late)


def shut_down(factory: ServerFactory, directory: Path, protocol: Protocol) -> Stopped:
    """SIGTERM to a server of ours with one request in execution and others behind it.

    Raises Inconclusive when the machine was too slow to have them there at that time.
    """

    def attempt() -> Stopped | None:
        seen = _stop_among(factory, directory, protocol)
        return None if seen is None or seen.too_slow else seen

    return in_time(attempt, "the requests were done before the server could be stopped among them")


def _boot(factory: ServerFactory, directory: Path, exit_timeout: int) -> Deployment:
    repository = write_busy(directory / f"stopping-{next(_COUNT)}")
    flags = (f"--exit-timeout-secs={exit_timeout}",)
    return factory(repository, (BUSY,), auto_complete=False, server_args=flags)


def _stop_among(factory: ServerFactory, directory: Path, protocol: Protocol) -> Stopped | None:
    deployment = _boot(factory, directory, EXIT_TIMEOUT)
    try:
        own = regions(deployment)
        if not own:
            raise Inconclusive("no shared memory region of the server can be seen")
        with ThreadPoolExecutor(1 + WAITING) as pool:
            asked = [
                pool.submit(work, deployment, protocol, f"accepted {at}", at,
                            NEXT_MS if at else FIRST_MS)
                for at in range(1 + WAITING)
            ]  # fmt: skip
            if not _there(deployment, asked):
                return None
            began = time.monotonic()
            factory.send(deployment, signal.SIGTERM)
            late = _late(deployment, protocol, asked)
            accepted = tuple(one.result() for one in asked)
        limit = began + EXIT_TIMEOUT + MARGIN
        status = factory.ended(deployment, timeout=max(0.0, limit - time.monotonic()))
        seconds = time.monotonic() - began
        left = own & set(os.listdir("/dev/shm")) if status is not None else set()
        return Stopped(
            accepted, late, status, seconds, since_signal(deployment), tuple(sorted(left))
        )
    finally:
        factory.stop(deployment)


def _there(deployment: Deployment, asked: Sequence[Future[Outcome]]) -> bool:
    """Whether all requests have come to be in the server at once: one works, the others wait."""
    return wait_until(
        lambda: pending(deployment) == len(asked) - 1 or _done(asked),
        timeout=FIRST_MS / 1000,
        interval=_STEP,
    ) and not _done(asked)


def _done(asked: Sequence[Future[Outcome]]) -> bool:
    return any(one.done() for one in asked)


def _late(
    deployment: Deployment, protocol: Protocol, asked: Sequence[Future[Outcome]]
) -> tuple[Outcome, ...]:
    """Requests that come once the server says that it waits, and before it is done."""

    def over() -> bool:
        return all(one.done() for one in asked)

    wait_until(
        lambda: WAITS.search(since_signal(deployment)) or over(),
        timeout=EXIT_TIMEOUT,
        interval=_STEP,
    )
    seen: list[Outcome] = []
    while len(seen) < LATE and not over():
        at = len(seen)
        seen.append(work(deployment, protocol, f"late {at}", 100 + at, 0, timeout=LATE_S))
    return tuple(seen)


def since_signal(deployment: Deployment) -> str:
    """What the server logged from SIGTERM on; "" when it says nothing of it."""
    text = deployment.log_text()
    at = text.find(SIGNAL)
    return text[at:] if at >= 0 else ""


def outlasted(factory: ServerFactory, directory: Path) -> Stopped:
    """SIGTERM to a server whose requests over HTTP take longer than its exit timeout.

    Raises Inconclusive when the requests did not get there.
    """
    return in_time(
        lambda: _outlast(factory, directory), "no request was in execution when it was stopped"
    )


def _outlast(factory: ServerFactory, directory: Path) -> Stopped | None:
    deployment = _boot(factory, directory, SHORT_TIMEOUT)
    with ThreadPoolExecutor(2) as pool:
        asked = [
            pool.submit(work, deployment, "http", f"long {at}", at, 1000 * OUTLASTS,
                        timeout=2.0 * OUTLASTS)
            for at in range(2)
        ]  # fmt: skip
        try:
            if not wait_until(lambda: pending(deployment) == 1, timeout=5.0, interval=_STEP):
                return None
            began = time.monotonic()
            factory.send(deployment, signal.SIGTERM)
            status = factory.ended(deployment, timeout=SHORT_TIMEOUT + SHORT_MARGIN)
            seconds = time.monotonic() - began
            log = since_signal(deployment)
            wait_until(lambda: all(one.done() for one in asked), timeout=LATE_S, interval=_STEP)
            held = tuple(f"long {at}" for at, one in enumerate(asked) if not one.done())
        finally:
            factory.stop(deployment)  # which ends the requests too
        accepted = tuple(one.result() for one in asked)
    return Stopped(accepted, (), status, seconds, log, held=held)
