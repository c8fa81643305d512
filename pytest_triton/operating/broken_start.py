"""Servers that start with something that cannot be loaded: they end, or go on without it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.factory import ServerFactory
from pytest_triton.launch.tried import Tried, tried
from pytest_triton.own_models import (
    BROKEN,
    BROKEN_SOURCE,
    CONTROLLED,
    TELLING_CONFIG,
    telling_source,
    write_python_model,
)
from pytest_triton.serverlog import errors
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

#: A model whose configuration is refused, one that is not there, and a repository that is not.
UNREADABLE, ABSENT = "pytest_triton_unreadable", "pytest_triton_absent"
NOWHERE = "pytest_triton_nowhere"
#: What BROKEN raises when it is loaded.
REASON = "this model is broken on purpose"
#: A model beside them that is in order, and what it tells (:mod:`pytest_triton.telling`).
WHOLE, TOLD = CONTROLLED, (1, 0, 0)
_ALL = ("--model-control-mode=none",)
_ENDS, _GOES_ON = "--exit-on-error=true", "--exit-on-error=false"
_LOGS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Start:
    """A start that has to end: what it came to, and the error lines that name what is wrong."""

    ended: Tried
    named: tuple[str, ...]
    #: The last lines of level error, whatever they name.
    errors: tuple[str, ...]


def write_with(repository: Path, *more: str) -> Path:
    """A repository of the whole model and others that cannot be loaded."""
    write_python_model(repository / WHOLE, telling_source(), TELLING_CONFIG)
    for name in more:
        config = TELLING_CONFIG
        if name == UNREADABLE:
            config = config.replace("max_batch_size: 0", "max_batch_size: -1")
        write_python_model(repository / name, BROKEN_SOURCE, config)
    return repository


def ended_starts(settings: Settings, directory: Path) -> dict[str, Start]:
    """What becomes of servers with --exit-on-error=true and something that cannot be loaded."""
    place = directory / f"broken-start-{next(_LOGS)}"
    broken, unreadable = write_with(place / "one", BROKEN), write_with(place / "two", UNREADABLE)

    def start(
        repository: Path, name: str, models: tuple[str, ...] = (), flags: tuple[str, ...] = _ALL
    ) -> Start:
        log = place / f"{name}.log"
        ended = tried(
            settings, repository, log, models=models, flags=(*flags, _ENDS),
            timeout=settings.boot_timeout,
        )  # fmt: skip
        found = errors(log.read_text("utf-8", "replace"))
        return Start(ended, tuple(one for one in found if name in one), tuple(found[-3:]))

    with ThreadPoolExecutor(2) as pool:
        asked = {
            "a model that fails": pool.submit(start, broken, BROKEN),
            "a configuration that is refused": pool.submit(start, unreadable, UNREADABLE),
            "a model that is not there": pool.submit(start, broken, ABSENT, (WHOLE, ABSENT), ()),
            "a repository that is not there": pool.submit(start, place / NOWHERE, NOWHERE),
        }
    return {what: one.result() for what, one in asked.items()}


@contextmanager
def going_on(
    factory: ServerFactory, settings: Settings, directory: Path, *flags: str, loads: bool = True
) -> Iterator[Subject]:
    """A server with --exit-on-error=false that has one model that fails, and one that is whole.

    Not ``loads``: it has the same repository, and was told to load nothing.
    """
    repository = write_with(directory / f"broken-start-{next(_LOGS)}", BROKEN)
    control = _ALL if loads else ("--model-control-mode=explicit",)
    deployment = factory(
        repository,
        None if loads else (),
        tolerant=True,
        auto_complete=False,
        server_args=(*control, _GOES_ON, *flags),
    )
    subject = Subject(deployment, settings)
    try:
        yield subject
    finally:
        subject.close()
        factory.stop(deployment)
