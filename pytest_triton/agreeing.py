"""Whether the metrics and the statistics of a subject tell the same."""

from __future__ import annotations

import time

from pytest_triton.monitor.truth import Look, earlier_life, told
from pytest_triton.subject import Subject

#: Seconds that a server gets to bring both up to date.
PATIENCE = 5.0
#: Requests that tell a counter which goes on from one that stands still.
REQUESTS = 3


def disagreeing(subject: Subject) -> list[str]:
    """Where metrics and statistics contradict each other; one line each.

    What a version's counters kept from before it was loaded anew is no contradiction.
    Raises AssertionError where the statistics leave a ready version out.
    """
    deadline = time.monotonic() + PATIENCE
    while (look := _look(subject)).disagreements() and time.monotonic() < deadline:
        versions = look.versions()
        if versions and all(_went_on(subject, look, version) for version in versions):
            return []
        time.sleep(0.02)
    return look.disagreements()


def _look(subject: Subject) -> Look:
    before = subject.http.statistics()
    ready = {(name, v) for name, model in subject.models.items() for v in model.versions}
    absent = ready - set(told(before))
    assert not absent, f"the statistics have no entry for {sorted(absent)[:3]}"
    return Look(subject.scrape(), before, subject.http.statistics())


def _went_on(subject: Subject, early: Look, version: tuple[str, str]) -> bool:
    """Whether a version only has more behind it than its statistics remember."""
    model, number = version
    if model not in subject.unary or number not in subject.unary[model].versions:
        return False
    for _ in range(REQUESTS):
        subject.answer(model, subject.case(model), version=number)
    return earlier_life(early, _look(subject), version)
