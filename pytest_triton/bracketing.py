"""The statistics of all models over two protocols, also of a server that is never quiet.

Counters only rise: what gRPC tells lies between what HTTP tells before it and after it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_triton.criteria import Inconclusive, NotAssessed, Reason
from pytest_triton.probe.types import MalformedAnswer, RequestFailed
from pytest_triton.subject import Subject
from pytest_triton.tallying import Entries, entries

#: Seconds for looks, and looks in a row that have to agree on a server that others use: what
#: moves within one of them hides a small difference.
PATIENCE, IN_A_ROW = 5.0, 5
#: Looks in a row in which a value has to lie outside while its server works: one may be that
#: of a model that was loaded anew in between.
OUTSIDE = 3
#: Seconds between two looks.
PAUSE = 0.05
#: Neither counters nor names: memory is also given back.
_FREE = ("memory_usage",)


def of_all(subject: Subject, protocol: Any = None) -> Entries:
    """The statistics of all models. Raises MalformedAnswer and RequestFailed.

    NotAssessed where Triton itself cannot tell them: with --model-namespacing it refuses, on
    every release that was tried, and two models may have one name.
    """
    try:
        return entries((protocol or subject.http).statistics())
    except RequestFailed as error:
        if any(f"::{name}' is not found" in error.message for name in subject.models):
            raise NotAssessed(
                Reason.NOT_APPLICABLE,
                f"Triton with --model-namespacing has no statistics of all models: {error}",
            ) from None
        raise
    except MalformedAnswer:
        listed = Counter(
            (entry.get("name"), entry.get("version"))
            for entry in subject.http.index(ready=True)
            if isinstance(entry, dict)
        )
        if max(listed.values(), default=0) > 1:
            raise NotAssessed(
                Reason.NOT_APPLICABLE, "models of several namespaces have one name and version"
            ) from None
        raise


@dataclass(frozen=True)
class Bracket:
    """One look: gRPC between two looks over HTTP."""

    first: Entries
    told: Entries
    last: Entries

    @property
    def rests(self) -> bool:
        """Whether nothing moved meanwhile."""
        return self.first == self.last

    def flaw(self, leaves_out: bool = False) -> str | None:
        """Where gRPC contradicts HTTP. ``leaves_out``: it may lack fields, as in old messages."""
        ours = self.first.keys() & self.last.keys()
        theirs = self.told.keys() - (self.first.keys() ^ self.last.keys())
        if missing := sorted(ours ^ theirs):
            return f"{' version '.join(missing[0])} has statistics over one protocol only"
        for key in sorted(ours):
            first, told, last = self.first[key], self.told[key], self.last[key]
            for field in sorted({*first, *told}):
                if field not in told and leaves_out:
                    continue
                one, two = first.get(field), told.get(field)
                if one == last.get(field):
                    if one != two:
                        where = " version ".join(key)
                        return f"{where}: {field} is {one} over HTTP, {two} over gRPC"
                elif field not in _FREE and (text := outside(one, two, last.get(field))):
                    return f"{' version '.join(key)}: {field}{text}"
        return None


def outside(first: Any, told: Any, last: Any) -> str:
    """Where ``told`` does not lie between two looks at counters that only rise; "" nowhere.

    Lists of objects are batches by their size.
    """
    if isinstance(told, dict):
        one, two = (side if isinstance(side, dict) else {} for side in (first, last))
        if lost := sorted(one.keys() - told.keys(), key=str):
            return f"[{lost[0]}] is missing over gRPC"
        if strange := sorted(told.keys() - two.keys(), key=str):
            return f"[{strange[0]}] is over gRPC only"
        for key, value in told.items():
            if text := outside(one.get(key), value, two[key]):
                return f"[{key}]{text}"
        return ""
    if isinstance(told, list):
        return outside(_by_size(first), _by_size(told), _by_size(last))
    if isinstance(told, int) and not isinstance(told, bool):
        low = 0 if first is None else first
        if isinstance(low, int) and isinstance(last, int) and low <= told <= last:
            return ""
        return f" is {told} over gRPC, {first} before and {last} after it over HTTP"
    if told in (first, last):
        return ""
    return f" is {told!r:.80} over gRPC, {first!r:.80} over HTTP"


def _by_size(listed: Any) -> dict[Any, Any]:
    if not isinstance(listed, list):
        return {}
    keyed = {
        str(entry.get("batch_size") if isinstance(entry, dict) else at): entry
        for at, entry in enumerate(listed)
    }
    return keyed if len(keyed) == len(listed) else dict(enumerate(listed))


def contradiction(
    look: Callable[[], Bracket], leaves_out: bool = False, patience: float = PATIENCE
) -> str | None:
    """How the protocols contradict each other; None: they do not.

    A look at a server at rest decides; while it works, several in a row have to agree, or to
    contradict each other. Inconclusive when neither comes about in ``patience`` seconds.
    """
    deadline = time.monotonic() + patience
    agreed = wrong = 0
    while True:
        seen = look()
        flaw = seen.flaw(leaves_out)
        agreed, wrong = (0, wrong + 1) if flaw else (agreed + 1, 0)
        if flaw and (seen.rests or wrong >= OUTSIDE):
            return flaw
        if not flaw and (seen.rests or agreed >= IN_A_ROW):
            return None
        if time.monotonic() >= deadline:
            raise Inconclusive(f"no {IN_A_ROW} looks in a row agree, in {patience:g} s: {flaw}")
        time.sleep(PAUSE)
