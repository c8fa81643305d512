"""What a server holds at one moment: of the host's memory, part by part, and of each card.

Host memory is that of the server's process tree, each page once: the proportional set size
(PSS) of anonymous and shared pages. A page that n processes share, as stubs share torch with
the process that they were forked from, counts 1/n in each of them and so once in the sum;
the resident set size (RSS) would charge it to every instance, the unique set size (USS) to
nobody. Pages of files (libraries) are left out: the kernel can drop them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_triton.memory import no_longer_falling, process_tree, proportional
from pytest_triton.memory_use.cards import Card, cards

SHM = Path("/dev/shm")
#: Seconds for one more of a model's processes to end after its unload.
ENDING = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Bytes at one moment."""

    #: Anonymous memory of tritonserver itself, and of every other process of its tree (stubs).
    server: int
    stubs: int
    #: Shared memory that the tree has mapped, and files in /dev/shm that it left there.
    shared: int
    #: Processes beside tritonserver.
    processes: int
    #: Memory in use on each card, by whomever.
    gpu: tuple[int, ...] = ()

    @property
    def host(self) -> int:
        """All of it that is the host's."""
        return self.server + self.stubs + self.shared

    @property
    def cards(self) -> int:
        """Of all cards together."""
        return sum(self.gpu)


def highest(readings: Sequence[Reading]) -> Reading:
    """The reading with the most host memory, and each card's own most."""
    most = max(readings, key=lambda reading: reading.host)
    return replace(most, gpu=tuple(map(max, zip(*(each.gpu for each in readings), strict=True))))


class Reader:
    """Takes readings of one server; what lies in /dev/shm when it is made is not the server's."""

    def __init__(self, pid: int, *, gpu: bool) -> None:
        self.pid = pid
        self.gpu = gpu
        self._known = set(_files())

    def tree(self) -> tuple[int, ...]:
        """tritonserver and every process below it, or left behind by it; not its supervisor."""
        root, *below = process_tree(self.pid)
        return tuple(below) if self.pid in below else (root, *below)

    def now(self, used: tuple[int, ...] | None = None) -> Reading:
        """One reading; ``used`` of each card where it is known already."""
        server = stubs = shared = 0
        tree = self.tree()
        for pid in tree:
            anonymous, mapped = proportional(pid)
            server += anonymous if pid == self.pid else 0
            stubs += anonymous if pid != self.pid else 0
            shared += mapped
        if used is None:
            used = tuple(card.used for card in self.cards())
        return Reading(server, stubs, shared + self._left(tree), len(tree) - 1, used)

    def cards(self) -> list[Card]:
        """The cards that the server may use; none on a CPU."""
        return cards() if self.gpu else []

    def settled(self) -> Reading:
        """A reading once nothing falls any more: what was ended is gone a bit later."""
        return no_longer_falling(self.now, lambda reading: reading.host + reading.cards)

    def unloaded(self, processes: int) -> Reading:
        """As :meth:`settled`, when no more than so many processes are left, or no more end."""
        left, since = len(self.tree()) - 1, time.monotonic()
        while left > processes and time.monotonic() < since + ENDING:
            time.sleep(0.02)
            before, left = left, len(self.tree()) - 1
            since = time.monotonic() if left < before else since
        return self.settled()

    def _left(self, tree: tuple[int, ...]) -> int:
        """Bytes of files in /dev/shm that are new and that no process has mapped.

        What the tree has mapped is in its set sizes; what others have mapped is theirs.
        """
        new = {name: size for name, size in _files().items() if name not in self._known}
        if not new:
            return 0
        taken = _mapped(tree)
        if new.keys() - taken:
            others = _mapped(_processes()) - taken
            self._known |= new.keys() & others
            taken |= others
        # One that was unmapped and removed meanwhile is nobody's.
        left = _files().keys() - taken
        return sum(size for name, size in new.items() if name in left)


def _files() -> dict[str, int]:
    """Our files in /dev/shm, by name, and the bytes that they take."""
    found = {}
    try:
        with os.scandir(SHM) as entries:
            for entry in entries:
                try:
                    state = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if state.st_uid == os.getuid():
                    found[entry.name] = state.st_blocks * 512
    except OSError:
        pass
    return found


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _mapped(pids: tuple[int, ...] | list[int]) -> set[str]:
    """Names in /dev/shm that processes have mapped, as far as one may look."""
    found = set()
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/maps").read_text("utf-8", "replace")
        except OSError:
            continue
        for line in text.splitlines():
            name = line.partition(f"{SHM}/")[2]
            if name:
                found.add(name.removesuffix(" (deleted)"))
    return found
