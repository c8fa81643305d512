"""One model of a server that is there: distinct requests for it, and their right answers."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_triton.errors import Misused, ToolError
from pytest_triton.load.engine import here
from pytest_triton.load.requests import PreparedRequest, Protocol, prepare_grpc, prepare_http
from pytest_triton.load.serverside import Reading, reading
from pytest_triton.memory_use.driving import instance_count
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.inputs import InputCase, InputSource
from pytest_triton.probe.types import MalformedAnswer, RequestFailed

#: Different requests of a run.
DISTINCT = 64


@dataclass(frozen=True)
class Target:
    """Where a model is served. ``tls``: files of the authority, certificate and key."""

    model: str
    http_url: str
    grpc_url: str | None
    version: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    tls: tuple[str | None, str | None, str | None] = (None, None, None)
    inputs: Path | None = None
    seed: int = 0
    #: Where the model's side-car lies, if it is at hand.
    repository: Path | None = None
    #: The server's processes on this machine, for who knows better than who listens there.
    pids: tuple[int, ...] | None = None

    @cached_property
    def http(self) -> HttpProbe:
        """Asks one thing at a time; statistics and metadata."""
        return HttpProbe(self.http_url, headers=self.headers, ssl_context=self.ssl_context)

    @cached_property
    def ssl_context(self) -> ssl.SSLContext | None:
        """Of the files of ``tls``; None without any."""
        from pytest_triton.probe.tls import ssl_context

        return ssl_context(*(Path(name) if name else None for name in self.tls))

    @cached_property
    def config(self) -> dict[str, Any]:
        """The served configuration. Raises ToolError for a model that cannot be driven."""
        try:
            if not self.http.model_ready(self.model, self.version):
                raise ToolError(f"{self.model} is not ready at {self.http_url}", self._ready())
            found = self.http.model_config(self.model, self.version)
        except RequestFailed as error:
            raise ToolError(f"{self.model}: {error}", self._ready()) from None
        if "sequence_batching" in found:
            raise Misused(f"{self.model} takes sequences", "load sends single requests")
        return found

    @property
    def decoupled(self) -> bool:
        """Whether it answers a request with a stream."""
        return bool(self.config.get("model_transaction_policy", {}).get("decoupled"))

    def _ready(self) -> str:
        try:
            names = [
                str(entry["name"]) for entry in self.http.index() if entry.get("state") == "READY"
            ]
        except Exception:
            return "look at /v2/repository/index"
        return "ready are " + (", ".join(sorted(dict.fromkeys(names))) or "no models")

    @property
    def instances(self) -> int:
        """Instances as configured, at least 1."""
        return instance_count(self.config)

    def counters(self) -> Reading:
        """The server's counters of the model now."""
        return reading(self.http.statistics(self.model), self.model)

    def cases(self, batch: int) -> list[InputCase]:
        """Distinct requests of ``batch`` rows. Raises Misused where the model takes fewer, and
        for one that streams its answers."""
        if self.decoupled:
            raise Misused(
                f"{self.model} is decoupled: it streams its answers",
                "measure its streams:  pytest-triton load MODEL --stream",
            )
        most = int(self.config.get("max_batch_size", 0))
        if batch > max(most, 1):
            raise Misused(
                f"--batch {batch}: {self.model} takes {most} rows at most"
                if most else f"--batch {batch}: {self.model} does not batch (max_batch_size is 0)",
                f"use --batch {max(most, 1)} or less",
            )  # fmt: skip
        metadata = self.http.model_metadata(self.model, self.version)
        source = InputSource(repository=self.repository, inputs_file=self.inputs, seed=self.seed)
        return source.distinct(self.model, metadata, self.config, count=DISTINCT, batch=batch)

    def prepared(self, protocol: Protocol, batch: int) -> list[PreparedRequest]:
        """Each request was answered alone before: what it has to be answered with under load.

        Raises ToolError where the server refuses all of them.
        """
        made: list[PreparedRequest] = []
        refused = ""
        for at, case in enumerate(self.cases(batch)):
            try:
                answer = self.http.infer(self.model, case.inputs, version=self.version)
            except (RequestFailed, MalformedAnswer) as error:
                refused = str(error).splitlines()[0]
                continue
            prepare = prepare_http if protocol == "http" else prepare_grpc
            made.append(
                prepare(
                    self.model, self.version, case.inputs, expected=answer.outputs,
                    batch=max(case.batch, 1), rtol=max(case.rtol, 1e-2), atol=max(case.atol, 1e-3),
                    request_id=f"load {at:03}", answered_by=answer.model_version,
                )
            )  # fmt: skip
        if not made:
            raise ToolError(
                f"{self.model} refuses every request ({refused})",
                "give real inputs: --inputs FILE, as perf_analyzer's --input-data",
            )
        return made

    def processes(self) -> Sequence[int]:
        """The process on this machine that listens there; none where it is elsewhere."""
        if self.pids is not None:
            return self.pids
        parts = urlsplit(self.http_url)
        if not here(parts.hostname or ""):
            return ()
        import psutil

        try:
            found = {
                one.pid for one in psutil.net_connections("tcp")
                if one.status == psutil.CONN_LISTEN and one.pid
                and one.laddr and one.laddr.port == parts.port
            }  # fmt: skip
        except psutil.Error:
            return ()
        return tuple(_whole(pid) for pid in found)


def _whole(pid: int) -> int:
    """The supervisor of a server of ours, which has all of its processes; else the process."""
    import psutil

    try:
        parent = psutil.Process(pid).parent()
        ours = parent is not None and any("supervisor.py" in part for part in parent.cmdline())
        return parent.pid if parent is not None and ours else pid
    except psutil.Error:
        return pid
