"""A server that polls its repository: what it makes of changes, asked all the time."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pytest_triton.own_models import CHANGED, GONE, GROWN, UNTOUCHED, parameter, telling_source
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import ProbeError
from pytest_triton.repository.config import CONFIG_NAME, write_config
from pytest_triton.subject import Subject
from pytest_triton.telling import Told, tell

#: Seconds until a change has to be seen: the poll of every second, a load, and a slow machine.
TIMEOUT = 20.0
#: Seconds between two rounds of requests, and for which they go on when all is done.
_STEP, _AFTER = 0.005, 0.1
#: What the changed configuration says, and the mark of the new version's file.
VALUE, MARK, NEW_VERSION = 9, 20, 2
MODELS = (CHANGED, GROWN, GONE, UNTOUCHED)


class Polled:
    """A server of ours that polls, and its repository.

    The repository is changed, and its models are asked, from now on in the background: a poll
    comes every second, and other clauses are judged meanwhile.
    """

    def __init__(self, subject: Subject, repository: Path) -> None:
        self.subject, self.repository = subject, repository
        self._thread = ThreadPoolExecutor(1)
        self._watched = self._thread.submit(_watch, subject.http, repository)

    def watched(self) -> Watched:
        """What was seen; waits until the changes were seen too, or time is up."""
        return self._watched.result()

    def close(self) -> None:
        """Wait for the requests that are still made."""
        self._thread.shutdown()


@dataclass(slots=True)
class Watched:
    """What each model told, from before the changes until they were seen or time was up."""

    #: Every different answer in a row: [old, new], if nothing else was seen between.
    told: dict[str, list[Told]] = field(default_factory=dict)
    asked: int = 0
    #: Model -> seconds from the change to the first answer that shows it; None: never.
    seconds: dict[str, float | None] = field(default_factory=dict)
    config_text: str = ""


def _watch(http: HttpProbe, repository: Path) -> Watched:
    """Change a configuration, add a version, take a model away, and ask all the time."""
    seen = Watched({name: [] for name in MODELS}, 0, dict.fromkeys((CHANGED, GROWN, GONE)))
    _ask(http, seen)
    seen.config_text = change(repository)
    began = time.monotonic()
    until = began + TIMEOUT
    while time.monotonic() < until:
        _ask(http, seen)
        now = time.monotonic()
        for name, done in (
            (CHANGED, _is(seen.told[CHANGED][-1], 1, VALUE)),
            (GROWN, _is(seen.told[GROWN][-1], 2, MARK)),
            (GONE, isinstance(seen.told[GONE][-1], str)),
        ):
            if done and seen.seconds[name] is None:
                seen.seconds[name] = now - began
        if until > now + _AFTER and None not in seen.seconds.values():
            until = now + _AFTER
        time.sleep(_STEP)
    return seen


def _is(told: Told, place: int, value: int) -> bool:
    return not isinstance(told, str) and told[place] == value


def _ask(http: HttpProbe, seen: Watched) -> None:
    """One request to each model."""
    for name in MODELS:
        try:
            told = tell(http, name)
        except ProbeError as error:
            told = str(error)
        seen.asked += 1
        if seen.told[name][-1:] != [told]:
            seen.told[name].append(told)


def change(repository: Path) -> str:
    """The changes, each in one step, for a poll may come at any time; the new configuration."""
    path = repository / CHANGED / CONFIG_NAME
    text = path.read_text("utf-8") + parameter(VALUE)
    write_config(text, path)
    beside = repository.with_name(f"{repository.name}-beside")
    (beside / "new").mkdir(parents=True)
    (beside / "new" / "model.py").write_text(telling_source(MARK), "utf-8")
    (beside / "new").rename(repository / GROWN / str(NEW_VERSION))
    (repository / GONE).rename(beside / GONE)
    shutil.rmtree(beside)
    return text
