"""Load on the model that is reloaded, over both protocols, every answer of which is checked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from pytest_triton.deployment import Deployment
from pytest_triton.load.engine import closed_loop
from pytest_triton.load.requests import PreparedRequest, prepare_grpc, prepare_http
from pytest_triton.load.result import LoadResult
from pytest_triton.operating.models import GIVEN, MADE, RELOADED, made

#: Requests in flight over each protocol; the generator of gRPC takes longer to start.
CLIENTS = {"grpc": 2, "http": 4}
#: Values of the requests: each has an answer of its own.
VALUES = range(16)
#: Seconds before the window of the load, for one request, and between two looks.
WARMUP_S, REQUEST_S, _STEP = 0.1, 30.0, 0.01


class _Begun:
    """Whether a generator has got answers: it tells four times a second how far it is."""

    def __init__(self) -> None:
        self.answers = threading.Event()

    def told(self, text: str) -> None:
        if text.startswith("measuring") and ", 0 requests/s" not in text:
            self.answers.set()


@contextmanager
def busy(deployment: Deployment, seconds: float, found: dict[str, LoadResult]) -> Iterator[None]:
    """Both protocols are busy from the start of the block on, for so many seconds at least.

    Waits for the end of the load; ``found`` gets protocol -> what its clients got.
    """
    running: dict[str, Future[LoadResult]] = {}
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        try:
            for name, clients in CLIENTS.items():
                begun = _Begun()
                running[name] = pool.submit(
                    closed_loop,
                    deployment.http_url if name == "http" else str(deployment.grpc_url),
                    _requests(name),
                    concurrency=clients,
                    duration_s=seconds,
                    warmup_s=WARMUP_S,
                    check_every=1,
                    timeout_s=REQUEST_S,
                    progress=begun.told,
                )
                while not (begun.answers.wait(_STEP) or running[name].done()):
                    continue
            yield
        finally:
            for name, one in running.items():
                found[name] = one.result()


def _requests(protocol: str) -> list[PreparedRequest]:
    prepare = prepare_http if protocol == "http" else prepare_grpc
    return [
        prepare(
            RELOADED,
            "",
            {GIVEN: np.array([[value]], np.int32)},
            expected={MADE: np.array([[made(value)]], np.int32)},
            outputs=[MADE],
            request_id=f"{protocol} {value}",
        )
        for value in VALUES
    ]
