"""The first requests after READY, beside those that the same copies of a model answer when warm."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pytest_triton.copies import Edit, keep, served_copies
from pytest_triton.criteria import Inconclusive, NotAssessed, Reason
from pytest_triton.factory import ServerFactory
from pytest_triton.load.stats import Verdict
from pytest_triton.measuring import heaviest_of
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

#: The slower of so many first requests counts: TorchScript compiles at its second execution too.
FIRST = 2
#: Copies with the model's own warm-up, and without one, of a look; looks.
WARMED, PLAIN, LOOKS = 5, 2, 3
#: Later requests of each copy: ignored at first, then taken for warm, an even number.
_SETTLES, _WARM = 4, 16
#: A first request is cold beyond so many times what a warm one takes, and so many ms more.
TIMES, MORE_MS = 4.0, 10.0
#: Of all copies: so many may be cold for a pass, and so many have to be for a failure.
FEW, MOST = 0.25, 0.75
#: Share of warm requests that look cold, from which the machine explains the first ones too.
_NOISE = 0.2
#: Bytes of all copies beside each other; larger models have fewer.
_ROOM = 2 << 30


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy: ms of its first requests (the slowest) and of later ones, two by two alike."""

    first_ms: float
    warm_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Cold:
    """Copies with the model's warm-up and without."""

    model: str
    warmed: tuple[Copy, ...]
    plain: tuple[Copy, ...]

    @property
    def warm_ms(self) -> float:
        """The median of warm requests, over all copies."""
        return median(ms for copy in (*self.warmed, *self.plain) for ms in copy.warm_ms)

    @property
    def limit_ms(self) -> float:
        """From here a request is cold."""
        return max(TIMES * self.warm_ms, self.warm_ms + MORE_MS)

    @property
    def cold(self) -> int:
        """Warmed copies whose first requests were cold."""
        return sum(copy.first_ms > self.limit_ms for copy in self.warmed)

    @property
    def first_ms(self) -> float:
        return median(copy.first_ms for copy in self.warmed)

    @property
    def verdict(self) -> Verdict:
        """A share of the copies decides, for one pause of the machine makes one copy look cold."""
        share = self.cold / len(self.warmed)
        if share <= FEW:
            return "pass"
        late = [ms > self.limit_ms for copy in self.warmed for ms in copy.warm_ms]
        if share < MOST or sum(late) > _NOISE * len(late):
            return "inconclusive"
        return "fail"

    def __add__(self, other: Cold) -> Cold:
        return Cold(self.model, self.warmed + other.warmed, self.plain + other.plain)

    def __str__(self) -> str:
        told = (
            f"{self.model}: a first request takes {self.first_ms:.1f} ms (median of "
            f"{len(self.warmed)} copies, {self.cold} over {self.limit_ms:.1f} ms), a warm one "
            f"{self.warm_ms:.1f} ms"
        )
        if self.plain:
            without = median(copy.first_ms for copy in self.plain)
            told += f", and one without any warm-up {without:.1f} ms"
        return told


def warmed_up(subject: Subject) -> str:
    """The PyTorch model with ``model_warmup`` that computes most. NotAssessed: there is none."""
    with_one = {
        name: model for name, model in subject.pytorch.items() if model.config.get("model_warmup")
    }
    if not with_one:
        raise NotAssessed(Reason.NOT_APPLICABLE, "no PyTorch model has model_warmup")
    return heaviest_of(subject, with_one)[0]


def cold(subject: Subject, settings: Settings, factory: ServerFactory) -> Cold:
    """Load copies of a model with and without its warm-up, and ask each from its first request on.

    Raises NotAssessed where no model has a warm-up, Inconclusive where copies cannot be served.
    """
    model = warmed_up(subject)
    seen: Cold | None = None
    for _ in range(LOOKS):
        found = _look(subject, settings, factory, model)
        seen = found if seen is None else seen + found
        if len(seen.warmed) >= WARMED and seen.verdict != "inconclusive":
            break
    assert seen is not None
    if len(seen.warmed) < LOOKS:
        raise Inconclusive(f"{model}: {len(seen.warmed)} copies are too few to tell")
    return seen


def _without(config: Any) -> None:
    config.ClearField("model_warmup")


def _look(subject: Subject, settings: Settings, factory: ServerFactory, model: str) -> Cold:
    repository = subject.deployment.repository
    assert repository is not None
    room = max(1, _ROOM // max(_size(repository / model), 1))
    warmed = min(WARMED, room)
    edits: Sequence[Edit] = [keep] * warmed + [_without] * min(PLAIN, room - warmed)
    inputs = [case.inputs for case in subject.distinct(model, FIRST + _SETTLES + _WARM)]
    with served_copies(subject, settings, factory, model, edits) as (server, names):
        copies = [
            _ask(lambda at, name=name: server.http.infer(name, inputs[at % len(inputs)]))  # type: ignore[misc]
            for name in names
        ]
    return Cold(model, tuple(copies[:warmed]), tuple(copies[warmed:]))


def _ask(infer: Callable[[int], object]) -> Copy:
    """One request behind the other."""
    taken = []
    for at in range(FIRST + _SETTLES + _WARM):
        began = time.perf_counter()
        infer(at)
        taken.append((time.perf_counter() - began) * 1e3)
    later = taken[FIRST + _SETTLES :]
    pairs = zip(later[::2], later[1::2], strict=True)
    # as the first ones are taken, so that a pause is as likely in them
    return Copy(max(taken[:FIRST]), tuple(max(pair) for pair in pairs))


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
