"""Ways to serve one model: batching, preferred sizes, delay, instances. Nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

#: Queue delays that are tried, in microseconds.
DELAYS_US = (0, 100, 500, 2000)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One configuration; ``preferred`` and ``delay_us`` mean something only with ``batching``."""

    instances: int
    batching: bool
    delay_us: int = 0
    preferred: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """In words."""
        parts = [f"{self.instances} instance" + ("s" if self.instances > 1 else "")]
        if not self.batching:
            return f"{parts[0]}, no batching"
        parts.append(f"delay {self.delay_us} µs" if self.delay_us else "no delay")
        if self.preferred:
            parts.append("preferred " + ", ".join(map(str, self.preferred)))
        return ", ".join(parts)

    def edit(self, config: Any) -> None:
        """Make a ModelConfig message serve like this."""
        kind = config.instance_group[0].kind if config.instance_group else 0
        del config.instance_group[:]
        config.instance_group.add(kind=kind, count=self.instances)
        if not self.batching:
            config.ClearField("dynamic_batching")
            return
        config.dynamic_batching.SetInParent()
        config.dynamic_batching.max_queue_delay_microseconds = self.delay_us
        del config.dynamic_batching.preferred_batch_size[:]
        config.dynamic_batching.preferred_batch_size.extend(self.preferred)

    def snippet(self) -> str:
        """What to write into config.pbtxt."""
        lines = [f"instance_group [ {{ count: {self.instances} }} ]"]
        if self.batching:
            inner = []
            if self.preferred:
                inner.append(f"preferred_batch_size: [ {', '.join(map(str, self.preferred))} ]")
            if self.delay_us:
                inner.append(f"max_queue_delay_microseconds: {self.delay_us}")
            lines.append(f"dynamic_batching {{ {' '.join(inner)} }}".replace("  ", " "))
        else:
            lines.append("# no dynamic_batching")
        return "\n".join(lines)


def configured(config: Any) -> Candidate:
    """The candidate that a ModelConfig message is."""
    batching = config.dynamic_batching
    on = config.HasField("dynamic_batching") and config.max_batch_size > 1
    count = sum(max(1, group.count) for group in config.instance_group) or 1
    return Candidate(
        count, on, batching.max_queue_delay_microseconds if on else 0,
        tuple(batching.preferred_batch_size) if on else (),
    )  # fmt: skip


def alternatives(best: Candidate, stage: str, *, most: int, counts: tuple[int, ...],
                 ) -> Iterator[Candidate]:  # fmt: skip
    """Other values of one setting; ``most`` is max_batch_size, ``counts`` instances to try.

    ``stage``: instances, batching, delay or preferred.
    """
    found: list[Candidate] = []
    if stage == "instances":
        found = [replace(best, instances=count) for count in counts]
    elif stage == "batching" and most > 1:
        found = [Candidate(best.instances, not best.batching)]
    elif stage == "delay" and best.batching:
        found = [replace(best, delay_us=delay) for delay in DELAYS_US]
    elif stage == "preferred" and best.batching:
        sizes = [(), (most,), (most // 2,), (most // 4, most // 2)]
        found = [
            replace(best, preferred=tuple(dict.fromkeys(size for size in one if size > 1)))
            for one in sizes
        ]
    yield from dict.fromkeys(one for one in found if one != best)


STAGES = ("batching", "instances", "delay", "preferred")
