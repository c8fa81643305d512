"""What is left of a card, or of the host, when a server holds the most that it was seen to hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from pytest_triton.errors import SubjectFault
from pytest_triton.load.stats import Verdict

#: Share of the memory that has to be left: fragments, neighbours, inputs that nobody tried.
MINIMUM = 0.10
#: Share below which nothing more is sent to a model; less where less has to be left.
SAFE = 0.15
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Headroom:
    """One place: the host, or a card. Bytes, and shares of ``total``."""

    place: str
    total: int
    #: Whose limit ``total`` is.
    source: str
    peak: int
    #: When the peak was seen.
    when: str
    minimum: float

    @property
    def left(self) -> int:
        """Bytes that are left; negative where more was held than there is."""
        return self.total - self.peak

    @property
    def share(self) -> float:
        """What is left, as a share of the whole."""
        return self.left / self.total

    @property
    def verdict(self) -> Verdict:
        """Whether enough is left."""
        return "pass" if self.share >= self.minimum else "fail"


class NoRoom(SubjectFault):
    """A model has grown so far that going on could end other programs of this machine."""

    verdict: Verdict = "fail"
    remedy = "ask it by hand: pytest-triton serve shows its log"


class OthersUse(NoRoom):
    """Other programs have taken so much that going on could end one of them."""

    verdict: Verdict = "inconclusive"
    remedy = "measure again when other programs use less of the host's memory"


def require_room(held: int, grown: int, minimum: float) -> None:
    """Stop before the host's memory is gone.

    ``held``: bytes of the server; ``grown``: of them, what came since this model was first
    read; ``minimum``: the share that has to be left. Raises NoRoom where the server's own
    growth is the cause, and OthersUse where others are.
    """
    total, _ = memory_limit()
    least = min(SAFE, minimum) * total
    free = psutil.virtual_memory().available
    left = min(total - held, free)
    if left >= least:
        return
    if total - held < least or (grown > 0 and free + grown >= least):
        raise NoRoom(
            f"stopped: it has grown until {left / total:.0%} of the host's memory was left"
        )
    raise OthersUse(
        f"stopped: other programs use the host's memory, {left / total:.0%} of it was left"
    )


def memory_limit(
    root: Path = _CGROUP, cgroups: Path = Path("/proc/self/cgroup")
) -> tuple[int, str]:
    """Bytes of host memory that a server here may hold, and whose limit that is."""
    limits = [(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), "the machine")]
    for path in _limit_files(root, cgroups):
        try:
            text = path.read_text("ascii").strip()
        except OSError:
            continue
        if text.isdigit():  # "max" is none
            limits.append((int(text), "the control group"))
    return min(limits)


def _limit_files(root: Path, cgroups: Path) -> list[Path]:
    """Where the limits of this process's control group and of those above it are written."""
    try:
        lines = cgroups.read_text("utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            top, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        place = Path(path.lstrip("/"))
        # A container often sees its own group as the root.
        found += [top / each / name for each in (place, *place.parents)]
    return found
