"""Drills of models that serve: they are loaded and right, then fail at run time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from pytest_triton.drills.carrying import REPAIR_S, carry_out, repaired, see, unready
from pytest_triton.drills.looking import PENDING, Place, Shows
from pytest_triton.drills.table import PREFIX
from pytest_triton.drills.timeline import Timeline
from pytest_triton.errors import SubjectFault
from pytest_triton.monitor.expected import REASONS_SINCE
from pytest_triton.own_models import CONFIG, write_python_model
from pytest_triton.probe.types import ProbeError

#: Seconds that a client waits for a model whose process is gone, and for any other.
PATIENCE_S, LONG_S = 3.0, 30.0
#: Releases (first, and the one after the last) on which a request to a model whose process is
#: gone may get no answer at all: 24.07 was seen to let it wait for ever. Before, Triton starts
#: the process again; from 24.10 on it answers 500.
HANGING = ("24.06", "24.10")
#: Milliseconds that the model of a queue is busy for each burst, until one shows the fault: a
#: slow machine needs more of them.
_BUSY = (300, 1000, 3000)
_VALUE = 7

_SOURCE = """
import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        given = [pb_utils.get_input_tensor_by_name(each, "IN").as_numpy() for each in requests]
        WORK
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUT", each)]) for each in given]
"""
_BATCHING = CONFIG.replace("max_batch_size: 0", "max_batch_size: 8")
_QUEUE = _BATCHING + "dynamic_batching { default_queue_policy { max_queue_size: 64 } }\n"
_TIMEOUT = (
    CONFIG.replace("max_batch_size: 0", "max_batch_size: 1")
    + "dynamic_batching { default_queue_policy { timeout_action: REJECT "
    "default_timeout_microseconds: 100000 } }\n"
)


def source(work: str) -> str:
    """model.py of a model that answers its input, after some work."""
    return _SOURCE.replace("WORK", work)


@dataclass(frozen=True, slots=True)
class Model:
    """What a model's files say."""

    source: str
    config: str = CONFIG

    def write(self, directory: Path) -> None:
        if (directory / "1").is_dir():
            (directory / "1" / "model.py").write_text(self.source, "utf-8")
            (directory / "config.pbtxt").write_text(
                f'name: "{directory.name}"{self.config}', "utf-8"
            )
        else:
            write_python_model(directory, self.source, self.config)


@dataclass(frozen=True, slots=True)
class ServingDrill:
    """A fault at run time. ``broken`` None: its process is killed."""

    kind: str
    what: str
    cure: str
    healthy: Model
    broken: Model | None
    shows: Shows
    #: Requests at the same time that show the fault, and that have to be answered afterwards.
    crowd: int = 1
    crowd_after: int = 1
    #: Releases before :data:`REASONS_SINCE` do not count it.
    rejects: bool = False

    @property
    def model(self) -> str:
        """The directory on the drill server."""
        return f"{PREFIX}{self.kind}"

    def on(self, release: str | None) -> ServingDrill:
        """The drill as a release shows it."""
        if release is None:
            return self
        first, end = HANGING
        if self.broken is None and first <= release < end:
            return replace(self, shows=replace(self.shows, unanswered=True))
        if self.rejects and release < REASONS_SINCE:
            return replace(self, shows=replace(self.shows, failures=False))
        return self


_QUICK = Model(source("pass"))
_BUSY_AS_TOLD = source("time.sleep(max(int(each.max()) for each in given) / 1000)")
SERVING_DRILLS: tuple[ServingDrill, ...] = (
    ServingDrill(
        "exception",
        "execute raises",
        "wrote a model.py that does not raise, loaded it again",
        _QUICK,
        Model(source("raise RuntimeError('this drill raises on purpose')")),
        Shows(
            client="'{model}_.*RuntimeError: this drill raises on purpose",
            status=500,
            state="READY",
            failures=True,
        ),
    ),
    # Triton counts what waited too long, and not what was turned away.
    ServingDrill(
        "queue",
        "a queue of one request for clients that come together",
        "wrote a larger max_queue_size, loaded it again",
        Model(_BUSY_AS_TOLD, _QUEUE),
        Model(_BUSY_AS_TOLD, _QUEUE.replace("64", "1")),
        Shows(client="Exceeds maximum queue size", status=503, state="READY", pending=True),
        crowd=5,
        crowd_after=5,
    ),
    ServingDrill(
        "slow",
        "a model so slow that requests behind others wait longer than the queue's time-out",
        "wrote a model.py that is fast, loaded it again",
        Model(source("pass"), _TIMEOUT),
        Model(source("time.sleep(0.4)"), _TIMEOUT),
        Shows(client="Request timeout expired", status=503, state="READY", failures=True),
        crowd=4,
        rejects=True,
    ),
    # Ready in every respect: only a request shows that nobody is there.
    ServingDrill(
        "stub",
        "the process of a Python model is killed",
        "unloaded it, loaded it again",
        _QUICK,
        None,
        Shows(
            client="Stub process '{model}_.*' is not healthy",
            status=500,
            state="READY",
            failures=True,
        ),
    ),
)


