"""A Triton of ours for each fault that an alert may speak of, recorded before, during and after it.

Its models have the names of the subject's and do as they are told, so that rules which name a
model are provoked too. Each server has one fault: what else fires there fires wrongly.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from pytest_triton.deployment import Deployment
from pytest_triton.errors import ToolError
from pytest_triton.factory import ServerFactory
from pytest_triton.monitor.metrics import Scrape, scrape
from pytest_triton.own_models import write_python_model
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import MalformedAnswer, ProbeError

#: Seconds between two scrapes of a recording, and scrapes of each part of it.
EVERY_S, SCRAPES = 0.4, 8
#: Requests of a saturated model, and milliseconds that each takes.
CROWD, SLOW_MS = 24, 120
#: Of a request that does not want to wait so long, in µs; and what fills the queue before it.
IMPATIENT_US, BUSY_MS = 20_000, 250
#: Seconds between two requests of light traffic to each model.
_PAUSE_S = 0.04
#: Seconds that an unload may take.
_UNLOADS_S = 10.0
FAULTS = ("errors", "saturated", "timeouts", "gone", "dead", "down")
WHAT = {
    "errors": "half of the requests fail in the model",
    "saturated": f"{CROWD} requests at once, of {SLOW_MS} ms each",
    "timeouts": "requests run out of time in the queue",
    "gone": "the models are unloaded",
    "dead": "the models' processes are killed",
    "down": "tritonserver is killed",
}
_CONFIG = """
backend: "python"
max_batch_size: 8
input [ { name: "DO" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "DONE" data_type: TYPE_INT32 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
dynamic_batching {
  preferred_batch_size: [ 1 ]
  default_queue_policy {
    timeout_action: REJECT default_timeout_microseconds: 3600000000 allow_timeout_override: true
  }
}
"""
# One request at a time, so that a crowd waits in the queue.
_MODEL = """
import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            tensor = pb_utils.get_input_tensor_by_name(request, "DO").as_numpy()
            wanted = int(tensor.reshape(-1)[0])
            if wanted < 0:
                raise RuntimeError("fails on purpose")
            time.sleep(wanted / 1000)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("DONE", tensor)]))
        return responses
