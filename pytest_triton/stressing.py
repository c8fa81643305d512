"""Clients that load and unload models at once, and what is left afterwards.

One client for each model: with two for one model tritonserver itself dies of a segmentation
fault in its core (2.51: once in 16 times; 2.48) or hangs (2.39).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_triton.factory import Disposable
from pytest_triton.probe.http import HttpProbe, wait_until
from pytest_triton.probe.types import ProbeError, RequestFailed
from pytest_triton.telling import Told, states, tell

#: Clients that control each model, and seconds for which they do it.
CLIENTS, SECONDS = 1, 0.6
#: Seconds that a client leaves a model loaded: requests shall meet it.
_LOADED = 0.03
#: Seconds for every state to become a lasting one: an unload takes one or two.
SETTLE = 15.0
_PASSING = {"LOADING", "UNLOADING"}


@dataclass(slots=True)
class Stressed:
    """What was seen while they did it, and afterwards."""

    loads: int = 0
    unloads: int = 0
    answers: int = 0
    #: Loads and unloads that were refused, and what was neither a right answer nor a refusal.
    refused: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    #: Model -> version -> state, of a server that has come to rest.
    states: dict[str, dict[str, str]] = field(default_factory=dict)
    told: dict[str, Told] = field(default_factory=dict)
    live: bool = False
    #: Versions that the index lists twice.
    double: list[str] = field(default_factory=list)


def stress(disposable: Disposable) -> Stressed:
    """Do it, load each model once more, and look."""
    seen = Stressed()
    models = (disposable.controlled, disposable.custom)
    http, limit = disposable.subject.http, disposable.subject.settings.boot_timeout
    right = {model: tell(http, model) for model in models}
    stop, lock = threading.Event(), threading.Lock()
    work: list[Callable[[HttpProbe], None]] = []
    for model in models:
        work += [_controller(model, at, seen, lock, limit) for at in range(CLIENTS)]
        work.append(_asker(model, right[model], seen, lock))
    threads = [
        threading.Thread(target=_repeat, args=(http.url, each, stop, seen, lock), daemon=True)
        for each in work
    ]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS)
    stop.set()
    for thread in threads:
        thread.join(limit)
    if any(thread.is_alive() for thread in threads):
        seen.wrong.append(f"a request was not answered within {limit:g} s")
    for model in models:
        http.load(model, timeout=limit)
    wait_until(lambda: _at_rest(http, models), timeout=SETTLE)
    for model in models:
        seen.states[model] = states(http, model)
        seen.told[model] = tell(http, model)
    listed = [(str(e.get("name")), str(e.get("version"))) for e in http.index()]
    seen.double = sorted({f"{name} {v}" for name, v in listed if listed.count((name, v)) > 1})
    seen.live = http.live()
    return seen


def _at_rest(http: HttpProbe, models: tuple[str, ...]) -> bool:
    found = [states(http, model) for model in models]
    return all("READY" in each.values() and not _PASSING & set(each.values()) for each in found)


def _repeat(
    url: str,
    work: Callable[[HttpProbe], None],
    stop: threading.Event,
    seen: Stressed,
    lock: threading.Lock,
) -> None:
    """One client with a connection of its own; a server that does not answer ends it."""
    with HttpProbe(url) as http:
        while not stop.is_set():
            try:
                work(http)
            except RequestFailed as error:
                with lock:
                    seen.refused.append(str(error))
            except ProbeError as error:
                with lock:
                    seen.wrong.append(str(error))
                return


def _controller(
    model: str, at: int, seen: Stressed, lock: threading.Lock, limit: float
) -> Callable[[HttpProbe], None]:
    """Loads and unloads in turn."""
    turn = [at]

    def work(http: HttpProbe) -> None:
        turn[0] += 1
        loads = turn[0] % 2 == 1
        if loads:
            http.load(model, timeout=limit)
            time.sleep(_LOADED)
        else:
            http.unload(model, timeout=limit)
        with lock:
            seen.loads += loads
            seen.unloads += not loads

    return work


def _asker(
    model: str, right: Told, seen: Stressed, lock: threading.Lock
) -> Callable[[HttpProbe], None]:
    def work(http: HttpProbe) -> None:
        told = tell(http, model)
        with lock:
            if told == right:
                seen.answers += 1
            elif not (isinstance(told, str) and told.startswith("http ")):
                seen.wrong.append(f"{model} tells {told}, not {right}")
        time.sleep(0.005)

    return work
