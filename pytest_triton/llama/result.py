"""What was found out about a served Llama, as data: everything printed or drawn comes from here."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pytest_triton.load.paired import told

Status = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer."""

    id: str
    title: str
    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class Ratio:
    """Of two things measured in the same rounds: geometric mean with its 95 % interval."""

    mean: float
    interval: tuple[float, float]
    rounds: tuple[float, ...]

    def __str__(self) -> str:
        return told(self.mean, self.interval)


@dataclass(frozen=True, slots=True)
class Line:
    """One protocol at one concurrency: tokens a second, milliseconds, over all rounds.

    ``against``: tokens a second ÷ those of generate() in the same rounds.
    """

    protocol: str
    concurrency: int
    tps: float
    tps_per_user: float
    ttft_p50_ms: float
    ttft_p95_ms: float
    itl_p50_ms: float
    itl_p95_ms: float
    against: Ratio
    round_tps: tuple[float, ...]


@dataclass(slots=True)
class Judged:
    """The whole."""

    model: str
    parameters: int
    dtype: str
    device: str
    seed: int
    prompts: tuple[int, ...]
    tokens: int
    rounds: int
    versions: dict[str, Any]
    #: Whether generate() and the server were measured in turn, or one after the other.
    in_turn: bool
    generate_tps: float = 0.0
    #: Difference of the reference's two best logits below which either may win.
    bound: float = 0.0
    #: Share of the tokens that were equal, by form; ties count as other ones.
    equal: dict[str, float] = field(default_factory=dict)
    #: Most streams at once ÷ one stream, by protocol.
    scaling: dict[str, Ratio] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    @property
    def status(self) -> Status:
        """The worst of the checks."""
        found = {check.status for check in self.checks}
        return next((s for s in ("fail", "inconclusive") if s in found), "pass")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**asdict(self), "status": self.status}
