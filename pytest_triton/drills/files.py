"""Drills of a model's files: deployed broken, put right, loaded again."""

from __future__ import annotations

from pytest_triton.drills.carrying import REPAIR_S, carry_out, repaired, see, wrong
from pytest_triton.drills.injecting import deploy, heavy
from pytest_triton.drills.looking import Place, refusal
from pytest_triton.drills.table import FileDrill
from pytest_triton.drills.timeline import Timeline
from pytest_triton.probe.http import wait_until
from pytest_triton.telling import UNLOAD_TIMEOUT


def file_drill(place: Place, drill: FileDrill) -> Timeline:
    """Carry one out on a copy of the subject's model."""
    return carry_out(drill.kind, drill.what, lambda line: _course(place, drill, line))


def _course(place: Place, drill: FileDrill, line: Timeline) -> None:
    deploy(place.original, place.directory)
    drill.inject(place.directory, place.known)
    place.watch()
    http, case = place.server.http, place.known.case
    began = line.did(f"deployed {place.model} with a fault: {drill.what}; loaded it")
    place.load = refusal(lambda: http.load(place.model, timeout=REPAIR_S))
    place.ask(lambda: http.infer(place.model, case.inputs))
    see(place, drill.shows, line, began)
    began = line.did("put the files right, loaded it again")
    deploy(place.original, place.directory)
    http.load(place.model, timeout=REPAIR_S)
    repaired(lambda: wrong(place), line, began)
    if heavy(place.directory):
        http.unload(place.model)
        wait_until(http.ready, timeout=UNLOAD_TIMEOUT)
