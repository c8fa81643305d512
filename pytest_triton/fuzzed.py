"""A server of ours that gets what nobody should send, and whether it is whole afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton.compare import mismatch
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import ProbeError
from pytest_triton.probe_set import ADDSUB, ECHO, TYPES, write_probes
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

if TYPE_CHECKING:
    from pytest_triton.factory import ServerFactory
    from pytest_triton.fuzzing.hunt import Caught, Way
    from pytest_triton.probe.grpc import GrpcProbe

#: Seconds that counters stand still when nothing is left to be counted; and the wait for it.
REST, _PATIENCE = 0.3, 5.0


class Fuzzed:
    """The server; hypothesis is imported when it is needed."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @property
    def seed(self) -> int:
        """The run's."""
        return self.subject.settings.seed

    def hunt(self, way: Way) -> Caught:
        """Broken requests, drawn by the run's seed."""
        from pytest_triton.fuzzing.hunt import hunt

        return hunt(self.subject.http, self.subject.grpc, way, self.seed, self.subject.release)

    def successes(self) -> dict[str, int]:
        """Successful requests of each model, as the statistics count them."""
        from pytest_triton.fuzzing.hunt import successes

        return successes(self.subject.http)

    def at_rest(self) -> dict[str, int]:
        """The same, once they have stood still for :data:`REST`.

        Triton counts a request after it has answered: what was asked before is not all counted
        when its answer is here. Somebody else's requests do not hold this up for ever.
        """
        ends = time.monotonic() + _PATIENCE
        found, since = self.successes(), time.monotonic()
        while (now := time.monotonic()) - since < REST and now < ends:
            time.sleep(0.02)
            if (again := self.successes()) != found:
                found, since = again, time.monotonic()
        return found

    def counted(self, wanted: dict[str, int]) -> dict[str, int]:
        """The same, once they are as wanted or do not become so."""
        from pytest_triton.fuzzing.hunt import settled

        return settled(self.successes, wanted)

    def ailments(self, *, request_id: str = "", fresh: bool = False) -> list[str]:
        """What is wrong with the server now: health, and the answers to good requests.

        ``request_id`` goes with these; ``fresh``: over connections that nobody has used.
        """
        deployment = self.subject.deployment
        http, grpc = self.subject.http, self.subject.grpc
        if not fresh:
            return list(_ailments(http, grpc, request_id))
        from pytest_triton.probe.grpc import GrpcProbe

        with HttpProbe(deployment.http_url) as new:
            if deployment.grpc_url is None:
                return list(_ailments(new, None, request_id))
            with GrpcProbe(deployment.grpc_url) as other:
                return list(_ailments(new, other, request_id))


def _ailments(http: HttpProbe, grpc: GrpcProbe | None, request_id: str) -> Iterator[str]:
    from pytest_triton.fuzzing.pools import GOOD

    ways: list[tuple[str, Any]] = [("HTTP", http), *([("gRPC", grpc)] if grpc else [])]
    for way, probe in ways:
        try:
            if not probe.live():
                yield f"not live over {way}"
            if not probe.ready():
                yield f"not ready over {way}"
            for model, (inputs, outputs) in GOOD.items():
                answer = probe.infer(model, inputs, request_id=request_id)
                if text := mismatch(answer.outputs, outputs):
                    yield f"{model} over {way}: {text}"
        except ProbeError as error:
            yield f"a good request over {way}: {error}"


@contextmanager
def fuzzed(factory: ServerFactory, settings: Settings, directory: Path) -> Iterator[Fuzzed]:
    """Boot one; it ends with the factory."""
    deployment = factory(
        write_probes(directory / "fuzzed"), (ADDSUB, ECHO, TYPES), auto_complete=False
    )
    subject = Subject(deployment, replace(settings, models="*"))
    try:
        yield Fuzzed(subject)
    finally:
        subject.close()
