"""What an analysis is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is looked at, and how much growth is none (MiB)."""

    #: Readings of one look; twice as many are taken where that does not settle it.
    cycles: int
    warmup: int
    per_cycle_mib: float
    per_1000_mib: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure, and where."""

    #: Globs of names.
    models: tuple[str, ...]
    batches: tuple[int, ...]
    #: Instance counts beside the configured one.
    instances: tuple[int, ...]
    #: Of load at one batch size.
    seconds: float
    limits: Limits
    #: Share of a card, and of the host's memory, that has to be left at the peak.
    minimum: float
    device: str
    release: str
    inputs: Path | None
    #: The Python for Python models; None: the one that runs this.
    server_python: Path | None
    seed: int
