"""Requests whose clients do not wait for the answer: in the queue, in execution, in a stream."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pytest_triton.backlog import Turn, turn
from pytest_triton.probe.types import ProbeError
from pytest_triton.subject import Subject

#: Milliseconds that the model is kept busy; seconds for a request to reach its queue, and seconds
#: after which a client gives up.
BUSY_MS, ARRIVAL_S, PATIENCE = 400, 0.1, 0.15


def behind(subject: Subject, send: Callable[[], Turn]) -> tuple[Turn | ProbeError, bool]:
    """What becomes of a request behind one that takes long, and whether that took longer."""
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(turn, subject, BUSY_MS)
        time.sleep(ARRIVAL_S)
        outcome = given_up(send)
        over = time.monotonic()
        first = busy.result()
    return outcome, first.answered > over + ARRIVAL_S / 2


def both_leave(subject: Subject) -> bool:
    """Over HTTP, clients leave one request in execution and one behind it; whether both did."""
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(given_up, lambda: turn(subject, BUSY_MS, timeout=PATIENCE))
        time.sleep(ARRIVAL_S)
        second = given_up(lambda: turn(subject, 0, timeout=PATIENCE))
        return not isinstance(first.result(), Turn) and not isinstance(second, Turn)


def given_up(send: Callable[[], Turn]) -> Turn | ProbeError:
    """The answer, or why there is none."""
    try:
        return send()
    except ProbeError as error:
        return error


def waiting(subject: Subject, count: int, look: Callable[[], Any]) -> tuple[list[Any], bool]:
    """What ``look`` sees while ``count`` requests wait behind one that takes long.

    The second value tells whether they all came while it was executed.
    """
    subject.permit(count + 1)
    seen = []
    with ThreadPoolExecutor(count + 1) as pool:
        busy = pool.submit(turn, subject, BUSY_MS)
        time.sleep(ARRIVAL_S)
        others = [pool.submit(turn, subject, 0) for _ in range(count)]
        while not busy.done():
            seen.append(look())
            time.sleep(0.03)
        first = busy.result()
        sent = [other.result().sent for other in others]
    return seen, first.answered > max(sent) + ARRIVAL_S / 2
