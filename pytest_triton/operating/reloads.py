"""A model that is reloaded in several ways while clients keep it busy over HTTP and gRPC."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from pytest_triton.backlog import in_time
from pytest_triton.deployment import Deployment
from pytest_triton.factory import ServerFactory
from pytest_triton.load.result import LoadResult
from pytest_triton.operating.models import (
    GIVEN,
    RELOADED,
    RELOADED_CONFIG,
    TELLS,
    reloaded_source,
    write_reloaded,
)
from pytest_triton.operating.reload_load import busy
from pytest_triton.own_models import parameter
from pytest_triton.probe.http import HttpProbe, wait_until
from pytest_triton.probe.transcript import unrecorded
from pytest_triton.probe.types import ProbeError
from pytest_triton.repository.config import CONFIG_NAME
from pytest_triton.telling import parameters, states

#: Version, parameter VALUE and FILE of the model that answered; or the text of a refusal.
Told: TypeAlias = "tuple[int, int, int] | str"
#: Seconds of load, in the first try and in those after it: the machine may be busy.
LOAD_S = (4.0, 8.0, 20.0)
#: Seconds before, between and after the reloads, and between two looks of the witness.
PAUSE_S, STEP_S = 0.1, 0.005
#: Seconds for one load of the model, and for an old version to go.
RELOAD_S, SETTLE_S = 60.0, 10.0
OVERRIDDEN, CONFIGURED, SECOND, THIRD = 5, 9, 20, 30
OLD, NEW = (1, 0, 0), (2, CONFIGURED, THIRD)
#: What is done, one after the other, and what the model tells from then on.
STEPS: dict[str, tuple[int, int, int]] = {
    "a configuration in the request": (1, OVERRIDDEN, 0),
    "a changed config.pbtxt": (1, CONFIGURED, 0),
    "a new version beside the old": (2, CONFIGURED, SECOND),
    "a changed file of the version": NEW,
}
_COUNT = itertools.count(1)


@dataclass(slots=True)
class Reloads:
    """What was seen. Times are seconds of :func:`time.monotonic`.

    ``told``: what one client was told, one answer after the other, repetitions left out; ``after``:
    step -> what the model tells when its load was answered, or why that was refused; ``spans``:
    step -> (asked, answered). ``unready``: how often the model was called not ready meanwhile.
    ``load``: protocol -> what its clients got. ``ready``: versions in the index at the end;
    ``value``: the parameter VALUE of the served configuration.
    """

    told: list[Told] = field(default_factory=list)
    after: dict[str, Told] = field(default_factory=dict)
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)
    unready: int = 0
    load: dict[str, LoadResult] = field(default_factory=dict)
    ready: tuple[str, ...] = ()
    value: str = ""

    def meanwhile(self, step: str) -> dict[str, int]:
        """Protocol -> good answers that ended while a step went on."""
        began, ended = self.spans[step]
        found = {}
        for name, one in self.load.items():
            at = one.started + one.ended_s
            found[name] = int(np.count_nonzero((at >= began) & (at <= ended)))
        return found

    @property
    def flaws(self) -> list[str]:
        """What clients were told that is neither the old nor the new, or not in time."""
        found = []
        for name, one in self.load.items():
            for texts, what in ((one.error_texts, "failed"), (one.wrong_texts, "was wrong")):
                found += [f"{name}: {count} × {what}: {text}" for text, count in texts.items()]
        for step, told in self.after.items():
            if told != STEPS[step]:
                found.append(f"{step}: it tells {told}, not {STEPS[step]}")
        known: list[Told] = [OLD, *STEPS.values()]
        places = [known.index(told) if told in known else -1 for told in self.told]
        # A client need not be there for each of them.
        if -1 in places or places != sorted(set(places)):
            found.append(f"one after the other it tells {self.told}, in another order than {known}")
        if self.unready:
            found.append(f"{self.unready} times the model was not ready")
        return found

    @property
    def too_slow(self) -> bool:
        """Whether nothing is wrong, and a reload was not under load over both protocols."""
        over = any(
            one.finished < ended for _, ended in self.spans.values() for one in self.load.values()
        )
        idle = any(not count for step in self.spans for count in self.meanwhile(step).values())
        return not self.flaws and (over or idle)


def under_load(factory: ServerFactory, directory: Path) -> Reloads:
    """Reload a model of ours while both protocols are busy.

    Raises Inconclusive when the machine was too slow to do that within the load.
    """
    seconds = iter(LOAD_S)

    def attempt() -> Reloads | None:
        seen = _attempt(factory, directory / f"reloads-{next(_COUNT)}", next(seconds))
        return None if seen.too_slow else seen

    return in_time(attempt, "the load was over before the reloads were")


def _attempt(factory: ServerFactory, repository: Path, seconds: float) -> Reloads:
    deployment = factory(write_reloaded(repository), (RELOADED,), auto_complete=False)
    try:
        return _reload(deployment, repository / RELOADED, seconds)
    finally:
        factory.stop(deployment)


def _reload(deployment: Deployment, model: Path, seconds: float) -> Reloads:
    seen = Reloads()
    with (
        HttpProbe(deployment.http_url, timeout=RELOAD_S) as http,
        busy(deployment, seconds, seen.load),
        _witness(deployment, seen),
    ):
        for step, action in _actions(http, model).items():
            time.sleep(PAUSE_S)
            began = time.monotonic()
            try:
                action()
                told = tell(http)
            except ProbeError as error:
                told = f"the load is refused: {error}"
            seen.spans[step] = began, time.monotonic()
            seen.after[step] = told
        time.sleep(PAUSE_S)
    with HttpProbe(deployment.http_url) as http:
        wait_until(lambda: len(_ready(http)) == 1, timeout=SETTLE_S)
        seen.ready = _ready(http)
        served = http.model_config(RELOADED).get("parameters", {}).get("VALUE", {})
        seen.value = str(served.get("string_value", ""))
    return seen


def _ready(http: HttpProbe) -> tuple[str, ...]:
    """The versions that the index calls READY."""
    return tuple(sorted(v for v, state in states(http, RELOADED).items() if state == "READY"))


def _actions(http: HttpProbe, model: Path) -> dict[str, Callable[[], None]]:
    """Step -> what is done; files appear in one step, for a poll could come at any time."""
    beside = model.parent.with_name(f"{model.parent.name}-beside")
    beside.mkdir()

    def put(text: str, path: Path) -> None:
        made = beside / path.name
        made.write_text(text, "utf-8")
        made.rename(path)

    def load() -> None:
        http.load(RELOADED, timeout=RELOAD_S)

    def override() -> None:
        config = {**http.model_config(RELOADED), **parameters(OVERRIDDEN)}
        http.load(RELOADED, config=config, timeout=RELOAD_S)

    def configure() -> None:
        text = f'name: "{RELOADED}"{RELOADED_CONFIG}{parameter(CONFIGURED)}'
        put(text, model / CONFIG_NAME)
        load()

    def add() -> None:
        (beside / "2").mkdir()
        (beside / "2" / "model.py").write_text(reloaded_source(SECOND), "utf-8")
        (beside / "2").rename(model / "2")
        load()

    def change() -> None:
        put(reloaded_source(THIRD), model / "2" / "model.py")
        load()

    return dict(zip(STEPS, (override, configure, add, change), strict=True))


def tell(http: HttpProbe) -> tuple[int, int, int] | str:
    """What answers now; MalformedAnswer and refusals are raised."""
    answer = http.infer(RELOADED, {GIVEN: np.array([[0]], np.int32)}, outputs=[TELLS], binary=False)
    values = answer.outputs.get(TELLS, np.zeros(0, np.int32)).reshape(-1).tolist()
    if len(values) != 3:
        return f"answers {values!r:.80}"
    return int(values[0]), int(values[1]), int(values[2])


@contextmanager
def _witness(deployment: Deployment, seen: Reloads) -> Iterator[None]:
    """One client that asks what answers, one request after the other."""
    stop = threading.Event()

    def watch() -> None:
        with HttpProbe(deployment.http_url) as http, unrecorded():
            while not stop.is_set():
                try:
                    told: Told = tell(http)
                    seen.unready += not http.model_ready(RELOADED)
                except ProbeError as error:
                    told = str(error)
                if seen.told[-1:] != [told]:
                    seen.told.append(told)
                stop.wait(STEP_S)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(RELOAD_S)
