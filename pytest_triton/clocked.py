"""``last_inference`` of the statistics: when a model was last asked, by the server's clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.http import model_path, wait_until
from pytest_triton.probe.types import MalformedAnswer
from pytest_triton.subject import Subject
from pytest_triton.tallying import MILLISECONDS, PATIENCE, entries

#: Seconds between two requests, and by how much the time told may miss them: clocks are set
#: and slewed, and told in whole milliseconds.
APART, SLACK = 0.3, 0.05
#: Seconds that the time told may lie off our own clock (a server of ours has the same one), and
#: off that of the answers' Date, which a gateway may have written.
OWN, FOREIGN = 2.0, 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """What the statistics tell (ms), when they were read (s, monotonic), and the clocks then.

    ``date``: seconds since 1970 of the answer's Date header; None without one.
    """

    last: int
    asked: float
    read: float
    date: float | None


def caches(subject: Subject, model: str) -> bool:
    """Whether an answer may come out of the response cache: the model is not asked then."""
    told = subject.models[model].config.get("response_cache")
    return isinstance(told, dict) and bool(told.get("enable"))


def look(subject: Subject, model: str) -> Look:
    """Read the statistics of a model: the latest of all its versions. Raises MalformedAnswer."""
    asked = time.monotonic()
    answer = subject.http.request("GET", f"{model_path(model)}/stats")
    read = time.monotonic()
    told = [
        entry.get("last_inference")
        for (name, _), entry in entries(answer.json()).items()
        if name == model
    ]
    found = [value for value in told if isinstance(value, int) and not isinstance(value, bool)]
    if not found or len(found) < len(told):
        raise MalformedAnswer(f"last_inference of {model} is {told}")
    return Look(max(found), asked, read, _date(answer.headers.get("date")))


def _date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (TypeError, ValueError):
        return None


def _asked(subject: Subject, model: str, case: InputCase) -> tuple[Look, Look]:
    """Looks before and after a request, the second once it shows a later inference."""
    before = look(subject, model)
    subject.answer(model, case)
    after = [before]

    def rises() -> bool:
        after[0] = look(subject, model)
        return after[0].last != before.last

    wait_until(rises, timeout=PATIENCE)
    return before, after[0]


def flaw(subject: Subject, model: str, case: InputCase) -> str | None:
    """What is wrong with last_inference of a model that is asked twice; None: nothing."""
    before_all, first = _asked(subject, model, case)
    time.sleep(APART)  # the clock's own pace is what is looked at
    before, second = _asked(subject, model, case)
    for seen in (first, second):
        if seen.last not in MILLISECONDS:
            return f"last_inference is {seen.last}, no milliseconds since 1970"
    if second.last == before.last:
        return f"last_inference stands at {second.last} after one more request"
    # Others may have asked, too: each lies between the look before its request and its own.
    moved = (second.last - first.last) / 1000
    least, most = before.asked - first.read - SLACK, second.read - before_all.asked + SLACK
    if not least <= moved <= most:
        return (
            f"last_inference moved by {moved:.3f} s between two requests that came "
            f"{second.asked - first.asked:.3f} s one after the other"
        )
    return _off(subject, second, second.read - before.asked)


def _off(subject: Subject, seen: Look, old: float) -> str | None:
    """How far the time told, up to ``old`` seconds old, lies off the clock of the server.

    None where it does not, or where that clock cannot be known.
    """
    now, allowed, whose = seen.date, FOREIGN, "its Date header"
    if subject.deployment.owned:
        now, allowed, whose = time.time(), OWN + time.monotonic() - seen.read, "the server's clock"
    if now is None or abs(seen.last / 1000 - now) <= allowed + old:
        return None
    return f"last_inference is {seen.last / 1000 - now:+.1f} s off {whose}"
