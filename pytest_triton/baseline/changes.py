"""Level, criteria and clauses of two reports: what changed, and whether for the worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_triton.criteria.status import Reason, Status

WORSE, BETTER, WORDING, UNJUDGED = "worse", "better", "wording", "not judged"
#: Statuses as steps of a ladder; ``inconclusive`` is on none: noise alone brings it.
_STEPS = {
    Status.PASS: 0, Status.WAIVED: 1, Status.PARTIAL: 2, Status.MANUAL: 2, Status.MISSING: 5,
    Status.FAIL: 5, Status.ERROR: 5,
}  # fmt: skip
#: A clause that could not be looked at because something broke; other reasons lie in how the
#: run was asked for, or say that the clause has nothing to do with this subject.
_BLOCKED = 4
#: Reasons of a clause that the run was not asked to judge, or did not come to.
_UNASKED = (
    Reason.DESELECTED, Reason.NOT_RUN, Reason.NEIGHBOURS, Reason.NEEDS_CONTROL, Reason.NEEDS_LOAD,
    Reason.NO_ENDPOINT, Reason.NOT_BUILT, Reason.SKIPPED,
)  # fmt: skip
_LEVELS = ("none", "basic", "advanced", "expert")


@dataclass(frozen=True, slots=True)
class Change:
    """One clause or criterion (or the level): its status then and now, and what to call that."""

    id: str
    title: str
    old: str
    new: str
    word: str
    reason: str = ""


def unasked(entry: Mapping[str, Any]) -> bool:
    """Whether the run did not look at a clause because nobody asked it to."""
    return entry["reason_code"] in {reason.value for reason in _UNASKED}


def _step(entry: Mapping[str, Any]) -> int | None:
    if entry["reason_code"] == Reason.BLOCKED.value:
        return _BLOCKED
    return _STEPS.get(Status(entry["status"]))


def _shown(entry: Mapping[str, Any]) -> str:
    code = entry.get("reason_code")
    return f"{entry['status']} ({code})" if code else str(entry["status"])


def clauses(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Clauses that both runs judged and that changed."""
    then = {entry["id"]: entry for entry in old["clauses"]}
    for entry in new["clauses"]:
        was = then.get(entry["id"])
        if was is None or unasked(was) or unasked(entry):
            continue
        before, after = _step(was), _step(entry)
        if _shown(was) == _shown(entry):
            if was["reason"] == entry["reason"]:
                continue
            word = WORDING
        elif before is None or after is None or before == after:
            word = UNJUDGED
        else:
            word = WORSE if after > before else BETTER
        yield Change(entry["id"], entry["title"], _shown(was), _shown(entry), word, entry["reason"])


def appeared(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Clauses that only the new report knows; the other way round: those that vanished."""
    known = {entry["id"] for entry in old["clauses"]}
    return [
        Change(entry["id"], entry["title"], "", _shown(entry), UNJUDGED, entry["reason"])
        for entry in new["clauses"]
        if entry["id"] not in known
    ]


def aside(old: Mapping[str, Any], new: Mapping[str, Any]) -> int:
    """How many clauses one run judged and the other was not asked to."""
    then = {entry["id"]: entry for entry in old["clauses"]}
    return sum(
        unasked(entry) != unasked(then[entry["id"]])
        for entry in new["clauses"]
        if entry["id"] in then
    )


def criteria(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Criteria that changed; without a word where the two runs judged different clauses."""
    then = {entry["id"]: entry for entry in old["criteria"]}
    looked = [
        {entry["id"] for entry in report["clauses"] if not unasked(entry)} for report in (old, new)
    ]
    for entry in new["criteria"]:
        was = then.get(entry["id"])
        if was is None or was["status"] == entry["status"]:
            continue
        same = looked[0] & set(was["clauses"]) == looked[1] & set(entry["clauses"])
        steps = [_STEPS.get(Status(side["status"])) for side in (was, entry)]
        word = UNJUDGED
        if same and steps[0] is not None and steps[1] is not None and steps[0] != steps[1]:
            word = WORSE if steps[1] > steps[0] else BETTER
        yield Change(
            entry["id"], entry["title"], was["status"], entry["status"], word, entry["reason"]
        )


def level(old: Mapping[str, Any], new: Mapping[str, Any]) -> Change | None:
    """The level, when it changed and both runs could award one."""
    was, now = old["verdict"]["level"], new["verdict"]["level"]
    if was == now or old["run"]["scope"] or new["run"]["scope"]:
        return None
    word = WORSE if _LEVELS.index(now) < _LEVELS.index(was) else BETTER
    return Change("level", "level", was, now, word)
