"""A server of ours that starts with no model, and its models, loaded and unloaded one by one."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_triton.deployment import Deployment
from pytest_triton.errors import SubjectFault, ToolError
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.reasons import bare, explain
from pytest_triton.launch.screened import Screened
from pytest_triton.memory_use.cards import by_process
from pytest_triton.memory_use.driving import Driver
from pytest_triton.memory_use.reading import Reader, Reading
from pytest_triton.memory_use.wanted import Wanted
from pytest_triton.monitor.metrics import scrape
from pytest_triton.probe.http import HttpProbe, wait_until
from pytest_triton.probe.inputs import InputCase, InputSource
from pytest_triton.probe.types import ConnectionFailed, ProbeError
from pytest_triton.telling import UNLOAD_TIMEOUT, states

#: What helps where an answer of a loaded model is no good one.
ASK = "ask it by hand: pytest-triton serve shows its log"
#: Seconds for a load: weights of many GB come from a disk.
LOADING = 600.0
#: Seconds for an unload, which waits for finalize() and for requests.
UNLOADING = 3 * UNLOAD_TIMEOUT
#: Seconds for the server's own telemetry of a card to be younger than what it is compared with.
_TELEMETRY = 1.0
_LOAD = re.compile(r"^load failed for model '[^']*': (?:version \d+ is at UNAVAILABLE state: )?")
_POOL = re.compile(
    r"(?P<pinned>Pinned memory pool is created)[^\n]*? with size (?P<a>\d+)"
    r"|CUDA memory pool is created on device (?P<device>\d+) with size (?P<b>\d+)"
)


class LoadFailed(SubjectFault):
    """A model that the server does not load, with the server's reason and what helps."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class UnloadFailed(LoadFailed):
    """A model that is still there long after its unload."""


@dataclass(slots=True)
class Bench:
    """One server, its reader, and what is sent to its models."""

    server: Deployment
    http: HttpProbe
    reader: Reader
    source: InputSource
    #: Models as they are configured, once they were loaded.
    served: dict[str, Driver] = field(default_factory=dict)
    #: Requests that each model took, by its name and by batch size.
    tried: dict[str, dict[int, list[InputCase]]] = field(default_factory=dict)

    def load(self, name: str, config: Mapping[str, Any] | None = None) -> Driver:
        """A loaded model. Raises LoadFailed, and ToolError when the server has ended."""
        try:
            self.http.load(name, config=config, timeout=LOADING)
            tried = self.tried.setdefault(name, {})
            driver = Driver(self.server, self.http, self.source, name, tried)
        except ConnectionFailed as error:
            raise self._ended(name, error) from None
        except ProbeError as error:
            raise self._failed(name, str(getattr(error, "message", error))) from None

        if config is None:
            self.served[name] = driver
        return driver

    def _failed(self, name: str, reason: str) -> LoadFailed:
        assert self.server.repository is not None
        location, remedy = explain(reason, name, self.server.repository)
        place = f" ({location[0]}:{location[1]})" if location else ""
        told = bare(_LOAD.sub("", reason)).replace("\n", " ")
        return LoadFailed(
            f"it does not load: {told}{place}",
            remedy or "pytest-triton lint names what is wrong; pytest-triton serve shows the log",
        )

    def unload(self, *names: str, processes: int) -> Reading:
        """What is held once the models are gone, with those that they consist of.

        ``processes``: so many there were beside tritonserver before they were loaded. Raises
        UnloadFailed for a model that stays, and ToolError when the server has ended.
        """
        try:
            for name in names:
                self.http.unload(name, dependents=True)
            if not wait_until(lambda: self._gone(names), timeout=UNLOADING):
                told = {name: states(self.http, name) for name in names}  # or it has ended
                raise UnloadFailed(
                    f"it is not unloaded after {UNLOADING:.0f} s: {told}",
                    "look whether finalize() of the model ends: pytest-triton serve shows its log",
                )
        except ConnectionFailed as error:
            raise self._ended(names[0], error) from None
        return self.reader.unloaded(processes)

    def _gone(self, names: tuple[str, ...]) -> bool:
        unloading = any(entry.get("state") == "UNLOADING" for entry in self.http.index())
        return not unloading and not any(
            "READY" in states(self.http, name).values() for name in names
        )

    def _ended(self, name: str, error: Exception) -> ToolError:
        return ToolError(
            f"the server does not answer any more, at model {name}: {error}\n"
            f"{self.server.log_tail(8)}",
            "look whether memory is enough for the model, and whether it ends its own process",
        )

    def gpu_by_process(self) -> dict[str, int] | None:
        """Bytes on the cards of tritonserver and of its stubs; None where none of them is shown."""
        if not self.reader.gpu:
            return None
        shown = by_process()
        tree = [pid for pid in self.reader.tree() if pid in shown]
        if not tree:
            return None
        own = shown.get(self.reader.pid, 0)
        return {"tritonserver": own, "stubs": sum(shown[pid] for pid in tree) - own}

    def gpu_metric(self) -> tuple[int, ...]:
        """nv_gpu_memory_used_bytes of each card; empty where the server tells none."""
        if not self.reader.gpu or self.server.metrics_url is None:
            return ()
        time.sleep(_TELEMETRY)
        told: dict[str, int] = {}
        with suppress(ProbeError):
            for sample in scrape(self.server.metrics_url).samples("nv_gpu_memory_used_bytes"):
                if 0 < sample.value < math.inf:  # 0 until the telemetry was read once
                    told[sample.labels.get("gpu_uuid", "")] = int(sample.value)
        found = [told.get(card.uuid) for card in self.reader.cards()]
        return tuple(value for value in found if value is not None)

    def constants(self) -> dict[str, int]:
        """Bytes of the pools that Triton takes at its start, whatever is loaded: by its log.

        The gauge of the pinned pool tells a size also where the pool could not be made.
        """
        found = {}
        for match in _POOL.finditer(self.server.log_text()):
            if match["pinned"]:
                found["pinned memory pool of the host"] = int(match["a"])
            else:
                found[f"CUDA memory pool of GPU {match['device']}"] = int(match["b"])
        return found


@contextmanager
def bench(
    repository: Path, screened: Screened, wanted: Wanted, say: Callable[[str], None]
) -> Iterator[Bench]:  # fmt: skip
    """A booted server with no model loaded."""
    spec = ServerSpec(
        repository, models=(), device=wanted.device, release=wanted.release,
        python=wanted.server_python,
        auto_complete=False if screened.complete else None,
        # As nvidia-smi numbers the cards.
        environment={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
        # A card is asked right after something happened: the server's own look must not be old.
        server_args=("--metrics-interval-ms=250",),
    )  # fmt: skip
    with embedded(spec, progress=say) as server, HttpProbe(server.http_url) as http:
        assert server.pid is not None
        reader = Reader(server.pid, gpu=server.device == "gpu")
        source = InputSource(repository=repository, inputs_file=wanted.inputs, seed=wanted.seed)
        yield Bench(server, http, reader, source)


def with_instances(config: Mapping[str, Any], count: int) -> dict[str, Any]:
    """A configuration whose first instance group, and no other, has so many instances."""
    first = dict((config.get("instance_group") or [{}])[0])
    return {**config, "instance_group": [{**first, "count": count}]}
