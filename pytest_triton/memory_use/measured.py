"""What an analysis found, as data: plain, and whole in its JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from pytest_triton.load.stats import Verdict
from pytest_triton.memory_use.headroom import Headroom
from pytest_triton.memory_use.reading import Reading
from pytest_triton.memory_use.sampling import Samples
from pytest_triton.memory_use.trend import Look

MIB = 1 << 20


@dataclass(slots=True)
class UnderLoad:
    """One model at one batch size (0: it does not batch) under load."""

    model: str
    batch: int
    concurrency: int
    requests: int
    #: Requests that failed, and what the first of them said.
    errors: int
    error: str
    rps: float
    #: The most that was seen while the load ran, and what stays held after it.
    peak: Reading
    after: Reading
    samples: Samples
    #: The inputs are made up from the metadata: errors may be theirs.
    made_up: bool = False


@dataclass(slots=True)
class Loaded:
    """One load of a model: idle, under load at each batch size, and what an unload left."""

    instances: int
    #: False: as the repository configures it.
    overridden: bool
    before: Reading
    idle: Reading
    under_load: list[UnderLoad] = field(default_factory=list)
    unloaded: Reading | None = None
    #: Bytes of the server's processes on the cards by nvidia-smi; None: it shows none of them.
    gpu_by_process: dict[str, int] | None = None
    #: nv_gpu_memory_used_bytes of each card while idle; empty without a GPU.
    gpu_metric: tuple[int, ...] = ()
    #: The most that was seen while it was loaded, up to the idle reading.
    loading: Reading | None = None

    @property
    def peak(self) -> int:
        """The most host memory over what there was before the load."""
        seen = [self.idle, *(one.peak for one in self.under_load)]
        seen += [self.loading] if self.loading else []
        return max(reading.host for reading in seen) - self.before.host


@dataclass(slots=True)
class Growth:
    """One series of readings, and what its slope says. Bytes."""

    #: "host" or "GPU".
    memory: str
    #: "cycle" of load, inference and unload; "1000 requests".
    per: str
    x: list[float]
    y: list[int]
    #: Readings that were discarded before these: allocators and caches warm up.
    warmup: int
    limit: float
    look: Look
    #: The most of these readings, and of those discarded.
    most: Reading | None = None


@dataclass(slots=True)
class ModelMemory:
    """One model. ``failed``: why nothing, or not everything, could be measured."""

    name: str
    loads: list[Loaded] = field(default_factory=list)
    growths: list[Growth] = field(default_factory=list)
    failed: str = ""
    remedy: str = ""
    #: What a failure means: "fail" is the model's fault.
    failure: Verdict = "fail"
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict in words."""

    subject: str
    what: str
    verdict: Verdict
    told: str


@dataclass(slots=True)
class Analysis:
    """Everything, in the order in which it was measured."""

    repository: str
    device: str
    release: str
    versions: dict[str, str]
    settings: dict[str, Any]
    #: With no model ever loaded; and with none loaded any more, after each was once (this is
    #: where the process that stubs are forked from, with torch, has been started).
    booted: Reading | None = None
    base: Reading | None = None
    #: Memory that Triton takes for itself: what its log and its metrics tell.
    constants: dict[str, int] = field(default_factory=dict)
    models: list[ModelMemory] = field(default_factory=list)
    #: All models loaded, and the peak under load of one after the other.
    together: Loaded | None = None
    headroom: list[Headroom] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def checks(self) -> list[Check]:
        """Every verdict."""
        return [
            *_headroom_checks(self.headroom),
            *(c for m in self.models for c in model_checks(m)),
        ]

    @property
    def verdict(self) -> Verdict:
        """The worst of all; inconclusive where nothing was judged."""
        found = {check.verdict for check in self.checks}
        if "fail" in found:
            return "fail"
        return "pass" if found == {"pass"} else "inconclusive"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; a bound that is none is null."""
        made: dict[str, Any] = _finite(asdict(self))
        for shown, place in zip(made["headroom"], self.headroom, strict=True):
            shown |= {"left": place.left, "share": place.share, "verdict": place.verdict}
        for model, found in zip(made["models"], self.models, strict=True):
            for loaded, load in zip(model["loads"], found.loads, strict=True):
                _gaps(loaded, load)
        if self.together:
            _gaps(made["together"], self.together)
        checks = [asdict(check) for check in self.checks]
        return {"schema_version": 1, "verdict": self.verdict, "checks": checks, **made}


def mib(size: float) -> str:
    """Bytes as MiB, for people."""
    value = size / MIB
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def slope_told(growth: Growth) -> str:
    """A slope with its interval and its limit."""
    trend = growth.look.trend
    low, high = (mib(end) if math.isfinite(end) else "unknown" for end in (trend.low, trend.high))
    return (
        f"{mib(trend.slope)} MiB per {growth.per} [{low}, {high}], limit {mib(growth.limit)}, "
        f"{trend.points} readings" + (f"; {growth.look.advice}" if growth.look.advice else "")
    )


def model_checks(model: ModelMemory) -> list[Check]:
    """What is judged of one model."""
    found = []
    if model.failed:
        found.append(Check(model.name, "measured", model.failure, model.failed))
    for loaded in model.loads:
        for one in loaded.under_load:
            if one.errors:
                told = f"{one.errors} of {one.requests} requests of batch {one.batch} failed: "
                told += one.error + (" (the inputs are made up)" if one.made_up else "")
                meant: Verdict = "inconclusive" if one.made_up else "fail"
                found.append(Check(model.name, "answers", meant, told))
    for growth in model.growths:
        what = f"{growth.memory} growth per {growth.per}"
        found.append(Check(model.name, what, growth.look.verdict, slope_told(growth)))
    return found


def _headroom_checks(places: list[Headroom]) -> list[Check]:
    return [
        Check(
            place.place, "headroom", place.verdict,
            f"{mib(place.left)} MiB ({place.share:.0%}) of {mib(place.total)} are left at the "
            f"peak ({place.when}), {place.minimum:.0%} have to be",
        )
        for place in places
    ]  # fmt: skip


def _gaps(made: dict[str, Any], loaded: Loaded) -> None:
    for shown, one in zip(made["under_load"], loaded.under_load, strict=True):
        shown["samples"]["longest_gap"] = one.samples.longest_gap


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, (list, tuple)) else value
