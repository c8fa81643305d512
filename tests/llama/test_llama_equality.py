"""Equality with generate(), and the words of each verdict, on made-up streams."""

from __future__ import annotations

import math

import pytest

from pytest_triton.llama.checks import tokens_check
from pytest_triton.llama.equality import Compared, bound_of, compare
from pytest_triton.llama.reference import Greedy
from pytest_triton.load.tokens import TimedStream, summary


def _greedy(tokens: tuple[int, ...], gaps: tuple[float, ...]) -> Greedy:
    """Token 1 is the second best everywhere, so much below; no other is told but one far away."""
    behind = tuple({token: 0.0, 1: gap, -1: 9.0} for token, gap in zip(tokens, gaps, strict=True))
    return Greedy(tokens, behind)


WANTED = [_greedy((5, 6, 7, 8), (1.0, 0.2, 1.0, 1.0)), _greedy((9, 9, 9, 9), (1.0,) * 4)]
SAME = [[5, 6, 7, 8], [9, 9, 9, 9]]


def test_equal_streams_pass() -> None:
    found = compare(SAME, WANTED, bound=0.0)
    assert (found.share, found.ties, found.wrong) == (1.0, 0, ())
    check = tokens_check("grpc", found, 0.0)
    assert (check.status, check.reason) == ("pass", "8 of 8 tokens in 2 streams")


def test_a_decided_token_fails_in_single_precision() -> None:
    found = compare([[5, 1, 7, 8], SAME[1]], WANTED, bound=0.0)
    check = tokens_check("grpc", found, 0.0)
    assert check.status == "fail"
    assert "stream 0: token 1 is 1, the reference says 6 by 0.2" in check.reason


def test_a_tie_of_half_precision_ends_the_comparison() -> None:
    found = compare([[5, 1, 2, 3], SAME[1]], WANTED, bound=0.25)
    assert (found.equal, found.ties, found.wrong) == (5, 1, ())
    check = tokens_check("http", found, 0.25)
    assert check.status == "pass"
    assert "5 of 8 tokens" in check.reason
    assert "nearer than 0.25" in check.reason


def test_a_decided_token_fails_in_half_precision_too() -> None:
    assert compare([SAME[0], [9, 9, 1, 9]], WANTED, bound=0.25).wrong


def test_a_comparison_of_too_few_tokens_cannot_tell() -> None:
    early = _greedy((5, 6, 7, 8), (0.1,) * 4)
    check = tokens_check("grpc", compare([[1, 1, 1, 1]] * 2, [early] * 2, bound=0.25), 0.25)
    assert check.status == "inconclusive"


@pytest.mark.parametrize("tokens", [[5, 6, 7], [5, 6, 7, 8, 8], [], [5, 1, 2]])
def test_a_stream_of_another_length_fails(tokens: list[int]) -> None:
    assert compare([tokens, SAME[1]], WANTED, bound=0.25).wrong


def test_nothing_answered_is_no_pass() -> None:
    assert tokens_check("grpc", compare([], [], bound=0.0), 0.0).status == "fail"


def test_a_resumed_text_shows_what_is_behind_its_ties() -> None:
    early = _greedy((5, 6, 7, 8), (0.1, 1.0, 1.0, 1.0))
    found = compare([[1, 1, 1, 1]] * 2, [early] * 2, bound=0.25)
    good = Compared(1, 4, 3, 1, ())
    check = tokens_check("grpc", found, 0.25, [good])
    assert (check.status, "3 of 4, 1 ties" in check.reason) == ("pass", True)
    alone = Compared(1, 4, 2, 1, ("stream 0: token 2 is 9",))
    bad = tokens_check("grpc", found, 0.25, [good, alone])
    assert (bad.status, "token 2 is 9" in bad.reason) == ("fail", True)


def test_the_bound_is_the_reference_s_own_rounding() -> None:
    wanted = [Greedy((1,), ({1: 0.0},), 0.03, 2.0), Greedy((1,), ({1: 0.0},), 0.05, 1.0)]
    assert bound_of(wanted, "float32") == pytest.approx(0.1)
    # Two steps of the type are the least: 16 has neighbours 1/8 away in BF16.
    quiet = [Greedy((1,), ({1: 0.0},), 0.0, 16.0)]
    assert bound_of(quiet, "bfloat16") == pytest.approx(0.25)
    assert bound_of(quiet, "float32") < 1e-5


def test_a_tie_excuses_the_tokens_that_are_near_and_no_other() -> None:
    found = compare([[5, 1, 2, 3], SAME[1]], WANTED, bound=0.25)
    assert (found.ties, found.wrong) == (1, ())
    other = compare([[5, 4000, 2, 3], SAME[1]], WANTED, bound=0.25)
    assert other.ties == 0
    assert "token 1 is 4000, the reference says 6 by 9 or more" in other.wrong[0]


def _stream(start: float, first: float, gap: float, tokens: int) -> TimedStream:
    stamps = [start + first + gap * at for at in range(tokens)]
    return TimedStream(0, start, tokens, list(range(tokens)), stamps)


def test_the_definitions_on_a_known_stream() -> None:
    # 30 ms to the first of 32 tokens, 5 ms between them: 185 ms in all.
    stream = _stream(100.0, 0.030, 0.005, 32)
    assert stream.ttft_s == pytest.approx(0.030)
    assert stream.latency_s == pytest.approx(0.185)
    assert stream.itl_s == pytest.approx(0.005)
    run = summary("grpc", 1, [stream])
    assert run.tps == pytest.approx(32 / 0.185)
    assert run.tps_per_user == pytest.approx(200)
    assert run.ttft_ms.p95 == pytest.approx(30)


def test_streams_beside_each_other_add_up() -> None:
    run = summary("http", 2, [_stream(0.0, 0.1, 0.1, 10), _stream(0.0, 0.1, 0.1, 10)])
    assert run.tps == pytest.approx(20)
    assert run.tps_per_user == pytest.approx(10)


def test_what_failed_is_no_number() -> None:
    bad = TimedStream(0, 0.0, 1, [1], [0.1], "RuntimeError: no")
    run = summary("http", 2, [_stream(0.0, 0.1, 0.1, 10), bad, TimedStream(0, 0.0)])
    assert (run.requests, run.tokens) == (3, 10)
    assert run.errors == ("RuntimeError: no", "no token came")
    nothing = summary("http", 1, [TimedStream(0, 0.0)])
    assert math.isnan(nothing.tps)
    assert math.isnan(nothing.ttft_ms.p50)
