"""Many distinct requests at the same time: does each get its own answer?"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

from pytest_triton.compare import mismatch
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.errors import SubjectFault
from pytest_triton.exactly import not_own
from pytest_triton.measuring import drive
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.types import InferResult
from pytest_triton.served_model import ServedModel
from pytest_triton.subject import Subject
from pytest_triton.wording import words

#: Distinct requests of a model, at most and at least (where so many inputs are known).
MOST, LEAST = 256, 32
#: Seconds in which the requests are asked alone first: slow models are asked fewer.
BUDGET = 1.0
#: How often each distinct request is asked among the others, over HTTP and over gRPC.
TURNS, TURNS_GRPC = 2, 1
#: Requests in flight over HTTP and over gRPC, at least; twice the instances of a model.
IN_FLIGHT, IN_FLIGHT_GRPC = 64, 16


@dataclass(frozen=True, slots=True, eq=False)
class Alone:
    """A request, and what it was answered while no other one was in flight."""

    case: InputCase
    answer: InferResult

    def fits(self, got: InferResult) -> str | None:
        """What is wrong with another answer to the same request; None: nothing."""
        return mismatch(
            got.outputs,
            self.answer.outputs,
            datatypes=self.answer.datatypes,
            rtol=self.case.rtol,
            atol=self.case.atol,
        )


@dataclass(slots=True)
class Crowd:
    """What came of requests that were in flight together."""

    checked: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def told(self) -> str:
        """The findings in one line; "" for none."""
        if not self.faults:
            return ""
        often = "; ".join(f"{text} ({count}×)" for text, count in self.faults.most_common(2))
        return f"{self.faults.total()} of {self.checked} concurrent answers are wrong: {often}"


def alone(subject: Subject, model: str) -> list[Alone]:
    """Distinct requests of a model, each asked alone, whose answers can be told apart.

    NotAssessed where all of them get the same answer: a mix-up could not be seen.
    """
    cases = subject.distinct(model, MOST)
    asked: list[Alone] = []
    deadline = time.monotonic() + BUDGET
    for case in cases:
        if len(asked) >= LEAST and time.monotonic() > deadline:
            break
        asked.append(Alone(case, subject.answer(model, case)))
    if not any(one.fits(other.answer) for one, other in pairwise(asked)):
        raise NotAssessed(
            Reason.NO_INPUTS,
            f"{len(asked)} distinct inputs got answers that cannot be told apart: give "
            "--triton-inputs FILE with inputs whose answers differ",
        )
    return asked


def instances(model: ServedModel) -> int:
    """Instances that the configuration asks for, at least 1."""
    groups = model.config.get("instance_group") or [{}]
    return max(1, sum(int(group.get("count") or 1) for group in groups))


def crowd_http(subject: Subject, model: str, asked: Sequence[Alone]) -> Crowd:
    """All of them over HTTP, again and again, each with an id of its own; every answer is read."""
    from pytest_triton.load.requests import prepare_http

    requests = [
        prepare_http(
            model,
            "",
            one.case.inputs,
            expected=one.answer.outputs,
            batch=max(one.case.batch, 1),
            rtol=one.case.rtol,
            atol=one.case.atol,
            request_id=f"crowd-{number}",
        )
        for number, one in enumerate(asked)
    ]
    run = drive(
        subject,
        model,
        requests,
        concurrency=max(IN_FLIGHT, 2 * instances(subject.models[model])),
        count=TURNS * len(requests),
        check_every=1,
        warmup_s=0.0,
    )
    crowd = Crowd(run.checked + run.errors, run.wrong_texts + run.error_texts)
    if run.checked < 0.9 * run.requests and not crowd.faults:
        crowd.faults[f"only {run.checked} of {run.requests} answers could be read"] += 1
    return crowd


def crowd_grpc(subject: Subject, model: str, asked: Sequence[Alone]) -> Crowd:
    """The same over gRPC, from threads."""
    from pytest_triton.probe.protobuf import infer_request, infer_result

    grpc = subject.grpc
    assert grpc is not None
    threads = max(IN_FLIGHT_GRPC, 2 * instances(subject.models[model]))
    subject.permit(threads)
    crowd, lock = Crowd(), threading.Lock()

    def one(number: int) -> None:
        turn, index = divmod(number, len(asked))
        request_id = f"crowd-{turn}-{index}"
        message = infer_request(model, asked[index].case.inputs, request_id=request_id)
        fault: str | None
        try:
            got = infer_result(grpc.call("ModelInfer", message))
        except SubjectFault as error:
            fault = words(error) or type(error).__name__
        else:
            fault = _wrong(asked, index, got, request_id)
        with lock:
            crowd.checked += 1
            if fault:
                crowd.faults[fault] += 1

    with ThreadPoolExecutor(threads) as pool:
        _wait(pool.map(one, range(TURNS_GRPC * len(asked))))
    return crowd


def _wait(results: Iterable[None]) -> None:
    """Raise what a thread raised."""
    for _ in results:
        pass


def _wrong(asked: Sequence[Alone], index: int, got: InferResult, request_id: str) -> str | None:
    fault = asked[index].fits(got)
    if not fault:
        return not_own(got, request_id, asked[index].answer.model_name, "") or None
    owner = next((at for at, one in enumerate(asked) if not one.fits(got)), None)
    if owner is not None:
        return f"request {index} got the answer of request {owner}"
    return fault
