"""Requests to a loaded model, of whatever kind it is, from the best source of inputs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count as counter
from typing import Any

from pytest_triton.deployment import Deployment
from pytest_triton.errors import ToolError
from pytest_triton.load.engine import closed_loop
from pytest_triton.load.requests import prepare_http
from pytest_triton.measuring import server_processes
from pytest_triton.probe.grpc import GrpcProbe
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.inputs import InputCase, InputSource
from pytest_triton.probe.types import MalformedAnswer, ProbeError, RequestFailed
from pytest_triton.served import plain_config
from pytest_triton.served_model import ServedModel

#: Distinct requests that are sent in turn, and seconds for one answer.
DISTINCT, ANSWER = 8, 120.0


class NoInputs(ToolError):
    """A model refuses what was made up for it."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a load came to."""

    requests: int
    errors: int
    error: str
    rps: float


class Driver:
    """Asks one model of a server of ours."""

    def __init__(
        self, server: Deployment, http: HttpProbe, source: InputSource, name: str,
        tried: dict[int, list[InputCase]] | None = None,
    ) -> None:  # fmt: skip
        """``tried``: cases by batch size that the model took, kept from load to load."""
        self._server, self._http, self._source = server, http, source
        self._tried = {} if tried is None else tried
        self.config = http.model_config(name)
        self.model = ServedModel(name, (), plain_config(self.config))
        self._metadata = http.model_metadata(name)
        self._ids = counter(1)

    @property
    def instances(self) -> int:
        """Instances that run, at least 1."""
        return instance_count(self.model.config)

    def cases(self, batch: int) -> list[InputCase]:
        """Different requests of one batch size (0: of a model that does not batch)."""
        if batch in self._tried:
            return self._tried[batch]
        return self._source.distinct(
            self.model.name, self._metadata, self.model.config, count=DISTINCT, batch=max(batch, 1)
        )

    def made_up(self, batch: int) -> bool:
        """Are inputs of this batch size made up from the metadata alone?"""
        return any(case.provenance == "generated" for case in self.cases(batch))

    def try_inputs(self, batches: Sequence[int]) -> list[str]:
        """One answer, and of inputs that were made up one to each: those refused are not sent
        again. What is told of them; NoInputs when none is taken at any batch size.
        """
        if not self.made_up(batches[0]):
            self.once(self.cases(batches[0])[0])
            return []
        notes, refused = [], ""
        for batch in batches:
            cases, good = self.cases(batch), []
            for case in cases:
                try:
                    self.once(case)
                except (RequestFailed, MalformedAnswer) as error:
                    refused = _line(error)
                else:
                    good.append(case)
            if good:
                self._tried[batch] = good
            if len(good) < len(cases):
                rows = f" of batch {batch}" if batch else ""
                notes.append(f"refuses {len(cases) - len(good)} of {len(cases)} requests{rows} "
                             f"that were made up ({refused})")  # fmt: skip
        if not self._tried:
            raise NoInputs(
                f"no usable inputs: it refuses those made up from its metadata ({refused})",
                "give real ones: --inputs FILE (docs: Give real inputs), model_warmup in its "
                "config.pbtxt, or an export with its side-car",
            )
        return notes

    def once(self, case: InputCase) -> None:
        """One request, answered whole. Raises a ProbeError."""
        name, parameters = self.model.name, self._parameters()
        if not self.model.decoupled:
            self._http.infer(name, case.inputs, parameters=parameters, timeout=ANSWER)
            return
        with GrpcProbe(self._grpc_url()) as grpc:
            self._drain(grpc, case, parameters)

    def run(
        self, batch: int, *, concurrency: int, seconds: float = 0.0, count: int = 0
    ) -> Ran:  # fmt: skip
        """Keep requests in flight for ``seconds``, or until ``count`` are answered."""
        cases = self.cases(batch)
        if self.model.decoupled:
            return self._streams(cases, concurrency, seconds, count)
        prepared = [
            prepare_http(
                self.model.name, "", case.inputs, parameters=self._parameters(),
                batch=max(batch, 1),
            )
            for case in cases
        ]  # fmt: skip
        done = closed_loop(
            self._server.http_url, prepared, concurrency=concurrency, warmup_s=0.0,
            duration_s=None if count else seconds, count=count or None, check_every=50,
            timeout_s=ANSWER, max_s=2 * ANSWER, server_pids=server_processes(self._server),
        )  # fmt: skip
        texts = (done.error_texts + done.wrong_texts).most_common(1)
        bad = done.errors + done.wrong
        return Ran(done.requests, bad, texts[0][0] if texts else "", done.throughput_rps)

    def _parameters(self) -> dict[str, Any] | None:
        """A sequence of one request, where the model takes sequences."""
        if not self.model.stateful:
            return None
        return {"sequence_id": next(self._ids), "sequence_start": True, "sequence_end": True}

    def _grpc_url(self) -> str:
        assert self._server.grpc_url is not None
        return self._server.grpc_url

    def _drain(self, grpc: GrpcProbe, case: InputCase, parameters: dict[str, Any] | None) -> None:
        for _ in grpc.stream_infer(
            self.model.name, case.inputs, parameters=parameters, timeout=ANSWER
        ):
            pass

    def _streams(
        self, cases: list[InputCase], concurrency: int, seconds: float, count: int
    ) -> Ran:  # fmt: skip
        """A stream for each request: a decoupled model answers over no other protocol."""
        turns: Iterator[int] = iter(range(count)) if count else counter()
        lock, failed = threading.Lock(), Counter[str]()
        sent: list[int] = []
        began = time.monotonic()
        closes = began + (seconds if not count else 2 * ANSWER)

        def loop(grpc: GrpcProbe) -> None:
            while time.monotonic() < closes:
                with lock:
                    turn = next(turns, None)
                    parameters = self._parameters()
                if turn is None:
                    return
                try:
                    self._drain(grpc, cases[turn % len(cases)], parameters)
                except ProbeError as error:
                    failed[_line(error)] += 1
                sent.append(turn)

        with ExitStack() as stack:
            url = self._grpc_url()
            probes = [stack.enter_context(GrpcProbe(url)) for _ in range(concurrency)]
            threads = [threading.Thread(target=loop, args=(probe,)) for probe in probes]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        elapsed = time.monotonic() - began
        texts = failed.most_common(1)
        return Ran(len(sent), failed.total(), texts[0][0] if texts else "", len(sent) / elapsed)


def instance_count(config: Mapping[str, Any]) -> int:
    """Instances of all groups; one on GPUs has its count on each card that it names."""
    count = 0
    for group in config.get("instance_group") or [{}]:
        cards = len(group.get("gpus") or ()) if group.get("kind") == "KIND_GPU" else 0
        count += int(group.get("count") or 1) * max(1, cards)
    return max(1, count)


def _line(error: object) -> str:
    with suppress(IndexError):
        return str(error).strip().splitlines()[0][:300]
    return type(error).__name__
