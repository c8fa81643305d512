"""What an ablation found, as data."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_triton.ablating.accuracy import Accuracy
from pytest_triton.load.paired import Side


@dataclass(frozen=True, slots=True)
class Row:
    """One arm at one batch size and concurrency. Ratios are arm ÷ base, with 95 % intervals."""

    batch: int
    concurrency: int
    base: Side
    arm: Side
    throughput: float
    throughput_interval: tuple[float, float]
    latency: float
    latency_interval: tuple[float, float]
    throughput_pairs: tuple[float, ...]
    latency_pairs: tuple[float, ...]
    #: Cores that others used meanwhile.
    foreign_cpu: float
    #: The words, and the intervals that they follow from (at ``Ablation.confidence``).
    throughput_word: str = ""
    throughput_judged: tuple[float, float] = (0.0, math.inf)
    latency_word: str = ""
    latency_judged: tuple[float, float] = (0.0, math.inf)


@dataclass(slots=True)
class Result:
    """One arm."""

    name: str
    title: str
    #: Of the model file.
    bytes: int = 0
    #: Why it could not be made, loaded or asked, or answers wrongly under load.
    refused: str = ""
    #: Why it, or a part of it, was not measured, through no fault of its own.
    unmeasured: str = ""
    #: Seconds from the order to load it until it was READY, warm-up included; once.
    load_s: float = 0.0
    #: What the server's log says is set for it.
    settings: tuple[str, ...] = ()
    accuracy: Accuracy | None = None
    rows: list[Row] = field(default_factory=list)
    verdict: str = ""


@dataclass(slots=True)
class Ablation:
    """All arms of one model, and on what they were measured."""

    model: str
    kind: str
    reference: str
    #: The output that top-1 agreement is about; empty: it has no classes.
    choice: str
    length: int
    seconds: float
    pairs: int
    seed: int
    versions: dict[str, Any]
    arms: list[Result] = field(default_factory=list)
    #: What the control and the cores of others say against the machine; empty: nothing.
    noise: str = ""
    #: Of the interval behind each word: 5 % of chance for all of them together.
    confidence: float = 0.95
    #: How the server ended before everything was measured; empty: it did not.
    ended: str = ""

    @property
    def measured(self) -> list[Result]:
        """The arms that were compared with the base."""
        return [arm for arm in self.arms if arm.rows]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON: a number that is none, or infinite, is null."""
        return {**_plain(asdict(self)), "foreign_cpu": self.foreign_cpu}

    @property
    def foreign_cpu(self) -> float:
        """Cores that others used meanwhile, the median over all measurements."""
        every = sorted(row.foreign_cpu for arm in self.arms for row in arm.rows)
        return every[len(every) // 2] if every else 0.0


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
