"""The hunt: broken requests with a budget, what came of each, and the smallest bad one."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, configuration, find, settings
from hypothesis.errors import NoSuchExample
from hypothesis.internal.conjecture import providers
from hypothesis.strategies import SearchStrategy
from tritonclient.grpc import service_pb2 as pb

from pytest_triton.fuzzing.documents import HttpAttempt, http_attempts
from pytest_triton.fuzzing.messages import GrpcAttempt, grpc_attempts
from pytest_triton.fuzzing.pools import GOOD, spared
from pytest_triton.probe.grpc import GrpcProbe
from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.message import decode_infer
from pytest_triton.probe.protobuf import infer_result
from pytest_triton.probe.types import (
    ConnectionFailed,
    InferResult,
    MalformedAnswer,
    ProbeError,
    RequestFailed,
)

#: Requests, and seconds for all of them; as many more to make a bad one smaller.
EXAMPLES, SECONDS = 150, 6.0
#: Seconds for one answer.
_ANSWER = 10.0
#: Makes no constants.
_NONE = getattr(providers, "Constants", None)
Attempt = HttpAttempt | GrpcAttempt
Way = Literal["http", "grpc"]


@dataclass
class Caught:
    """What was seen."""

    asked: int = 0
    refused: int = 0
    #: model -> requests that were answered with outputs.
    answered: Counter[str] = field(default_factory=Counter)
    #: What is wrong with the answer to ``attempt``, the smallest that shows it.
    complaint: str = ""
    attempt: dict[str, Any] | None = None
    #: The server, or the model that was asked, was gone after ``attempt``.
    died: bool = False


def hunt(
    http: HttpProbe, grpc: GrpcProbe | None, way: Way, seed: int, release: str | None = None
) -> Caught:
    """Send :data:`EXAMPLES` requests drawn by ``seed``; stop at the first that ends the server.

    What is known to end a ``release`` is left out.
    """
    one = _Hunt(http, grpc)
    make = http_attempts if way == "http" else grpc_attempts
    strategy: SearchStrategy[Any] = make(spared(release))
    budget = settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    with _nothing_kept():
        try:
            smallest: Attempt | None = find(
                strategy, one.bad, settings=budget, random=random.Random(f"{seed} {way}")
            )
        except NoSuchExample:
            smallest = None
    if smallest is not None and not one.seen.died:
        one.seen.complaint, one.seen.attempt = one.known[smallest], smallest.told()
    return one.seen


@contextmanager
def _nothing_kept() -> Iterator[None]:
    """Hypothesis keeps files in the working directory, which is somebody else's.

    And it draws numbers that it finds in whatever modules are loaded: the seed alone shall decide.
    """
    before = configuration.storage_directory(intent_to_write=False).home_directory
    with tempfile.TemporaryDirectory(prefix="pytest-triton-") as scratch, ExitStack() as stack:
        for name, value in (("_get_local_constants", _NONE), ("CONSTANTS_CACHE", {})):
            if _NONE is not None and hasattr(providers, name):
                stack.enter_context(patch.object(providers, name, value))
        configuration.set_hypothesis_home_dir(scratch)
        try:
            yield
        finally:
            configuration.set_hypothesis_home_dir(Path(before))


class _Hunt:
    """Asks, and remembers."""

    def __init__(self, http: HttpProbe, grpc: GrpcProbe | None) -> None:
        self._http, self._grpc = http, grpc
        self._until = time.monotonic() + SECONDS
        self.seen = Caught()
        #: Attempts that were answered badly; a flaky one stays what it was.
        self.known: dict[Attempt, str] = {}

    def bad(self, attempt: Attempt) -> bool:
        """Whether the answer is one that must not be. False when time is up."""
        if attempt in self.known:
            return True
        if self.seen.died or time.monotonic() > self._until:
            return False
        self.seen.asked += 1
        try:
            result = self._ask(attempt)
            self._outputs(attempt, result)
            self.seen.answered[attempt.model] += 1
            return False
        except RequestFailed as error:
            if error.message.strip():
                self.seen.refused += 1
                return False
            complaint = f"refused without a reason: {error}"
        except ConnectionFailed as error:
            complaint = f"no answer: {error}"
            if not self._lives(attempt.model):
                self.seen.died, self.seen.complaint = True, complaint
                self.seen.attempt = attempt.told()
                return False
        except MalformedAnswer as error:
            complaint = f"a success that is none: {error}"
        if not self.known:
            self._until = time.monotonic() + SECONDS
        self.known[attempt] = complaint
        return True

    def _ask(self, attempt: Attempt) -> InferResult:
        """The outputs. Raises ProbeError."""
        if isinstance(attempt, GrpcAttempt):
            assert self._grpc is not None
            answer = self._grpc.call_raw("ModelInfer", attempt.body, timeout=_ANSWER)
            try:
                message = pb.ModelInferResponse.FromString(answer)
            except Exception as error:  # DecodeError has no home that lasts
                raise MalformedAnswer(f"no ModelInferResponse: {error}") from None
            return infer_result(message)
        told = self._http.request(
            "POST",
            attempt.path,
            body=attempt.body,
            headers=dict(attempt.headers),
            timeout=_ANSWER,
        )
        if told.status == 200:
            return decode_infer(told)
        reason = told.error
        if reason is None or not 400 <= told.status < 600:
            raise MalformedAnswer(
                f"{told.status} without a JSON 'error': {told.text[:200]!r}{told.speaker}"
            )
        raise RequestFailed("http", told.status, reason)

    @staticmethod
    def _outputs(attempt: Attempt, result: InferResult) -> None:
        if result.model_name != attempt.model:
            raise MalformedAnswer(f"{attempt.model} was asked, {result.model_name!r} answered")
        prefix = "OUT" if "OUT_BOOL" in GOOD[attempt.model][1] else ""
        known = GOOD[attempt.model][1]
        strange = [
            name
            for name in result.outputs
            if name not in known and not (prefix and name[:4] == "OUT_")
        ]
        if strange:
            raise MalformedAnswer(f"outputs {strange}, which {attempt.model} has not")

    def _lives(self, model: str) -> bool:
        """Whether a good request to the model is answered; a busy server gets a moment."""
        until = time.monotonic() + 2.0
        while True:
            try:
                self._http.infer(model, GOOD[model][0], timeout=_ANSWER)
                self.seen.answered[model] += 1
                return True
            except ProbeError:
                if time.monotonic() > until:
                    return False
                time.sleep(0.05)


def successes(http: HttpProbe) -> dict[str, int]:
    """Successful requests of each model, as the statistics count them."""
    found = {}
    for model in GOOD:
        entries = http.statistics(model).get("model_stats")
        try:
            found[model] = int(entries[0]["inference_stats"]["success"]["count"])  # type: ignore[index]
        except (TypeError, KeyError, IndexError, ValueError):
            raise MalformedAnswer(
                f"statistics of {model} count no successes: {entries!r:.200}"
            ) from None
    return found


def settled(read: Callable[[], dict[str, int]], wanted: dict[str, int]) -> dict[str, int]:
    """Counters once they are as wanted, or after two seconds: Triton answers before it counts."""
    until = time.monotonic() + 2.0
    while (found := read()) != wanted and time.monotonic() < until:
        time.sleep(0.01)
    return found
