"""Regions of other clients: an unregister of all regions would take them, too."""

from __future__ import annotations

import time
from collections.abc import Collection

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.probe.shared import Regions
from pytest_triton.sharing import both
from pytest_triton.subject import Subject

#: Seconds for which nobody else may have a region on a server that others can use, and seconds
#: between two looks: clients that register for a request only come and go.
WATCH, PAUSE = 2.0, 0.01


def watch(subject: Subject) -> None:
    """Look for regions, for some time where the server is not ours. NotAssessed for one."""
    protocols, deadline = both(subject), time.monotonic() + WATCH
    while True:
        for one in protocols:
            nobody_else(one, ())
        if subject.deployment.owned or time.monotonic() >= deadline:
            return
        time.sleep(PAUSE)


def nobody_else(regions: Regions, own: Collection[str]) -> list[str]:
    """The names of what is registered, sorted; NotAssessed when it is not all one's ``own``."""
    shown = sorted(regions.status())
    if foreign := [name for name in shown if name not in own]:
        raise NotAssessed(
            Reason.NOT_APPLICABLE,
            f"other clients have registered {foreign[0]!r}, and would lose it",
        )
    return shown
