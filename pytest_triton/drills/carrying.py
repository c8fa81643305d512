"""What every drill does: break, look until it shows, repair, ask until it is right."""

from __future__ import annotations

import time
from collections.abc import Callable

from pytest_triton.drills.injecting import LeftOut
from pytest_triton.drills.looking import Place, Shows, look, shown
from pytest_triton.drills.timeline import Timeline
from pytest_triton.errors import SubjectFault
from pytest_triton.probe.types import ProbeError

#: Seconds until a fault has to show in every place, and until a repair has to have worked.
VISIBLE_S, REPAIR_S = 10.0, 60.0
#: Of the latter, seconds after the load was answered: Triton answers it when it is done.
SETTLED_S = 10.0
#: Seconds between two looks.
_STEP = 0.02


def carry_out(kind: str, what: str, course: Callable[[Timeline], None]) -> Timeline:
    """One drill from its beginning to its end, whatever comes of it."""
    line = Timeline(kind, what)
    try:
        course(line)
    except LeftOut as reason:
        line.left_out = str(reason)
    except SubjectFault as error:
        line.findings.append(str(error))
    line.ended = time.monotonic()
    return line


def see(place: Place, shows: Shows, line: Timeline, began: float) -> None:
    """Look until the fault shows everywhere, or time is up; note what is missing."""
    until = time.monotonic() + VISIBLE_S
    while True:
        sight = look(place)
        missing = shows.missing(place, sight)
        if not missing or time.monotonic() > until:
            break
        time.sleep(_STEP)
    now = line.saw("the fault", **shown(place, sight))
    if missing:
        line.findings += missing
    else:
        line.visible_s = now - began


def repaired(wrong: Callable[[], str], line: Timeline, began: float) -> None:
    """Ask until the model is ready and right, or time is up; note what is wrong.

    The repair began at ``began``, and its load has been answered.
    """
    until = min(began + REPAIR_S, time.monotonic() + SETTLED_S)
    while (text := wrong()) and time.monotonic() < until:
        time.sleep(_STEP)
    now = line.saw(text or "ready and right")
    if text:
        line.findings.append(f"{now - began:.0f} s after the repair {text}")
    else:
        line.repaired_s = now - began


def unready(place: Place) -> str:
    """Why a model that was repaired is not ready everywhere; "": it is."""
    sight = look(place)
    if (sight.model_ready, sight.server_ready, sight.state) == (200, 200, "READY"):
        return ""
    return (
        f"its readiness answers {sight.model_ready}, the server's {sight.server_ready}, the index "
        f"says {sight.state or 'nothing'}"
    )


def wrong(place: Place) -> str:
    """What is wrong with a copy of the subject's model; "": it is ready and right."""
    if text := unready(place):
        return text
    try:
        answer = place.server.http.infer(place.model, place.known.case.inputs)
    except ProbeError as error:
        return f"it is not answered: {error}"
    return place.known.wrong(answer)
