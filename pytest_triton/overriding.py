"""Loads that override a model's files, or fail, on a disposable server: what can be seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pytest_triton.factory import Disposable
from pytest_triton.own_models import VERSIONS, telling_source
from pytest_triton.probe.http import HttpProbe, wait_until
from pytest_triton.probe.types import ProbeError, RequestFailed
from pytest_triton.telling import Told, parameters, reload_plainly, states, tell

#: What overrides say: a parameter of the configuration, and the mark of a file.
OVERRIDDEN, MARK = 5, 77
#: Seconds between two requests while a reload is going on.
_STEP = 0.005
#: Seconds for one answer to somebody who asks all the time.
_ASKED = 10.0


@dataclass(frozen=True, slots=True)
class Override:
    """What a model told before, while and after an override held."""

    before: Told
    during: Told
    #: The parameter VALUE in the served configuration while it held, and after.
    served: str | None
    served_after: str | None
    after: Told


def _served_value(http: HttpProbe, model: str) -> str | None:
    found = http.model_config(model).get("parameters") or {}
    entry = found.get("VALUE") if isinstance(found, dict) else None
    return entry.get("string_value") if isinstance(entry, dict) else None


def override(disposable: Disposable, files: Mapping[str, bytes] | None = None) -> Override:
    """Load with another configuration (and files), look, and undo it."""
    subject, model = disposable.subject, disposable.controlled
    http, limit = subject.http, subject.settings.boot_timeout
    before = tell(http, model)
    config = {**http.model_config(model), **parameters(OVERRIDDEN)}
    try:
        http.load(model, config=config, files=files, timeout=limit)
        during, served = tell(http, model), _served_value(http, model)
    finally:
        reload_plainly(http, model, timeout=limit)
    return Override(before, during, served, _served_value(http, model), tell(http, model))


def override_files(disposable: Disposable) -> Override:
    """The same with another model.py for the latest version."""
    return override(disposable, {f"{max(VERSIONS)}/model.py": telling_source(MARK).encode()})


@dataclass(slots=True)
class Failing:
    """What was seen of reloads that fail."""

    #: Everything that the model told while they were tried, in the order of first sight.
    told: list[Told] = field(default_factory=list)
    asked: int = 0
    #: The refusals; None: it was answered as a success.
    refusals: dict[str, str | None] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    #: What it told after a reload that is right.
    mended: Told = ""


def failing_reloads(disposable: Disposable) -> Failing:
    """Reload with a configuration that is refused, and with one whose model fails to start."""
    subject, model = disposable.subject, disposable.controlled
    http, limit = subject.http, subject.settings.boot_timeout
    seen = Failing()
    config = http.model_config(model)
    attempts: dict[str, dict[str, Any]] = {
        "a configuration that is none": {**config, "max_batch_size": -1},
        "a model that fails to start": {**config, **parameters(FAIL="1")},
    }
    try:
        with _asking(disposable, seen):
            for name, attempt in attempts.items():
                try:
                    http.load(model, config=attempt, timeout=limit)
                    seen.refusals[name] = None
                except RequestFailed as error:
                    seen.refusals[name] = error.message
        seen.states = states(http, model)
    finally:
        reload_plainly(http, model, timeout=limit)
    seen.mended = tell(http, model)
    return seen


@contextmanager
def _asking(disposable: Disposable, seen: Failing) -> Iterator[None]:
    """Ask the model all the time; another connection, as another client has."""
    stop = threading.Event()

    def ask() -> None:
        with HttpProbe(disposable.subject.http.url) as http:
            while not stop.is_set():
                try:
                    told = tell(http, disposable.controlled)
                except ProbeError as error:
                    told = str(error)
                seen.asked += 1
                if told not in seen.told:
                    seen.told.append(told)
                time.sleep(_STEP)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        wait_until(lambda: seen.asked > 0, timeout=_ASKED, interval=_STEP)
        yield
        asked = seen.asked  # a machine may be busy: it is asked afterwards for certain
        wait_until(lambda: seen.asked > asked + 1, timeout=_ASKED, interval=_STEP)
    finally:
        stop.set()
        thread.join()


@dataclass(frozen=True, slots=True)
class Served:
    """What is served under a version policy, however one asks."""

    #: Versions that are ready when asked, of those that have a directory, and in metadata.
    ready: tuple[int, ...]
    metadata: tuple[str, ...]
    index: tuple[str, ...]
    #: Version -> what it told; "" is a request without a version.
    told: dict[str, Told]


def under_policy(disposable: Disposable, policy: Mapping[str, Any]) -> Served:
    """Load with another version policy, and look; the one on disk holds afterwards."""
    subject, model = disposable.subject, disposable.controlled
    http, limit = subject.http, subject.settings.boot_timeout
    config = http.model_config(model)
    try:
        http.load(model, config={**config, "version_policy": dict(policy)}, timeout=limit)
        return Served(
            ready=tuple(each for each in VERSIONS if http.model_ready(model, str(each))),
            metadata=tuple(map(str, http.model_metadata(model).get("versions", ()))),
            index=tuple(v for v, state in states(http, model).items() if state == "READY"),
            told={each: tell(http, model, each) for each in ("", *map(str, VERSIONS))},
        )
    finally:
        http.load(model, config=config, timeout=limit)
