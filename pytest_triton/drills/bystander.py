"""The healthy model beside the faults: asked all the time, and held to its answer."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType

from pytest_triton.compare import mismatch
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.transcript import unrecorded
from pytest_triton.probe.types import InferResult, ProbeError

#: Seconds between two requests, and faults that are kept.
STEP, KEPT = 0.02, 100


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A request and the answer to it, from before anything was broken."""

    case: InputCase
    answer: InferResult
    rtol: float
    atol: float

    def wrong(self, got: InferResult) -> str:
        """What is wrong with another answer to it; "": nothing."""
        return (
            mismatch(
                got.outputs,
                self.answer.outputs,
                datatypes=self.answer.datatypes,
                rtol=self.rtol,
                atol=self.atol,
            )
            or ""
        )


class Bystander:
    """Asks a model of a server for the length of a block, one request after the other."""

    def __init__(self, url: str, model: str, known: Known) -> None:
        self.asked = 0
        self._url, self._model, self._known = url, model, known
        self._faults: list[tuple[float, str]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def wrong(self, began: float, ended: float) -> list[str]:
        """What was wrong with answers between two times (monotonic)."""
        return [text for at, text in self._faults if began <= at <= ended]

    def _run(self) -> None:
        with HttpProbe(self._url) as http, unrecorded():
            while not self._stop.is_set():
                try:
                    text = self._known.wrong(http.infer(self._model, self._known.case.inputs))
                except ProbeError as error:
                    text = f"is not answered: {error}"
                self.asked += 1
                if text and len(self._faults) < KEPT:
                    self._faults.append((time.monotonic(), text))
                self._stop.wait(STEP)

    def __enter__(self) -> Bystander:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(15)
