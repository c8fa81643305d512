"""Values at the limits of every data type, and what a re-encoding would lose."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_triton.probe.codec import bytes_array, numpy_dtype

_TEXTS = (b"", b"plain", "ünïcödé".encode(), "三台".encode(), "🦅".encode(), b" ", b'"quoted\\"')


def extremes() -> dict[str, np.ndarray[Any, Any]]:
    """Datatype -> a tensor [n] with the least, the greatest and odd values of its type."""
    made: dict[str, np.ndarray[Any, Any]] = {"BOOL": np.array([True, False, True])}
    for bits in (8, 16, 32, 64):
        for kind in ("UINT", "INT"):
            dtype = numpy_dtype(f"{kind}{bits}")
            limits = np.iinfo(dtype)
            made[f"{kind}{bits}"] = np.array([limits.min, 0, 1, limits.max - 1, limits.max], dtype)
    for name in ("FP16", "FP32", "FP64"):
        dtype = numpy_dtype(name)
        limit = np.finfo(dtype)
        made[name] = np.array(
            [limit.min, -1, -0.0, 0, limit.tiny, limit.eps, 1 / 3, limit.max], dtype
        )
    made["BYTES"] = bytes_array(list(_TEXTS), (len(_TEXTS),))
    return made


def bit_patterns() -> dict[str, np.ndarray[Any, Any]]:
    """As :func:`extremes`, and what only bits can carry.

    Infinities, subnormals, and NaN with a payload, quiet and signalling; BYTES with NUL and
    with what is not UTF-8.
    """
    made = extremes()
    for name, unsigned, exponent, fraction in (
        ("FP16", "<u2", 0x7C00, 10),
        ("FP32", "<u4", 0x7F800000, 23),
        ("FP64", "<u8", 0x7FF0000000000000, 52),
    ):
        sign, quiet = (exponent << 1 | 1 << fraction) & ~exponent, 1 << fraction - 1
        bits = [
            exponent,  # infinity
            exponent | sign,
            1,  # the least subnormal
            sign | (1 << fraction) - 1,  # the greatest one, negative
            exponent | quiet,
            exponent | quiet | sign | 5,
            exponent | 3,  # a signalling NaN
        ]
        odd = np.array(bits, unsigned).view(made[name].dtype)
        made[name] = np.concatenate([made[name], odd])
    odd_bytes = [b"\x00", b"a\x00b\x00", b"\xff\xfe\x00\x80", bytes(range(256)), b"\xed\xa0\x80"]
    values = [*_TEXTS, *odd_bytes]
    made["BYTES"] = bytes_array(values, (len(values),))
    return made


def scripts() -> list[bytes]:
    """Texts in UTF-8 that a re-encoding on the way would change."""
    texts = (
        "",
        "Zażółć gęślą jaźń",
        "Ελληνικά",
        "Кириллица",
        "עברית",
        "العربية",
        "हिन्दी",
        "ไทย",
        "한국어",
        "日本語 ひらがな カタカナ",
        "中文",
        "e\u0301 is not \u00e9",  # a normalisation would make them one
        "👩‍👩‍👧 🏳️‍🌈 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
        "\ufeffbyte order mark",
        "lines\n\r\n\t\u2028 and \u0085",
        "</script>&amp;%41\\u0041\"'",
        "nul\x00inside",
        " spaces ",
    )
    return [text.encode() for text in texts]