"""


@dataclass(frozen=True, slots=True)
class Part:
    """Scrapes in equal steps of :data:`EVERY_S`; None: the server did not answer."""

    name: str
    scrapes: tuple[Scrape | None, ...]


@dataclass(slots=True)
class Recording:
    """What a server with one fault told: healthy, faulty, repaired."""

    fault: str
    parts: list[Part] = field(default_factory=list)

    def part(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)


class Patient:
    """One server with its light traffic."""

    def __init__(self, factory: ServerFactory, directory: Path, models: Sequence[str],
                 flags: Sequence[str]) -> None:  # fmt: skip
        self.factory, self.models, self.flags = factory, tuple(models), tuple(flags)
        self.repository = directory
        for name in models:
            write_python_model(directory / name, _MODEL, _CONFIG)
        self.deployment: Deployment = self._boot()
        self.errors = False
        self.impatient = False
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def _boot(self, ports: Mapping[str, Any] | None = None) -> Deployment:
        fields: dict[str, Any] = {"auto_complete": False, "server_args": self.flags}
        return self.factory(self.repository, **fields, **(ports or {}))

    def start(self) -> None:
        """Begin with light traffic, one client for each model."""
        for name in self.models:
            thread = threading.Thread(target=self._lightly, args=(name,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def end(self) -> None:
        """End the server."""
        self.stop()
        with suppress(KeyError):  # ended by its fault, and not started again
            self.factory.stop(self.deployment)

    def _lightly(self, name: str) -> None:
        with HttpProbe(self.deployment.http_url, timeout=5.0) as http:
            turn = 0
            while not self._stop.wait(_PAUSE_S):
                turn += 1
                do = -1 if self.errors and turn % 2 else 0
                self.ask(http, name, do, impatient=self.impatient)

    def ask(self, http: HttpProbe, name: str, do: int, *, impatient: bool = False) -> bool:
        """One request; whether it was answered."""
        parameters = {"timeout": IMPATIENT_US} if impatient else None
        try:
            http.infer(name, {"DO": np.array([[do]], np.int32)}, parameters=parameters)
        except ProbeError:
            return False
        return True

    @contextmanager
    def crowd(self, many: int, do: int) -> Iterator[None]:
        """So many clients at once of each model, for the length of the block."""
        over = threading.Event()

        def client(name: str) -> None:
            with HttpProbe(self.deployment.http_url, timeout=30.0) as http:
                while not over.is_set() and not self._stop.is_set():
                    if not self.ask(http, name, do):
                        over.wait(_PAUSE_S)

        count = many * len(self.models)
        with ThreadPoolExecutor(count) as pool:
            waiting = [pool.submit(client, name) for name in self.models for _ in range(many)]
            try:
                yield
            finally:
                over.set()
                for each in waiting:
                    each.result(60)

    def kill_models(self) -> None:
        """SIGKILL to the processes of the models."""
        for pid in self._stubs():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def _stubs(self) -> list[int]:
        found = []
        for process in psutil.Process(self.deployment.pid).children(recursive=True):
            with suppress(psutil.Error):
                words = " ".join(process.cmdline())
                if any(f"/{name}/" in words for name in self.models):
                    found.append(process.pid)
        return found

    def unload(self) -> None:
        """Until their series are gone too: Triton answers before it is done."""
        with HttpProbe(self.deployment.http_url) as http:
            for name in self.models:
                http.unload(name)
        deadline = time.monotonic() + _UNLOADS_S
        while time.monotonic() < deadline:
            if not scrape(str(self.deployment.metrics_url)).samples("nv_inference_count"):
                return
            time.sleep(0.05)

    def load(self) -> None:
        with HttpProbe(self.deployment.http_url, timeout=60.0) as http:
            for name in self.models:
                http.load(name)

    def kill(self) -> None:
        """SIGKILL to tritonserver; what it started goes with it."""
        assert self.deployment.pid is not None
        os.kill(self.deployment.pid, signal.SIGKILL)
        self.factory.stop(self.deployment)

    def boot_again(self) -> None:
        """Where it was, so that whoever scrapes it finds it again."""
        self.deployment = self._boot(
            {
                "http_port": _port(self.deployment.http_url),
                "grpc_port": _port(f"//{self.deployment.grpc_url}"),
                "metrics_port": _port(str(self.deployment.metrics_url)),
            }
        )


def _port(url: str) -> int:
    from urllib.parse import urlsplit

    found = urlsplit(url).port
    assert found is not None
    return found


def _record(patient: Patient, name: str, scrapes: int = SCRAPES) -> Part:
    """Scrapes at a fixed pace."""
    made: list[Scrape | None] = []
    began = time.monotonic()
    for turn in range(scrapes):
        time.sleep(max(0.0, began + turn * EVERY_S - time.monotonic()))
        try:
            made.append(scrape(str(patient.deployment.metrics_url), timeout=EVERY_S * 4))
        except (ProbeError, MalformedAnswer, ToolError, OSError):
            made.append(None)
    return Part(name, tuple(made))


def record(patient: Patient, fault: str) -> Recording:
    """Healthy, then the fault, then repaired; raises where the repair does not take."""
    made = Recording(fault)
    with ExitStack() as stack:
        patient.start()
        stack.callback(patient.stop)
        time.sleep(3 * EVERY_S)
        made.parts.append(_record(patient, "healthy"))
        with injected(patient, fault):
            time.sleep(EVERY_S)
            made.parts.append(_record(patient, "faulty"))
        time.sleep(2 * EVERY_S)
        made.parts.append(_record(patient, "repaired"))
    return made


@contextmanager
def injected(patient: Patient, fault: str) -> Iterator[None]:
    """One of :data:`FAULTS`, repaired when the block ends."""
    if fault == "errors":
        patient.errors = True
        yield
        patient.errors = False
    elif fault == "saturated":
        with patient.crowd(CROWD, SLOW_MS):
            yield
    elif fault == "timeouts":
        patient.impatient = True
        with patient.crowd(2, BUSY_MS):
            yield
        patient.impatient = False
    else:
        begin, end = _steps(patient)[fault]
        begin()
        yield
        end()


def _steps(patient: Patient) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
    def reload() -> None:
        with HttpProbe(patient.deployment.http_url) as http:
            for name in patient.models:  # a dead one stays UNLOADING, and loads nevertheless
                http.unload(name)
        patient.load()

    return {
        "gone": (patient.unload, patient.load),
        "dead": (patient.kill_models, reload),
        "down": (patient.kill, patient.boot_again),
    }
