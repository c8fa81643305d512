"""Servers of ours that trace: into files, or to a collector of ours."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.probe_set import write_probes
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject
from pytest_triton.tracing.asked import MODELS, Asked
from pytest_triton.tracing.collector import Collector
from pytest_triton.tracing.files import TraceFile, await_files, parts, read_file
from pytest_triton.tracing.spans import Span
from pytest_triton.tracing.trees import ROOT

if TYPE_CHECKING:
    from pytest_triton.deployment import Deployment
    from pytest_triton.factory import ServerFactory

#: Milliseconds between two exports of spans (releases up to 23.10 export each at once).
DELAY_MS = 200
#: Seconds behind that within which a span has to arrive, and a file has to be there.
SLACK_S = 2.0
#: Seconds until nobody waits for a span any more.
PATIENCE_S = 8.0
#: Traces of one file.
FREQUENCY = 3
#: Seconds for a server to end.
END_S = 30.0
SERVICE = "pytest-triton"


def _boot(
    factory: ServerFactory, settings: Settings, directory: Path, flags: Sequence[str]
) -> Subject:
    deployment = factory(
        write_probes(directory / "models"),
        MODELS,
        auto_complete=False,
        server_args=tuple(f"--trace-config={flag}" for flag in flags),
    )
    return Subject(deployment, replace(settings, models="*"))


@dataclass(frozen=True, slots=True)
class Exporting:
    """A server that exports spans (mode ``opentelemetry``), and who takes them."""

    subject: Subject
    collector: Collector

    def mark(self) -> int:
        """How many spans came so far."""
        return len(self.collector.spans())

    def spans_of(self, asked: Sequence[Asked], since: int) -> list[Span]:
        """What came since a mark once all spans of these requests may be there, or time is up."""
        wanted = sum(each.spans for each in asked)

        def enough(spans: Sequence[Span]) -> bool:
            roots = sum(span.name == ROOT for span in spans)
            return roots >= len(asked) and len(spans) >= wanted

        return self.collector.wait(enough, PATIENCE_S, since=since)


@contextmanager
def exporting(
    factory: ServerFactory, settings: Settings, directory: Path, *, rate: int = 1
) -> Iterator[Exporting]:
    """Boot one; it ends with the factory."""
    with Collector() as collector:
        subject = _boot(
            factory, settings, directory,
            ("mode=opentelemetry", "level=TIMESTAMPS", f"rate={rate}",
             f"opentelemetry,url={collector.url}",
             f"opentelemetry,resource=service.name={SERVICE}",
             f"opentelemetry,bsp_schedule_delay={DELAY_MS}"),
        )  # fmt: skip
        try:
            yield Exporting(subject, collector)
        finally:
            subject.close()
            factory.stop(subject.deployment)  # what it still exports has somebody to go to


@dataclass(slots=True)
class Writing:
    """A server that writes files of traces (mode ``triton``); :meth:`end` ends it."""

    subject: Subject
    path: Path
    _factory: ServerFactory
    _deployment: Deployment
    ended: bool = False

    def written(self, count: int) -> list[TraceFile]:
        """The files once there are so many, or after :data:`SLACK_S`. Raises MalformedAnswer."""
        return await_files(self.path, count, SLACK_S)

    def end(self) -> list[TraceFile]:
        """End the server, which writes the rest, and read all files.

        AssertionError when it does not end, MalformedAnswer for what is no file of traces.
        """
        self.subject.close()  # an idle connection would keep it
        self.ended = True
        began = time.monotonic()
        status, _ = self._factory.terminate(self._deployment, timeout=END_S)
        assert status is not None, (
            f"{time.monotonic() - began:.0f} s behind SIGTERM the server still runs, and the rest "
            "of the traces is not written"
        )
        return [read_file(path) for path in parts(self.path)]


@contextmanager
def writing(
    factory: ServerFactory, settings: Settings, directory: Path, *levels: str
) -> Iterator[Writing]:
    """Boot one that traces every request at these levels."""
    path = directory / "trace"
    subject = _boot(
        factory, settings, directory,
        ("mode=triton", *(f"level={level}" for level in levels), "rate=1",
         f"triton,file={path}", f"triton,log-frequency={FREQUENCY}"),
    )  # fmt: skip
    made = Writing(subject, path, factory, subject.deployment)
    try:
        yield made
    finally:
        if not made.ended:
            subject.close()
            factory.stop(subject.deployment)
