"""What the text generator has to stream: one row of ``text_output`` per response."""

from __future__ import annotations

import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from pytest_triton.export.interface import Case, Signature
from pytest_triton.export.reference.plain import write_golden
from pytest_triton.repository.reference import reference_source
from pytest_triton.repository.sidecar import ExportRecord, Tensors
from pytest_triton.repository.tensors import TensorSpec

VERSIONS = (1,)
DEFAULT_TOKENS, MOST_TOKENS = 16, 256
SIGNATURE = Signature(
    inputs=(TensorSpec("text_input", "BYTES", (1,)), TensorSpec("max_tokens", "INT32", (1,))),
    outputs=(TensorSpec("text_output", "BYTES", (1,)),),
    ranges={"max_tokens": (1, 33)},
)
_PROMPTS = (("Once upon a time", 8), ("", 1), ("Grüße aus Köln", 32))


def export(directory: Path, version: int, seed: int) -> ExportRecord:
    """Write the golden answers, one case without the optional input."""
    cases = [
        Case(
            f"tokens{count}",
            {
                "text_input": np.array([prompt.encode()], np.object_),
                "max_tokens": np.array([count], np.int32),
            },
        )
        for prompt, count in _PROMPTS
    ]
    cases.append(Case("default", {"text_input": np.array([b"Once upon a time"], np.object_)}))
    return write_golden(
        directory,
        "python",
        SIGNATURE,
        cases,
        lambda inputs: evaluate(version, inputs, seed),
        seed=seed,
        decoupled=True,
    )


def evaluate(version: int, inputs: Tensors, seed: int) -> dict[str, np.ndarray]:
    """The whole stream: ``text_output`` has as many rows as there are responses."""
    count = int(inputs["max_tokens"][0]) if "max_tokens" in inputs else DEFAULT_TOKENS
    if not 1 <= count <= MOST_TOKENS:
        raise ValueError(f"max_tokens must be 1 to {MOST_TOKENS}, got {count}")
    state, stream = zlib.crc32(bytes(inputs["text_input"][0])), []
    for position in range(count):
        state = zlib.crc32(position.to_bytes(4, "little"), state)
        word = _words()[state % len(_words())]
        stream.append((word if position == 0 else f" {word}").encode())
    return {"text_output": np.array(stream, np.object_)}


@lru_cache(maxsize=1)
def _words() -> list[str]:
    return (reference_source() / "generator" / "1" / "words.txt").read_text("utf-8").split()
