"""Log settings that are changed while a server runs: what it logs then, and how."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pytest_triton.deployment import Deployment
from pytest_triton.errors import SubjectFault
from pytest_triton.factory import ServerFactory
from pytest_triton.operating.models import BUSY, WORK, write_busy
from pytest_triton.own_models import BROKEN, BROKEN_SOURCE, write_python_model
from pytest_triton.probe.adjust import Adjusting, GrpcAdjusting, HttpAdjusting
from pytest_triton.probe.grpc import GrpcProbe
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import RequestFailed

#: Seconds until a line that has to come is there.
WRITTEN_S = 10.0
_STEP = 0.02
#: The beginning of an entry in each format, and its level.
FORMATS = {
    "default": re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ "),
    "ISO8601": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ? ([IWEF]) "),
}
AS_BOOTED: Mapping[str, Any] = {
    "log_info": True, "log_error": True, "log_verbose_level": 0, "log_format": "default",
}  # fmt: skip
#: Protocol of the change, what is changed, and the levels and the format of what a failing load
#: logs then.
LOADS: tuple[tuple[str, Mapping[str, Any], frozenset[str], str], ...] = (
    ("HTTP", {}, frozenset("IE"), "default"),
    ("HTTP", {"log_info": False}, frozenset("E"), "default"),
    ("gRPC", {"log_error": False}, frozenset("I"), "default"),
    ("gRPC", {"log_format": "ISO8601"}, frozenset("IE"), "ISO8601"),
    ("HTTP", {"log_format": "default"}, frozenset("IE"), "default"),
)


@dataclass(frozen=True, slots=True)
class Logged:
    """Entries that name something: their levels and formats, and the first of them."""

    levels: frozenset[str]
    formats: frozenset[str]
    lines: tuple[str, ...]


class Logging:
    """A server of ours whose log settings are changed over both protocols."""

    def __init__(self, deployment: Deployment, http: HttpProbe, grpc: GrpcProbe) -> None:
        self._deployment, self._http = deployment, http
        self.protocols: dict[str, Adjusting] = {
            "HTTP": HttpAdjusting(http),
            "gRPC": GrpcAdjusting(grpc),
        }
        self._requests = 0

    def failing_load(self, until: str) -> Logged:
        """What is logged of a model that fails to load, up to the failure in level ``until``.

        Triton logs first that it loads (I), then the failure (E), then that it failed (I).
        """
        begun = len(self._deployment.log_text())
        try:
            self._http.load(BROKEN, timeout=60.0)
        except RequestFailed:
            pass
        else:
            raise SubjectFault(f"the load of {BROKEN}, which fails, is answered as a success")

        def there(text: str) -> bool:
            return any(
                level == until and f"failed to load '{BROKEN}'" in line
                for level, _, line in entries(text)
            )

        return _named(self._wait(begun, there), BROKEN)

    def request(self, *, wait: bool) -> Logged:
        """What is logged of a request until it is answered, by its id; ``wait``: or later."""
        self._requests += 1
        name = f"logged-{self._requests}"
        begun = len(self._deployment.log_text())
        self._http.infer(BUSY, {WORK: np.array([[1, 0]], np.int32)}, request_id=name)
        return _named(self._wait(begun, lambda text: name in text or not wait), name)

    def _wait(self, begun: int, there: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + WRITTEN_S
        while True:
            text = self._deployment.log_text()[begun:]
            if there(text) or time.monotonic() > deadline:
                return text
            time.sleep(_STEP)


def entries(text: str) -> Iterator[tuple[str, str, str]]:
    """Level, format and line of each entry; the other lines of an entry are left out."""
    for line in text.splitlines():
        for name, head in FORMATS.items():
            if found := head.match(line):
                yield found[1], name, line


def _named(text: str, word: str) -> Logged:
    found = [entry for entry in entries(text) if word in entry[2]]
    return Logged(
        frozenset(level for level, _, _ in found),
        frozenset(name for _, name, _ in found),
        tuple(line for _, _, line in found[:6]),
    )


@contextmanager
def logging(factory: ServerFactory, directory: Path) -> Iterator[Logging]:
    """Boot one with a model that works and one that fails."""
    repository = write_busy(directory / "logging")
    write_python_model(repository / BROKEN, BROKEN_SOURCE)
    deployment = factory(repository, (BUSY,), auto_complete=False)
    try:
        with (
            HttpProbe(deployment.http_url) as http,
            GrpcProbe(str(deployment.grpc_url)) as grpc,
        ):
            yield Logging(deployment, http, grpc)
    finally:
        factory.stop(deployment)
