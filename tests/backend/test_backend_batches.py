"""What needs more than one request: batches, sequences, decoupled answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from backend_case import f32, texts
from backend_repository import Table

from pytest_triton.probe.http import HttpProbe
from pytest_triton.probe.types import RequestFailed


@contextmanager
def loaded(table: Table, model: str) -> Iterator[HttpProbe]:
    with HttpProbe(table.url, timeout=120.0) as probe:
        probe.load(model)
        try:
            yield probe
        finally:
            probe.unload(model)


def together(table: Table, model: str, requests: Sequence[dict[str, Any]]) -> list[Any]:
    """Answers (or failures) of requests sent at once, one connection each."""

    def one(inputs: dict[str, Any]) -> Any:
        with HttpProbe(table.url, timeout=120.0) as probe:
            try:
                return probe.infer(model, inputs)
            except RequestFailed as failed:
                return failed

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(one, requests))


def executions(probe: HttpProbe, model: str) -> int:
    return int(probe.statistics(model)["model_stats"][0]["execution_count"])


def test_rows_go_back_to_whom_they_belong(table: Table) -> None:
    one, two = f32([1, 2]), f32([3, 4], [5, 6])
    with loaded(table, "together_double") as probe:
        first, second = together(table, "together_double", [{"x": one}, {"x": two}])
        np.testing.assert_array_equal(first["y"], one * 2)
        np.testing.assert_array_equal(second["y"], two * 2)
        assert executions(probe, "together_double") == 1


def test_several_inputs_are_joined_by_name(table: Table) -> None:
    asks = [
        {"left": f32([9, 9]), "right": f32([1, 2])},
        {"right": f32([3, 4]), "left": f32([8, 8])},
        {"left": f32([7, 7]), "right": f32([5, 6])},
    ]
    with loaded(table, "together_subtract") as probe:
        for ask, answer in zip(asks, together(table, "together_subtract", asks), strict=True):
            np.testing.assert_array_equal(answer["y"], ask["left"] - ask["right"])
        assert executions(probe, "together_subtract") == 1


def test_too_few_rows_fail_only_who_gets_none(table: Table) -> None:
    asks = [{"x": f32([1, 2])}, {"x": f32([3, 4])}, {"x": f32([5, 6])}]
    with loaded(table, "together_one_row") as probe:
        answers = together(table, "together_one_row", asks)
        if table.release != "23.10":  # which does not count an execution that failed in part
            assert executions(probe, "together_one_row") == 1
    failed = [answer for answer in answers if isinstance(answer, RequestFailed)]
    good = [
        (ask, answer)
        for ask, answer in zip(asks, answers, strict=True)
        if not isinstance(answer, RequestFailed)
    ]
    assert len(good) == 1
    np.testing.assert_array_equal(good[0][1]["y"], good[0][0]["x"])
    assert {answer.status for answer in failed} == {table.status(501)}
    assert sorted(answer.message for answer in failed) == [
        "[request id: <id_unknown>] failed to split the output tensor 'y' in responses: expected "
        f"batch size of atleast {wanted} in model output, got 1"
        for wanted in (2, 3)
    ]


def test_an_exception_fails_the_whole_batch(table: Table) -> None:
    asks = [{"x": f32([1, 2])}, {"x": f32([-3, 4], [5, 6])}]
    with loaded(table, "together_raises"):
        answers = together(table, "together_raises", asks)
    assert [answer.status for answer in answers] == [table.status(500)] * 2
    assert answers[0].message == answers[1].message
    assert "negative value" in answers[0].message


def test_everybody_gets_their_own_strings(table: Table) -> None:
    asks = [{"x": texts(b"one").reshape(1, 1)}, {"x": texts(b"two", b"\xff").reshape(2, 1)}]
    with loaded(table, "together_strings"):
        answers = together(table, "together_strings", asks)
    for ask, answer in zip(asks, answers, strict=True):
        np.testing.assert_array_equal(answer["y"], ask["x"])


def test_ragged_requests_meet_in_one_batch(table: Table) -> None:
    asks = [{"values": f32([1, 2, 3])}, {"values": f32([10])}]
    with loaded(table, "ragged_input") as probe:
        answers = together(table, "ragged_input", asks)
        assert executions(probe, "ragged_input") == 1
    assert [float(answer["sums"][0, 0]) for answer in answers] == [6.0, 10.0]


def test_scattered_output_follows_the_shape_of_the_input(table: Table) -> None:
    asks = [{"values": f32([1, 2, 3])}, {"values": f32([10])}]
    with loaded(table, "scattered_output") as probe:
        answers = together(table, "scattered_output", asks)
        assert executions(probe, "scattered_output") == 1
    for ask, answer in zip(asks, answers, strict=True):
        np.testing.assert_array_equal(answer["y"], ask["values"] * 2)


def _sequence(ident: int, *, start: bool = False, end: bool = False) -> dict[str, Any]:
    return {"sequence_id": ident, "sequence_start": start, "sequence_end": end}


def test_controls_reach_the_model(table: Table) -> None:
    with loaded(table, "controls") as probe:

        def ask(**flags: Any) -> float:
            answer = probe.infer("controls", {"x__0": f32([1])}, parameters=_sequence(7, **flags))
            return float(answer["y__0"][0, 0])

        assert [ask(start=True), ask(), ask(end=True)] == [7101.0, 7001.0, 7001.0]


def test_states_are_kept_for_each_sequence(table: Table) -> None:
    with loaded(table, "implicit_state") as probe:

        def ask(ident: int, value: float, **flags: bool) -> float:
            answer = probe.infer(
                "implicit_state", {"x__0": f32([value])}, parameters=_sequence(ident, **flags)
            )
            return float(answer["y__0"][0, 0])

        sums = [
            ask(1, 5, start=True),
            ask(2, 100, start=True),
            ask(1, 6),
            ask(2, 1, end=True),
            ask(1, 7, end=True),
            ask(1, 3, start=True, end=True),
        ]
    assert sums == [5.0, 100.0, 11.0, 101.0, 18.0, 3.0]


def test_a_decoupled_model_sends_one_final_answer(table: Table) -> None:
    from pytest_triton.probe.grpc import GrpcProbe

    with loaded(table, "decoupled"), GrpcProbe(table.grpc_url, timeout=60.0) as probe:
        answers = list(probe.stream_infer("decoupled", {"x": f32(1, 2)}))
    np.testing.assert_array_equal(answers[0]["y"], f32(2, 4))


def test_a_refused_load_leaves_the_server_alive(table: Table) -> None:
    with HttpProbe(table.url, timeout=120.0) as probe:
        with pytest.raises(RequestFailed):
            probe.load("file_is_text")
        reason = next(e for e in probe.index() if e["name"] == "file_is_text")["reason"]
        # No frames of Python behind the words of the C++ backend, and no path of ours.
        assert "At:" not in reason
        assert probe.live()
