"""numpy arrays to Triton's types and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_triton.probe.codec import (
    DATATYPES,
    as_tensor,
    decode_raw,
    encode_raw,
    from_json_data,
    numpy_dtype,
    to_json_data,
    triton_datatype,
)
from pytest_triton.probe.types import MalformedAnswer, Tensor


@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name not in ("BYTES", "BF16")])
def test_numbers_there_and_back(datatype: str) -> None:
    values = np.array([[0, 1], [1, 0]], numpy_dtype(datatype))
    tensor = as_tensor(values)
    assert tensor.datatype == datatype
    back = decode_raw(encode_raw(tensor), datatype, [2, 2], "x")
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)
    np.testing.assert_array_equal(
        from_json_data(to_json_data(tensor), datatype, [2, 2], "x"), values
    )


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.array(["a", "é"]), "BYTES"),
        (np.array([b"a"]), "BYTES"),
        (np.array([b"a", "b"], object), "BYTES"),
        (np.array([1.0], ">f4"), "FP32"),
        (np.array([1], ">i8"), "INT64"),
    ],
)
def test_names(array: np.ndarray[Any, Any], datatype: str) -> None:
    assert triton_datatype(array) == datatype


def test_what_triton_has_no_type_for() -> None:
    with pytest.raises(TypeError, match="complex128: cast"):
        as_tensor(np.array([1j]))
    with pytest.raises(TypeError, match="bytes or str, not int"):
        encode_raw(as_tensor(np.array([1, "a"], object)))


def test_byte_order_and_layout_are_the_wires() -> None:
    assert encode_raw(as_tensor(np.array([1, 2], ">u2"))) == b"\1\0\2\0"
    turned = np.arange(6, dtype=np.uint8).reshape(2, 3).T
    assert encode_raw(as_tensor(turned)) == bytes([0, 3, 1, 4, 2, 5])


def test_strings() -> None:
    tensor = as_tensor(np.array([["é", b""], [b"\xff\0", "x"]], object))
    raw = encode_raw(tensor)
    assert raw == b"\2\0\0\0\xc3\xa9\0\0\0\0\2\0\0\0\xff\0\1\0\0\0x"
    back = decode_raw(raw, "BYTES", [2, 2], "x")
    assert back.tolist() == [["é".encode(), b""], [b"\xff\0", b"x"]]
    with pytest.raises(MalformedAnswer, match="holds 4 strings"):
        decode_raw(raw, "BYTES", [3], "x")
    assert decode_raw(b"", "BYTES", [0, 3], "x").shape == (0, 3)


def test_bf16_travels_as_its_bits() -> None:
    tensor = Tensor(np.array([0x3F80], np.uint16), "BF16")
    assert encode_raw(tensor) == b"\x80\x3f"
    assert decode_raw(b"\x80\x3f", "BF16", [1], "x").tolist() == [0x3F80]


def test_single_precision_survives_json() -> None:
    import json

    values = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    text = json.dumps(to_json_data(as_tensor(values)))
    back = from_json_data(json.loads(text), "FP32", [100], "x")
    assert back.tobytes() == values.tobytes()


def test_nested_and_flat_data() -> None:
    nested = from_json_data([[1, 2], [3, 4]], "INT32", [2, 2], "x")
    np.testing.assert_array_equal(nested, from_json_data([1, 2, 3, 4], "INT32", [2, 2], "x"))
    deep: list[Any] = [1]
    for _ in range(50):
        deep = [deep]
    with pytest.raises(MalformedAnswer, match="32 levels"):
        from_json_data(deep, "INT32", [1], "x")


@pytest.mark.parametrize(
    ("values", "datatype"),
    [([2**64], "UINT64"), ([-1], "UINT8"), ([128], "INT8"), ([True], "INT32"), ([1], "BOOL"),
     ([1.5], "INT64"), (["1"], "FP32"), ([1], "BYTES"), ([None], "FP32")],
)  # fmt: skip
def test_values_that_the_type_has_not(values: list[Any], datatype: str) -> None:
    with pytest.raises(MalformedAnswer):
        from_json_data(values, datatype, [1], "x")
