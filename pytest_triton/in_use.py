"""A region that is unregistered while an inference reads and writes it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_triton.criteria import Inconclusive
from pytest_triton.probe.shared import HttpRegions, Place, infer_path, placed_request, said
from pytest_triton.probe.types import ProbeError, RequestFailed
from pytest_triton.probe_set import SLOW
from pytest_triton.sharing import PATIENCE, lent
from pytest_triton.subject import Subject

#: Milliseconds that the model takes, and seconds after which it is asked to let go.
BUSY_MS, AFTER_S = 700, 0.2
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class InUse:
    """``refusal``: why the unregister was refused (None: it was not).

    ``turn``: the model's turn as it stood in the region, and ``wanted``: the one that it was.
    """

    region: str
    refusal: str | None
    turn: int
    wanted: int


def unregister_in_use(subject: Subject) -> InUse:
    """Unregister the region of an inference in flight. Raises what the inference raised.

    Inconclusive when the unregister never came while the inference was in flight.
    """
    for _ in range(ATTEMPTS):
        if seen := _attempt(subject):
            return seen
    raise Inconclusive(f"in {ATTEMPTS} attempts no unregister came during the inference")


def _attempt(subject: Subject) -> InUse | None:
    regions = HttpRegions(subject.http)
    failed: list[ProbeError] = []
    ended: list[float] = []
    inputs = {"DELAY_MS": np.array([[BUSY_MS]], dtype=np.int32)}
    with lent(regions, "shm09", 64) as region:
        region.write(inputs["DELAY_MS"].tobytes())
        places = {"DELAY_MS": Place(region.name, 4).parameters}
        outputs = {"TURN": Place(region.name, 4, offset=32).parameters}
        body = placed_request(inputs, places, outputs, "shm-09")

        def infer() -> None:
            try:
                said(subject.post(infer_path(SLOW), body))
            except ProbeError as error:
                failed.append(error)
            ended.append(time.monotonic())

        thread = threading.Thread(target=infer, name="inference through a region")
        thread.start()
        time.sleep(AFTER_S)  # the request has to be there first; whether it was shows below
        refusal = None
        try:
            regions.unregister(region.name)
        except RequestFailed as error:
            refusal = error.message
        finally:
            let_go = time.monotonic()
            thread.join(PATIENCE + BUSY_MS / 1000 + AFTER_S)
        if failed:
            if isinstance(failed[0], RequestFailed) and region.name in failed[0].message:
                return None  # the unregister came first
            raise failed[0]
        if not ended or ended[0] < let_go:
            return None
        turn = int(np.frombuffer(region.read(4, 32), dtype=np.int32)[0])
    plain = subject.http.infer(SLOW, {"DELAY_MS": np.zeros((1, 1), dtype=np.int32)})
    return InUse(region.name, refusal, turn, _turn(plain) - 1)


def _turn(answer: Any) -> int:
    return int(answer["TURN"].reshape(-1)[0])
