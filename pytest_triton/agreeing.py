"""Whether the metrics and the statistics of a subject tell the same."""

from __future__ import annotations

import time
from collections.abc import Callable

from pytest_triton.bracketing import of_all
from pytest_triton.criteria import Inconclusive
from pytest_triton.monitor.truth import Look, earlier_life, successes, told
from pytest_triton.probe.http import wait_until
from pytest_triton.subject import Subject

#: Seconds that a server gets to bring both up to date.
PATIENCE = 5.0
#: Requests that tell a counter which goes on from one that stands still.
REQUESTS = 3
#: Looks in a row that have to agree on a server that others use: a request that ends within
#: one of them hides a small difference.
IN_A_ROW = 5


def disagreeing(subject: Subject) -> list[str]:
    """Where metrics and statistics contradict each other; one line each.

    What a version's counters kept from before it was loaded anew is no contradiction.
    Raises AssertionError where the statistics leave a ready version out, NotAssessed where
    Triton has none of all models.
    """
    of_all(subject)
    return settled(lambda: _look(subject), lambda look, version: _went_on(subject, look, version))


def settled(
    see: Callable[[], Look],
    explained: Callable[[Look, tuple[str, str]], bool],
    patience: float = PATIENCE,
) -> list[str]:
    """The contradictions that stay for ``patience`` seconds; one line each, [] for none.

    A look at a server at rest decides; while it works, several in a row have to agree.
    ``explained`` tells whether a version only has more behind it than its statistics remember.
    Inconclusive where ``patience`` is too short for that.
    """
    deadline = time.monotonic() + patience
    contradictions: list[str] = []
    agreed = 0
    while True:
        look = see()
        if found := look.disagreements():
            contradictions, agreed = found, 0
        else:
            agreed += 1
            if look.at_rest() or agreed >= IN_A_ROW:
                return []
        if time.monotonic() >= deadline:
            if contradictions:
                return contradictions
            raise Inconclusive(
                f"only {agreed} looks at a server in use were made in {patience:g} s, and "
                f"{IN_A_ROW} have to agree"
            )
        versions = look.versions()
        if versions and all(explained(look, version) for version in versions):
            return []
        time.sleep(0.02)


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
    answered = successes(early.after, version) + REQUESTS
    # Triton counts a request after it has answered it: a look in between would agree with
    # counters that are ahead by those that are still to come.
    wait_until(lambda: successes(subject.http.statistics(), version) >= answered, timeout=PATIENCE)
    return earlier_life(early, _look(subject), version)
