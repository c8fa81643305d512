"""Many distinct requests at the same time: does each get its own answer?"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from pytest_triton.clocked import caches
from pytest_triton.compare import largest_difference, mismatch
from pytest_triton.criteria import Inconclusive, NotAssessed, Reason
from pytest_triton.errors import SubjectFault
from pytest_triton.exactly import not_own
from pytest_triton.measuring import drive
from pytest_triton.options import UNBOUNDED
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.types import Array, InferResult
from pytest_triton.served_model import ServedModel
from pytest_triton.subject import Subject
from pytest_triton.wording import words

#: Distinct requests of a model, at most and at least (where so many inputs are known).
MOST, LEAST = 256, 8
#: Seconds in which the requests are asked alone first: slow models are asked fewer. Bytes of
#: answers that are kept, and that one run of the load engine can keep too.
BUDGET, ROOM = 1.0, 24 << 20
#: How often each distinct request is asked among the others, over HTTP and over gRPC.
TURNS, TURNS_GRPC = 2, 1
#: Requests in flight over HTTP and over gRPC, at least; twice the instances of a model.
IN_FLIGHT, IN_FLIGHT_GRPC = 64, 16
#: Seconds that all requests in flight may take one after the other, and their deadline.
LINE, DEADLINE = 10.0, 30.0
#: Requests in flight below which nothing is shown, and below which an endpoint's permission is.
FEWEST, PERMITTED = 2, 8
#: Share of the largest value that a batch may change an answer by, at most.
ROUNDING = 0.02
#: What the load engine says of answers that are a gateway's doing: too many requests.
_LIMITED = ("429 ",)


@dataclass(frozen=True, slots=True, eq=False)
class Alone:
    """A request, and what it was answered while no other one was in flight.

    ``answer`` has the outputs that are compared; see :func:`steady`.
    """

    case: InputCase
    answer: InferResult

    def fits(self, got: InferResult) -> str | None:
        """What is wrong with another answer to the same request; None: nothing."""
        return mismatch(
            {name: value for name, value in got.outputs.items() if name in self.answer.outputs},
            self.answer.outputs,
            datatypes=self.answer.datatypes,
            rtol=self.case.rtol,
            atol=self.case.atol,
        )


@dataclass(slots=True)
class Crowd:
    """What came of requests that were in flight together."""

    in_flight: int
    checked: int = 0
    #: What is wrong with answers, and why there was none.
    faults: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def told(self) -> str:
        """The findings in one line; "" for none. Inconclusive where a gateway limits the rate."""
        found = []
        if self.faults:
            found.append(f"{self.faults.total()} of {self.checked} concurrent answers are wrong: "
                         f"{_often(self.faults)}")  # fmt: skip
        if self.refused:
            told = f"{self.refused.total()} concurrent requests got none: {_often(self.refused)}"
            if not found and all(text.startswith(_LIMITED) for text in self.refused):
                raise Inconclusive(f"{told}: something on the way limits what can be asked")
            found.append(told)
        return "; ".join(found)


def _often(texts: Counter[str]) -> str:
    return "; ".join(f"{text} ({count}×)" for text, count in texts.most_common(2))


def alone(subject: Subject, model: str) -> list[Alone]:
    """Distinct requests of a model, each asked alone, whose answers can be told apart.

    NotAssessed where a mix-up could not be seen: all get the same answer, the model answers one
    request in several ways, its answers may come from the response cache, or it is too slow.
    """
    made: list[Alone] = subject.once(f"alone {model}", lambda: _alone(subject, model))
    return made


def _alone(subject: Subject, model: str) -> list[Alone]:
    if caches(subject, model):
        raise NotAssessed(Reason.NOT_APPLICABLE, "its answers may come from the response cache")
    asked: list[Alone] = []
    started, size = time.monotonic(), 0
    for case in subject.distinct(model, MOST):
        spent = time.monotonic() - started
        if len(asked) >= LEAST and (spent > BUDGET or size > ROOM):
            break
        answer = subject.answer(model, case)
        size += sum(value.nbytes for value in answer.outputs.values())
        outputs = steady(subject.models[model], answer.outputs)
        asked.append(Alone(case, replace(answer, outputs=outputs)))
    again = subject.answer(model, asked[0].case)
    if text := asked[0].fits(again):
        raise NotAssessed(
            Reason.NOT_APPLICABLE, f"it answers one request in several ways (see ACC-07): {text}"
        )
    asked = _with_room(subject, asked)
    # Counted with that room: what it could not see it must not pass.
    unlike = sum(bool(one.fits(other.answer)) for one, other in pairwise(asked))
    if 2 * unlike < len(asked) - 1 or not unlike:
        raise NotAssessed(
            Reason.NO_INPUTS,
            f"only {unlike} of {len(asked)} distinct inputs got an answer that differs from the "
            "one before by more than rounding: give --triton-inputs FILE with inputs whose "
            "answers differ",
        )
    return asked


def _with_room(subject: Subject, asked: Sequence[Alone]) -> list[Alone]:
    """The requests with room for what a batch changes, and none for the answer of another one.

    Whose an answer is is the question here: within a quarter of what usually lies between two
    answers rounding cannot be taken for a mix-up.
    """
    apart = []
    for one, other in pairwise(asked):
        for name, value in one.answer.outputs.items():
            theirs = other.answer.outputs.get(name)
            if value.dtype.kind == "f" and theirs is not None and value.shape == theirs.shape:
                apart.append(largest_difference(value, theirs))
    quarter = float(np.median(apart)) / 4 if apart else 0.0
    made = []
    for one in asked:
        rtol, atol = subject.rounding(one.case, one.answer.outputs)
        largest = max((_most(v) for v in one.answer.outputs.values()), default=0.0)
        atol = max(atol, min(ROUNDING * largest, quarter))
        made.append(replace(one, case=replace(one.case, rtol=rtol, atol=atol)))
    return made


def _most(value: Array) -> float:
    """The largest finite number of an array of floats; 0 for others."""
    if value.dtype.kind != "f":
        return 0.0
    finite = np.abs(value[np.isfinite(value)].astype(np.float64))
    return float(finite.max()) if finite.size else 0.0


def in_flight(subject: Subject, model: str, asked: Sequence[Alone], wanted: int) -> int:
    """Requests that a model can have in flight: of its queue, its speed, and the permission.

    NotAssessed where that is too few to show anything.
    """
    served = subject.models[model]
    count = max(wanted, 2 * served.instances)
    queue = _queue(served.config)
    if queue:
        count = min(count, queue)
    took = time.monotonic()
    subject.answer(model, asked[0].case)
    took = time.monotonic() - took
    count = min(count, int(LINE * served.instances / max(took, 1e-6)))
    if count < FEWEST:
        raise NotAssessed(
            Reason.NOT_APPLICABLE,
            f"one request takes {took:.1f} s, and its queue takes {queue or 'any number'}: "
            "nothing can be in flight together",
        )
    allowed = subject.settings.allow_load
    if subject.deployment.kind == "endpoint" and allowed not in (None, UNBOUNDED):
        assert allowed is not None
        subject.permit(min(count, PERMITTED))
        count = min(count, allowed)
    return count


def _queue(config: Mapping[str, object]) -> int:
    """The smallest queue that the configuration of dynamic batching allows; 0: none is said."""
    batching = config.get("dynamic_batching")
    policies: list[object] = []
    if isinstance(batching, dict):
        policies = [batching.get("default_queue_policy")]
        policies += list((batching.get("priority_queue_policy") or {}).values())
    sizes = [int(one.get("max_queue_size") or 0) for one in policies if isinstance(one, dict)]
    return min((size for size in sizes if size), default=0)


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
    count = in_flight(subject, model, asked, IN_FLIGHT)
    run = drive(
        subject,
        model,
        requests,
        concurrency=count,
        count=TURNS * len(requests),
        check_every=1,
        warmup_s=0.0,
        timeout_s=DEADLINE,
    )
    if run.checked < 0.5 * (run.requests - run.errors) and not run.wrong:
        raise Inconclusive(f"only {run.checked} of {run.requests} answers could be kept and read")
    return Crowd(count, run.checked, run.wrong_texts, run.error_texts)


def steady(model: ServedModel, outputs: dict[str, Array]) -> dict[str, Array]:
    """The outputs whose shape follows from the request's: an answer is compared in them.

    A dimension that varies though no input's does may be padded to the longest of a batch.
    NotAssessed where no output is left.
    """
    if any(-1 in _dims(entry) for entry in model.config.get("input", ())):
        return outputs
    varying = {e.get("name") for e in model.config.get("output", ()) if -1 in _dims(e)}
    if kept := {name: value for name, value in outputs.items() if name not in varying}:
        return kept
    raise NotAssessed(
        Reason.NOT_APPLICABLE, "the size of every output depends on data, and may be a batch's"
    )


def _dims(entry: Mapping[str, object]) -> list[int]:
    told = entry.get("dims")
    return [int(dim) for dim in told] if isinstance(told, list) else []


def crowd_grpc(subject: Subject, model: str, asked: Sequence[Alone]) -> Crowd:
    """The same over gRPC, from threads."""
    from pytest_triton.probe.protobuf import infer_request, infer_result

    grpc = subject.grpc
    assert grpc is not None
    count = in_flight(subject, model, asked, IN_FLIGHT_GRPC)
    crowd, lock = Crowd(count), threading.Lock()

    def one(number: int) -> None:
        turn, index = divmod(number, len(asked))
        request_id = f"crowd-{turn}-{index}"
        message = infer_request(model, asked[index].case.inputs, request_id=request_id)
        fault, refusal = None, ""
        try:
            got = infer_result(grpc.call("ModelInfer", message, timeout=DEADLINE))
        except SubjectFault as error:
            refusal = words(error) or type(error).__name__
        else:
            fault = _wrong(asked, index, got, request_id)
        with lock:
            crowd.checked += not refusal
            if fault:
                crowd.faults[fault] += 1
            if refusal:
                crowd.refused[refusal] += 1

    with ThreadPoolExecutor(count) as pool:
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
