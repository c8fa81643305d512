"""The lattice of statuses: worst wins, and only ``pass`` is a pass."""

from __future__ import annotations

import enum
from collections.abc import Iterable


class Status(str, enum.Enum):
    """What is known about a clause or a criterion, from best to worst."""

    PASS = "pass"
    WAIVED = "waived"
    PARTIAL = "partial"
    MANUAL = "manual"
    NOT_ASSESSED = "not_assessed"
    INCONCLUSIVE = "inconclusive"
    MISSING = "missing"
    FAIL = "fail"
    ERROR = "error"

    @property
    def rank(self) -> int:
        return _RANK[self]


_RANK = {status: rank for rank, status in enumerate(Status)}


def worst(statuses: Iterable[Status]) -> Status:
    """The worst status; ValueError when there is none, for nothing is not a pass."""
    return max(statuses, key=lambda status: status.rank)


class Reason(str, enum.Enum):
    """Why a clause was not assessed."""

    NOT_APPLICABLE = "not_applicable"
    BLOCKED = "blocked"
    DESELECTED = "deselected"
    NEEDS_CONTROL = "needs_control"
    NEEDS_LOAD = "needs_load"
    NO_ENDPOINT = "no_endpoint"
    NO_INPUTS = "no_inputs"
    NEIGHBOURS = "neighbours"
    NOT_BUILT = "not_built"
    SKIPPED = "skipped"
    NOT_RUN = "not_run"


class NotAssessed(Exception):
    """Raised inside a test: the clause could not be judged. Never a pass."""

    def __init__(self, code: Reason, reason: str) -> None:
        super().__init__(f"{code.value}: {reason}")
        self.code = code
        self.reason = reason


class Missing(Exception):
    """Raised inside a test: nothing was handed in that could be judged. Never a pass."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Manual(Exception):
    """Raised inside a test: what was handed in has to be judged by a person. Never a pass."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Inconclusive(Exception):
    """Raised inside a test: measured, and the measurement cannot tell. Never a pass."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
