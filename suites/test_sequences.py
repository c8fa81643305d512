"""Stage 03: sequences: each has its state, from START to END."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest

from pytest_triton.declined import declined, says
from pytest_triton.evidence import Evidence
from pytest_triton.messages import on_one_stream, one_value
from pytest_triton.probe.protobuf import infer_request
from pytest_triton.probe_set import SEQUENCE, VERSION
from pytest_triton.sequencing import (
    Sequence,
    interleaved,
    new_id,
    running_sums,
    silence,
    steadily,
    value_of,
    ways,
)
from pytest_triton.subject import Subject

#: Seconds of silence: the model waits for one, and looks now and then.
SILENCES = (1.5, 3.0)


def _values(subject: Subject, count: int, length: int) -> list[list[int]]:
    drawn = np.random.default_rng(subject.settings.seed).integers(1, 1000, (count, length))
    return [[int(value) for value in row] for row in drawn]


@pytest.mark.clause("SEQ-01")
def test_a_sequence(triton_probes: Subject, triton_evidence: Evidence) -> None:
    values = _values(triton_probes, 1, 4)
    for way in ways(triton_probes):
        with triton_evidence.case(way.name):
            (sums,) = interleaved(way, values, "seq-01")
            wanted = running_sums(values[0])
            assert sums == wanted, f"the sums of {values[0]} are {sums}, expected {wanted}"


@pytest.mark.clause("SEQ-02")
def test_without_id(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for way in ways(triton_probes):
        for name, identity in (("no id", {}), ("id 0", {"sequence_id": 0})):
            with triton_evidence.case(f"{way.name}, {name}"):
                told = declined(
                    way.wrong, way.infer, SEQUENCE, value_of(1),
                    parameters={"sequence_start": True, "sequence_end": True, **identity},
                    request_id="seq-02",
                )  # fmt: skip
                says(told, SEQUENCE, "correlation ID")


@pytest.mark.clause("SEQ-03")
def test_without_start(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for way in ways(triton_probes):
        over = Sequence(way)
        over.say(1, start=True, end=True)
        for name, identity in (("a new id", new_id()), ("after END", over.id)):
            with triton_evidence.case(f"{way.name}, {name}"):
                told = declined(
                    way.wrong, way.infer, SEQUENCE, value_of(1),
                    parameters={"sequence_id": identity}, request_id="seq-03",
                )  # fmt: skip
                says(told, "START", identity, SEQUENCE)


@pytest.mark.clause("SEQ-04")
def test_batch(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for way in ways(triton_probes):
        with triton_evidence.case(way.name):
            told = declined(
                way.wrong, way.infer, SEQUENCE, value_of(1, rows=2), request_id="seq-04",
                parameters={"sequence_id": new_id(), "sequence_start": True, "sequence_end": True},
            )  # fmt: skip
            says(told, SEQUENCE, "batch-size 1")


@pytest.mark.clause("SEQ-06")
def test_idle(triton_probes: Subject) -> None:
    told = silence(ways(triton_probes)[0], SILENCES)
    assert told, f"a sequence lives on after {SILENCES[-1]} s of silence, one second is allowed"
    assert told.startswith("400: "), f"refused with {told}, expected 400"
    says(told, "START", SEQUENCE)


@pytest.mark.clause("SEQ-07")
def test_two_sequences(triton_probes: Subject, triton_evidence: Evidence) -> None:
    values = _values(triton_probes, 2, 3)
    for way in ways(triton_probes):
        with triton_evidence.case(way.name):
            sums = interleaved(way, values, "seq-07")
            wanted = [running_sums(own) for own in values]
            assert sums == wanted, f"the sums are {sums}, expected {wanted}"


@pytest.mark.clause("SEQ-08")
def test_over_a_stream(triton_probes: Subject) -> None:
    assert triton_probes.grpc is not None
    (values,) = _values(triton_probes, 1, 4)
    whose = new_id()
    requests = [
        infer_request(
            SEQUENCE, value_of(value), request_id=f"seq-08 {at}",
            parameters={"sequence_id": whose, "sequence_start": at == 0, "sequence_end": at == 3},
        )
        for at, value in enumerate(values)
    ]  # fmt: skip
    answers = on_one_stream(triton_probes.grpc, requests, version=VERSION)
    errors = [answer.error for answer in answers if answer.error]
    assert not errors, f"an error: {errors[0]}"
    ids = [answer.id for answer in answers]
    assert ids == [request.id for request in requests], f"answers to {ids}, in this order"
    sums = [one_value(answer.result, "OUTPUT") for answer in answers]
    wanted = running_sums(values)
    assert sums == wanted, f"the sums of {values} are {sums}, expected {wanted}"


@pytest.mark.clause("SEQ-09")
def test_start_again(triton_probes: Subject, triton_evidence: Evidence) -> None:
    for way in ways(triton_probes):
        with triton_evidence.case(way.name):

            def sums() -> list[int]:
                sequence = Sequence(way, "seq-09")  # noqa: B023
                return [
                    sequence.say(5, start=True),
                    sequence.say(7, start=True),
                    sequence.say(9, end=True),
                ]

            told = steadily(sums)
            assert told == [5, 7, 16], f"START, START, END with 5, 7, 9 gives {told}"


@pytest.mark.clause("SEQ-10")
def test_no_slot(triton_probes: Subject) -> None:
    way = ways(triton_probes)[0]

    def waits() -> tuple[bool, int]:
        one, two, third = Sequence(way), Sequence(way), Sequence(way, "seq-10")
        with ThreadPoolExecutor(1) as pool:
            one.say(1, start=True)
            two.say(1, start=True)
            asked = pool.submit(third.say, 3, start=True)
            early = asked in wait([asked], 0.3).done
            one.say(1, end=True)
            asked.result()
            two.say(1, end=True)
            return early, third.say(4, end=True)

    early, total = steadily(waits)
    assert not early, "a third sequence is answered where the model holds two"
    assert total == 7, f"the sequence that waited has the sum {total}, expected 7"
