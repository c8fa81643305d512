"""What one test saw (an outcome), and what its clause comes to (a result). Plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_triton.criteria.status import Reason, Status, worst


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number with its unit, and what it was held against.

    ``interval`` is a 95 % interval of the value, ``budget`` what it must not pass (in the
    same unit), ``margin`` the distance to it (positive: within), ``samples`` raw samples, a
    series, or the path of either relative to the report's directory (:mod:`pytest_triton.series`).
    ``statistic`` says which number of the samples the value is, ``better`` which way is better.
    """

    name: str
    unit: str
    value: float
    interval: tuple[float, float] | None = None
    budget: float | None = None
    margin: float | None = None
    samples: Any = None
    statistic: str | None = None
    better: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As in report.json: absent members are left out."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if value is not None
        }


@dataclass(slots=True)
class Outcome:
    """What one test item says of its clause; travels on pytest's report as plain JSON."""

    clause: str
    nodeid: str
    status: Status
    reason_code: str | None = None
    reason: str = ""
    duration_s: float = 0.0
    model: str | None = None
    measurements: list[dict[str, Any]] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)
    locations: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Flat JSON: pytest-xdist carries it from worker to controller."""
        return {**asdict(self), "status": self.status.value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        return cls(**{**data, "status": Status(data["status"])})


@dataclass(slots=True)
class Result:
    """What a clause comes to, over all of its tests: the worst outcome wins."""

    clause: str
    status: Status
    reason_code: str | None = None
    reason: str = ""
    duration_s: float = 0.0
    model: str | None = None
    nodeids: list[str] = field(default_factory=list)
    measurements: list[dict[str, Any]] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)
    locations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def applicable(self) -> bool:
        return self.reason_code != Reason.NOT_APPLICABLE.value


def combine(clause: str, outcomes: Iterable[Outcome]) -> Result:
    """Fold the outcomes of one clause; ValueError when there is none."""
    collected = list(outcomes)
    status = worst(outcome.status for outcome in collected)
    decisive = [outcome for outcome in collected if outcome.status is status]
    result = Result(
        clause,
        status,
        next((outcome.reason_code for outcome in decisive if outcome.reason_code), None),
        "\n".join(dict.fromkeys(outcome.reason for outcome in decisive if outcome.reason)),
        model=next((outcome.model for outcome in decisive if outcome.model), None),
    )
    for outcome in collected:
        result.duration_s += outcome.duration_s
        if outcome.nodeid not in result.nodeids:
            result.nodeids.append(outcome.nodeid)
        result.measurements += outcome.measurements
        result.evidence += outcome.evidence
        result.locations += outcome.locations
    return result
