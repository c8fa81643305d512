"""Answers against what was expected: nothing wrong is missed, nothing right is blamed."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_triton.compare import largest_difference, mismatch

FLOATS = np.linspace(0.1, 9, 12, dtype=np.float32).reshape(3, 4)


def _bf16(values: object) -> np.ndarray:
    return (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def test_equal_answers_are_equal() -> None:
    strings = np.array([b"a", b"\xff"], object)
    wanted = {"F": FLOATS, "S": strings, "I": np.array([2**62]), "B": np.array([True])}
    assert mismatch({name: value.copy() for name, value in wanted.items()}, wanted) is None
    assert mismatch({}, {}) is None


def test_names_come_before_types_shapes_and_values() -> None:
    wanted = {"A": FLOATS, "B": FLOATS}
    assert mismatch({"A": FLOATS}, wanted) == "outputs ['A'], expected ['A', 'B']"
    assert "outputs ['A', 'X']" in str(mismatch({"A": FLOATS.T + 1, "X": FLOATS}, wanted))
    of_ints = FLOATS.T.astype(np.int32)
    assert "has type int32, expected float32" in str(mismatch({"A": of_ints, "B": FLOATS}, wanted))
    assert "shape [4, 3]" in str(mismatch({"A": FLOATS.T + 1, "B": FLOATS}, wanted))


@pytest.mark.parametrize("at", [(0, 0), (2, 3), (1, 2)])
def test_one_element_off_by_one_percent_is_found(at: tuple[int, int]) -> None:
    got = FLOATS.copy()
    got[at] *= 1.01
    text = mismatch({"F": got}, {"F": FLOATS})
    assert text is not None
    assert "1 of 12 elements differ" in text
    assert f"first at {list(at)}" in text


def test_the_noise_of_another_order_of_sums_is_nothing() -> None:
    assert mismatch({"F": FLOATS * np.float32(1 + 1e-7)}, {"F": FLOATS}) is None
    assert mismatch({"F": FLOATS * (1 + 1e-7)}, {"F": FLOATS}, rtol=0, atol=0) is not None


@pytest.mark.parametrize(
    ("got", "wanted", "right"),
    [
        (np.nan, np.nan, True),
        (np.inf, np.inf, True),
        (np.nan, 1.0, False),
        (1.0, np.nan, False),
        (np.inf, -np.inf, False),
        (3e38, np.inf, False),
        (np.inf, 3e38, False),
    ],
)
def test_nan_and_infinity_equal_themselves_only(got: float, wanted: float, right: bool) -> None:
    one, two = np.array([got, 1], np.float32), np.array([wanted, 1], np.float32)
    assert (mismatch({"F": one}, {"F": two}) is None) is right
    assert (largest_difference(one, two) == 0) is right


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_integers_are_compared_to_their_last_digit(dtype: str) -> None:
    wanted = np.array([2**62, 5], dtype)
    got = wanted + np.array([1, 0], dtype)
    assert f"{2**62 + 1}, expected {2**62}" in str(mismatch({"I": got}, {"I": wanted}))
    assert largest_difference(got, wanted) == 1


def test_booleans_and_strings_are_exact() -> None:
    flags = np.array([True, False])
    assert "1 of 2 elements" in str(mismatch({"B": ~flags | flags[0]}, {"B": flags}))
    words = np.array([[b"a", b"b"]], object)
    wrong = np.array([[b"a", b"B"]], object)
    assert (
        mismatch({"S": wrong}, {"S": words})
        == "output 'S' differs at element 1: b'B', expected b'b'"
    )
    assert largest_difference(wrong, words) == np.inf
    assert largest_difference(words, words.copy()) == 0


def test_half_precision_is_held_to_what_it_can_hold() -> None:
    wanted = FLOATS.astype(np.float16)
    near = (FLOATS * np.float32(1.004)).astype(np.float16)
    types = {"H": "FP16"}
    # A case that asks for what FP32 can do asks too much.
    assert mismatch({"H": near}, {"H": wanted}, datatypes=types, rtol=1e-3, atol=1e-5) is None
    assert mismatch({"H": near * 2}, {"H": wanted}, datatypes=types, rtol=1e-3, atol=1e-5)
    assert mismatch({"H": near}, {"H": wanted}, datatypes=types, rtol=0, atol=0)


def test_bf16_is_compared_as_numbers_not_as_bits() -> None:
    types = {"X": "BF16"}
    wanted = _bf16([1.0, 100.0])
    assert mismatch({"X": wanted + 1}, {"X": wanted}, datatypes=types) is None
    text = mismatch({"X": _bf16([1.0, 125.0])}, {"X": wanted}, datatypes=types)
    assert "125, expected 100" in str(text)
    # A reference that holds them as float32 is as good.
    assert mismatch({"X": wanted}, {"X": np.float32([1, 100])}, datatypes=types) is None


def test_scalars_and_empty_arrays() -> None:
    assert mismatch({"F": np.float32(1)}, {"F": np.float32(1)}) is None
    assert "first at []" in str(mismatch({"F": np.float32(2)}, {"F": np.float32(1)}))
    assert mismatch({"F": FLOATS[:0]}, {"F": FLOATS[:0]}) is None
    assert largest_difference(FLOATS[:1], FLOATS) == np.inf
