"""Drills of whole servers: one that finds its port taken, one that gets no shared memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_triton.drills.carrying import REPAIR_S, VISIBLE_S, carry_out, repaired, see
from pytest_triton.drills.injecting import LeftOut
from pytest_triton.drills.looking import Place, Shows
from pytest_triton.drills.serving import source, wrong_echo
from pytest_triton.drills.table import NOT_AVAILABLE, PREFIX
from pytest_triton.drills.timeline import Timeline
from pytest_triton.factory import ServerFactory
from pytest_triton.launch.tried import tried
from pytest_triton.own_models import write_python_model
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

#: The model of the second server.
SECOND = f"{PREFIX}second"
_SHM = "/dev/shm"
#: How many times what /dev/shm holds in all a model asks for: refused before anything is taken.
_TOO_MUCH = 4


def port_drill(place: Place, settings: Settings, factory: ServerFactory, scratch: Path) -> Timeline:
    """A second server on the port of the drill server, then on one that is free."""

    def course(line: Timeline) -> None:
        port = int(place.server.deployment.http_url.rpartition(":")[2])
        began = line.did(f"started a second server on port {port}, where the first one listens")
        log = scratch / "second.log"
        status = tried(settings, place.repository, log, http_port=port, timeout=VISIBLE_S).status
        text = log.read_text("utf-8", "replace") if log.is_file() else ""
        taken = [one for one in text.splitlines() if re.search(_in_use(port), one)]
        seen = line.saw("it ended", exit_status=status, log=taken[:2])
        if status is None:
            line.findings.append(f"{VISIBLE_S:g} s after its start it still runs")
        elif status == 0:
            line.findings.append("it ends with status 0")
        if not taken:
            line.findings.append(f"no line of its log says that port {port} is in use")
        if not line.findings:
            line.visible_s = seen - began
        began = line.did("started it on a free port")
        with _second(place, settings, factory) as second:
            repaired(lambda: wrong_echo(second), line, began)

    return carry_out("port", "a second server on a port that is taken", course)


def _in_use(port: int) -> str:
    return rf"Socket '[^']*:{port}' already in use|Address already in use"


_SHOWS = Shows(
    client=NOT_AVAILABLE,
    status=404,
    state="UNAVAILABLE",
    reason="shared memory",
    log="failed to load '{model}' version .*shared memory",
    model_ready=False,
    server_ready=False,
)


def memory_drill(place: Place, settings: Settings, factory: ServerFactory) -> Timeline:
    """A second server whose model asks for more shared memory than there is, then for little."""

    def course(line: Timeline) -> None:
        size = _TOO_MUCH * _total()
        began = line.did(f"started a second server whose model asks for {size >> 20} MiB of {_SHM}")
        flag = f"--backend-config=python,shm-default-byte-size={size}"
        with _second(place, settings, factory, flag) as second:
            if not second.server.deployment.failed:
                raise LeftOut(f"{_SHM} of this machine promises more than it has")
            second.ask(lambda: second.server.http.infer(SECOND, place.known.case.inputs))
            see(second, _SHOWS, line, began)
        began = line.did("started it again, with the memory that it has by default")
        with _second(place, settings, factory) as second:
            repaired(lambda: wrong_echo(second), line, began)

    return carry_out("memory", "more shared memory than there is", course)


@contextmanager
def _second(
    place: Place, settings: Settings, factory: ServerFactory, *flags: str
) -> Iterator[Place]:
    """A second server with a small model of ours on it, loaded or not."""
    if not (place.repository / SECOND).is_dir():
        write_python_model(place.repository / SECOND, source("pass"))
    deployment = factory(
        place.repository,
        (SECOND,),
        tolerant=True,
        auto_complete=False,
        boot_timeout=REPAIR_S,
        server_args=flags,
    )
    server = Subject(deployment, settings)
    try:
        yield Place(server, place.repository, SECOND, place.original, place.known)
    finally:
        server.close()
        factory.stop(deployment)


def _total() -> int:
    """Bytes that /dev/shm holds in all. LeftOut where it has no bound: then nothing is refused."""
    try:
        seen = os.statvfs(_SHM)
    except OSError:
        raise LeftOut(f"this machine has no {_SHM}") from None
    if not seen.f_blocks:
        raise LeftOut(f"{_SHM} of this machine has no bound")
    return seen.f_blocks * seen.f_frsize
