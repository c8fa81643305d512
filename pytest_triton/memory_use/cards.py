"""The memory of NVIDIA cards, as nvidia-smi tells it: now, while something runs, by process."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from pytest_triton.errors import ToolError

MIB = 1 << 20
#: Seconds for one answer of nvidia-smi, which wakes a driver that sleeps.
_ANSWER = 60.0
_FIELDS = "index,uuid,name,memory.used,memory.total"
_FORMAT = "--format=csv,noheader,nounits"
_LOOK = "look at nvidia-smi; --device cpu measures the host's memory alone"
#: Seconds for an nvidia-smi that was told to end.
_END = 5.0


@dataclass(frozen=True, slots=True)
class Card:
    """One GPU; bytes, which the driver tells in MiB."""

    index: int
    uuid: str
    name: str
    used: int
    total: int

    @property
    def title(self) -> str:
        """As people call it."""
        return f"GPU {self.index} ({self.name})"


def rows(text: str) -> list[list[str]]:
    """The fields of CSV lines that begin with a number; what a driver says beside them is none."""
    split = ([part.strip() for part in line.split(",")] for line in text.splitlines())
    return [row for row in split if row[0].isdigit()]


def parse(found: list[list[str]]) -> list[Card]:
    """Cards out of fields. ToolError for one that tells no memory: MIG, or an error of its own."""
    made = []
    for row in found:
        try:
            index, uuid, name, used, total = row
            made.append(Card(int(index), uuid, name, int(used) * MIB, int(total) * MIB))
        except ValueError:
            raise ToolError(
                f"nvidia-smi does not tell the memory of a card: {', '.join(row)!r}", _LOOK
            ) from None
    return made


def visible(
    found: list[list[str]], environment: Mapping[str, str] = os.environ
) -> list[list[str]]:  # fmt: skip
    """Those that CUDA_VISIBLE_DEVICES leaves to a server that we start, by index or UUID.

    As CUDA does it, names from the first on that is no card's do not count.
    """
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return found
    kept: list[str] = []
    for one in map(str.strip, named.split(",")):
        meant = [row[0] for row in found if one == row[0] or _begins(row, one)]
        if not meant:
            break
        kept += meant[:1]
    return [row for row in found if row[0] in kept]


def _begins(row: list[str], name: str) -> bool:
    return name.startswith("GPU-") and len(row) > 1 and row[1].startswith(name)


def cards() -> list[Card]:
    """The cards that a server of ours may use, one at least. Raises ToolError without any."""
    text = _ask(f"--query-gpu={_FIELDS}")
    found = parse(visible(rows(text)))
    if not found:
        named = os.environ.get("CUDA_VISIBLE_DEVICES")
        raise ToolError(
            f"no card is left to measure: CUDA_VISIBLE_DEVICES is {named!r} and nvidia-smi tells "
            f"{text.strip()!r}",
            "name whole cards in CUDA_VISIBLE_DEVICES, by index or GPU-UUID (the memory of a MIG "
            "slice is not told apart); --device cpu measures the host's memory alone",
        )
    return found


def by_process() -> dict[int, int]:
    """Bytes of each process on all cards, as far as the driver shows processes here."""
    found: dict[int, int] = {}
    for line in _ask("--query-compute-apps=pid,used_memory").splitlines():
        pid, _, used = line.partition(",")
        if pid.strip().isdigit() and used.strip().isdigit():
            found[int(pid)] = found.get(int(pid), 0) + int(used) * MIB
    return found


def _ask(query: str) -> str:
    try:
        done = subprocess.run(
            ["nvidia-smi", query, _FORMAT], capture_output=True, text=True, timeout=_ANSWER
        )
        if not rows(done.stdout):  # else one card, which may be another's, has an error
            done.check_returncode()
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or getattr(error, "stdout", None) or error
        raise ToolError(f"nvidia-smi does not answer: {str(said).strip()}", _LOOK) from None
    return done.stdout


class Watch:
    """Follows the cards while the block runs: one nvidia-smi that tells them again and again."""

    def __init__(self, interval_s: float) -> None:
        self._interval = interval_s
        self._process: subprocess.Popen[str] | None = None
        self._latest: dict[int, Card] = {}
        self._peaks: dict[int, int] = {}
        #: Readings of all cards together.
        self.count = 0

    def __enter__(self) -> Watch:
        self._note(cards())
        self._process = subprocess.Popen(
            ["nvidia-smi", f"--query-gpu={_FIELDS}", _FORMAT, "-lms",
             str(max(1, round(self._interval * 1000)))],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._follow, args=(self._process,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_END)
            self._thread.join(_END)
        self._note(cards())

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                self._note(parse([row for row in rows(line) if int(row[0]) in self._latest]))
            except ToolError:  # the last line may be cut off
                continue

    def _note(self, found: list[Card]) -> None:
        for card in found:
            self._latest[card.index] = card
            self._peaks[card.index] = max(card.used, self._peaks.get(card.index, 0))
            self.count += card.index == min(self._latest)

    @property
    def used(self) -> tuple[int, ...]:
        """What each card had in use when it was told last."""
        return tuple(self._latest[index].used for index in sorted(self._latest))

    @property
    def peaks(self) -> tuple[int, ...]:
        """The most that each card had in use."""
        return tuple(self._peaks[index] for index in sorted(self._peaks))
