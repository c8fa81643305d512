"""Statistics over two protocols: at rest equal, in use one between the other; a lie is seen."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_triton.bracketing import IN_A_ROW, OUTSIDE, Bracket, contradiction, of_all, outside
from pytest_triton.criteria import Inconclusive, NotAssessed
from pytest_triton.probe.types import MalformedAnswer, RequestFailed

KEY = ("m", "1")


def _entry(count: int, memory: int = 0, **more: Any) -> dict[str, Any]:
    sizes = [{"batch_size": 1, "compute_infer": {"count": count, "ns": 7 * count}}]
    return {
        "name": "m",
        "inference_count": count,
        "batch_stats": sizes if count else [],
        "memory_usage": [{"byte_size": memory}],
        **more,
    }


def _bracket(first: int, told: int, last: int, **more: Any) -> Bracket:
    return Bracket({KEY: _entry(first)}, {KEY: _entry(told, **more)}, {KEY: _entry(last)})


@pytest.mark.parametrize("told", [5, 7, 9])
def test_what_lies_between_is_right(told: int) -> None:
    assert _bracket(5, told, 9).flaw() is None


@pytest.mark.parametrize("told", [4, 10, 999_999])
def test_what_lies_outside_is_not(told: int) -> None:
    assert "inference_count" in str(_bracket(5, told, 9).flaw() or "") or (
        "batch_stats" in str(_bracket(5, told, 9).flaw())
    )


def test_what_stands_still_has_to_be_equal() -> None:
    assert "name is m over HTTP, x over gRPC" in str(_bracket(5, 6, 7, name="x").flaw())
    assert "memory_usage" in str(_bracket(5, 6, 7, memory=3).flaw())


def test_memory_may_rise_and_fall() -> None:
    looks = [{KEY: _entry(5, memory)} for memory in (3, 1, 2)]
    assert Bracket(*looks).flaw() is None


def test_a_first_batch_of_a_size() -> None:
    assert _bracket(0, 0, 4).flaw() is None
    assert _bracket(0, 2, 4).flaw() is None
    assert "[2] is over gRPC only" in outside([], [{"batch_size": 2}], [])
    assert "[2] is missing over gRPC" in outside([{"batch_size": 2}], [], [{"batch_size": 2}])


def test_a_model_over_one_protocol_only() -> None:
    here = {KEY: _entry(5)}
    assert "over one protocol only" in str(Bracket(here, {}, here).flaw())
    assert "over one protocol only" in str(Bracket({}, here, {}).flaw())
    assert Bracket({}, here, here).flaw() is None  # loaded meanwhile
    assert Bracket({}, {}, here).flaw() is None


def test_fields_of_a_newer_server() -> None:
    here = {KEY: _entry(5, brand_new=1)}
    assert Bracket(here, {KEY: _entry(5)}, here).flaw(leaves_out=True) is None
    assert "brand_new" in str(Bracket(here, {KEY: _entry(5)}, here).flaw())


def _told(*looks: Bracket) -> str | None:
    left: Iterator[Bracket] = iter(looks)
    return contradiction(lambda: next(left))


RISING = _bracket(5, 7, 9)
LIE = _bracket(5, 99, 9)


def test_a_server_at_rest_is_judged_at_once() -> None:
    assert _told(_bracket(5, 5, 5)) is None
    assert "over gRPC" in str(_told(_bracket(5, 6, 5)))


def test_a_busy_server_gets_a_verdict() -> None:
    assert _told(*[RISING] * IN_A_ROW) is None
    assert "99 over gRPC, 5 before and 9 after" in str(_told(*[LIE] * OUTSIDE))


def test_a_model_that_is_loaded_anew_is_no_lie() -> None:
    assert _told(LIE, *[RISING] * IN_A_ROW) is None


def test_what_never_settles_is_inconclusive() -> None:
    looks = iter([RISING, RISING, LIE] * 99)
    with pytest.raises(Inconclusive):
        contradiction(lambda: next(looks), patience=0.3)


NAMESPACED = "Request for unknown model: '/models::m' is not found"


def _subject(answer: Any, listed: list[dict[str, str]]) -> Any:
    def statistics() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return {"model_stats": answer}

    http = SimpleNamespace(statistics=statistics, index=lambda **_: listed)
    return SimpleNamespace(http=http, models={"m": None})


def test_a_server_with_namespaces_cannot_tell_all_models() -> None:
    once = {"name": "m", "version": "1"}
    refuses = RequestFailed("http", 400, NAMESPACED)
    with pytest.raises(NotAssessed, match="--model-namespacing"):
        of_all(_subject(refuses, [once]))
    with pytest.raises(NotAssessed, match="several namespaces"):
        of_all(_subject([once, once], [once, once]))


def test_other_refusals_and_doubles_are_faults() -> None:
    once = {"name": "m", "version": "1"}
    with pytest.raises(RequestFailed):
        of_all(_subject(RequestFailed("http", 400, "unknown model 'm'"), [once]))
    with pytest.raises(MalformedAnswer, match="twice"):
        of_all(_subject([once, once], [once]))