def serving_drill(place: Place, drill: ServingDrill) -> Timeline:
    """Carry one out on a model of ours."""
    drill = drill.on(place.server.release)
    return carry_out(drill.kind, drill.what, lambda line: _course(place, drill, line))


def _course(place: Place, drill: ServingDrill, line: Timeline) -> None:
    http = place.server.http
    drill.healthy.write(place.directory)
    http.load(place.model, timeout=REPAIR_S)
    if text := _wrong(place):
        raise SubjectFault(f"before the fault {place.model} is not right: {text}")
    line.did(f"loaded {place.model}; it is right")
    place.watch()
    if drill.broken is None:
        began = line.did("killed its process")
        kill_stub(place)
    else:
        began = line.did(f"loaded it with a fault: {drill.what}")
        drill.broken.write(place.directory)
        http.load(place.model, timeout=REPAIR_S)
    for busy in _BUSY:
        burst(place, drill, busy)
        if place.told and (place.pending or not drill.shows.pending):
            break
    see(place, drill.shows, line, began)
    began = line.did(drill.cure)
    drill.healthy.write(place.directory)
    if drill.broken is None:
        http.unload(place.model)
    http.load(place.model, timeout=REPAIR_S)
    repaired(lambda: wrong_echo(place, drill.crowd_after), line, began)


def kill_stub(place: Place) -> None:
    """End the process of a Python model, below our own server. Raises SubjectFault."""
    pid = place.server.deployment.pid
    assert pid is not None
    # Only the end: an odd path of the repository reaches the server as another one.
    own = re.compile(rf"/{re.escape(place.model)}/\d+/model\.py\Z")
    ended = []
    for process in psutil.Process(pid).children(recursive=True):
        try:
            if any(own.search(argument) for argument in process.cmdline()[1:2]):
                process.kill()
                ended.append(process)
        except psutil.Error:  # it ended by itself
            continue
    if not ended:
        raise SubjectFault(f"the server has no process for {place.model}")
    # Its parent may never reap it, and then it stays as a zombie.
    until = time.monotonic() + PATIENCE_S
    while any(_runs(process) for process in ended) and time.monotonic() < until:
        time.sleep(0.01)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _request(place: Place, value: int, patience: float = LONG_S) -> Callable[[], None]:
    """A request that the model has to answer with its input. Raises SubjectFault."""
    batched = "max_batch_size: 0" not in (place.directory / "config.pbtxt").read_text("utf-8")
    given = np.array([[value]] if batched else [value], np.int32)

    def request() -> None:
        answer = place.server.http.infer(place.model, {"IN": given}, timeout=patience)
        got = answer.outputs.get("OUT")
        if got is None or got.reshape(-1).tolist() != [value]:
            raise SubjectFault(f"it answers {answer.outputs!r:.200} to {value}")

    return request


def burst(place: Place, drill: ServingDrill, value: int) -> None:
    """Requests at the same time; how many waited meanwhile is kept too."""
    count = drill.crowd
    request = _request(place, value, PATIENCE_S if drill.broken is None else LONG_S)
    with ThreadPoolExecutor(count) as pool:
        asked = [pool.submit(place.ask, request) for _ in range(count)]
        while count > 1 and not all(one.done() for one in asked):
            waiting = place.server.scrape().value(PENDING, model=place.model) or 0.0
            place.pending = max(place.pending, waiting)
            time.sleep(0.01)
        for one in asked:
            one.result()


def _wrong(place: Place) -> str:
    try:
        _request(place, _VALUE)()
    except ProbeError as error:
        return f"it is not answered: {error}"
    except SubjectFault as error:
        return str(error)
    return ""


def wrong_echo(place: Place, count: int = 1) -> str:
    """What is wrong with a model of ours that was repaired, asked by so many at the same time."""
    if text := unready(place):
        return text
    with ThreadPoolExecutor(count) as pool:
        return next(filter(None, pool.map(lambda _: _wrong(place), range(count))), "")
