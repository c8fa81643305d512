"""The rule of LAT-09 on made-up copies: what fails, what passes, what cannot be told."""

from __future__ import annotations

import pytest

from pytest_triton.timing.cold import Cold, Copy

WARM = (4.0, 4.2, 3.9, 4.0, 4.0, 5.0, 4.4, 3.8)


def copies(*first_ms: float, warm: tuple[float, ...] = WARM, plain: float = 60.0) -> Cold:
    return Cold("m", tuple(Copy(ms, warm) for ms in first_ms), (Copy(plain, warm),))


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        ((5, 6, 5, 7, 5), "pass"),
        ((5, 6, 5, 7, 90), "pass"),  # one pause of the machine
        ((5, 6, 5, 40, 90), "inconclusive"),
        ((50, 61, 54, 40, 5), "fail"),
        ((50, 61, 54, 40, 50), "fail"),
        ((13.9, 13.9, 13.9, 13.9, 13.9), "pass"),  # within 10 ms of a warm one
    ],
)
def test_a_share_of_the_copies_decides(first: tuple[float, ...], verdict: str) -> None:
    assert copies(*first).verdict == verdict


def test_a_slow_model_may_take_four_times() -> None:
    warm = tuple(20 * ms for ms in WARM)
    assert copies(300, 300, 300, 300, 300, warm=warm).verdict == "pass"
    assert copies(400, 400, 400, 400, 400, warm=warm).verdict == "fail"


def test_warm_requests_that_are_late_too_explain_it() -> None:
    busy = (4.0, 4.2, 80.0, 4.1, 60.0, 5.0, 4.4, 3.8)
    assert copies(50, 61, 54, 40, 50, warm=busy).verdict == "inconclusive"


def test_another_look_adds_copies_and_the_text_tells_all() -> None:
    found = copies(5, 6, 5, 40, 90) + copies(5, 6, 5, 5, 5)
    assert found.verdict == "pass"
    assert found.cold == 2
    assert str(found) == (
        "m: a first request takes 5.0 ms (median of 10 copies, 2 over 16.0 ms), a warm one "
        "4.0 ms, and one without any warm-up 60.0 ms"
    )
