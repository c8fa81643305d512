"""The ``parameters`` of the configuration that the backend knows.

Read in a fixed order; the first bad value decides the error. Unknown keys are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torchscript_refusal import INVALID_ARG, Refusal

_TRUE = frozenset(("true", "on", "1"))
_FALSE = frozenset(("false", "off", "0"))
_INTEGER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")


@dataclass(frozen=True)
class Parameters:
    """Defaults are those of a configuration without parameters. ``None``: leave torch alone."""

    optimized_execution: bool = True
    cache_cleaning: bool = False
    inference_mode: bool = True
    cudnn: bool = True
    tensor_fuser: bool | None = None
    weight_sharing: bool = False
    jit_profiling: bool | None = None
    jit_executor: bool | None = None
    intra_op_threads: int = 0
    inter_op_threads: int = 0


def parse_bool(text: str) -> bool:
    """true/on/1 and false/off/0 in any case; everything else is refused."""
    lowered = text.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise Refusal(INVALID_ARG, f"failed to convert '{text}' to boolean")


def parse_int(text: str) -> int:
    """C++'s ``std::stoi``: leading white space and a trailing rest are fine ("1x" is 1)."""
    match = _INTEGER.match(text)
    if match is None:
        raise Refusal(INVALID_ARG, f"failed to convert '{text}' to integral number")
    value = int(match.group(1))
    if not -(2**31) <= value < 2**31:
        # The C++ backend ends the whole server here.
        raise Refusal(INVALID_ARG, f"failed to convert '{text}' to integral number: out of range")
    return value


def parse_parameters(
    values: Mapping[str, str],
    model: str,
    info: Callable[[str], None],
    set_threads: Callable[[str, int], int],
) -> Parameters:
    """Read, log and apply. ``set_threads(kind, count)`` answers the count that is in force.

    ``kind`` is ``"intra"`` or ``"inter"``. Raises :class:`Refusal` at the first bad value.
    """

    def flag(key: str) -> bool | None:
        return parse_bool(values[key]) if key in values else None

    def say(what: str, state: bool) -> None:
        info(f"{what} is {'enabled' if state else 'disabled'} for model instance '{model}'")

    def count(key: str, kind: str, what: str) -> int:
        if key not in values:
            return 0
        wanted = parse_int(values[key])
        if wanted <= 0:
            return 0
        info(f"{what} is set to {set_threads(kind, wanted)} for model instance '{model}'")
        return wanted

    optimized = not flag("DISABLE_OPTIMIZED_EXECUTION")
    say("Optimized execution", optimized)
    cleaning = bool(flag("ENABLE_CACHE_CLEANING"))
    say("Cache Cleaning", cleaning)
    inference = flag("INFERENCE_MODE")
    inference = True if inference is None else inference
    say("Inference Mode", inference)
    cudnn = not flag("DISABLE_CUDNN")
    say("cuDNN", cudnn)
    optional: list[bool | None] = []
    for key, what in (
        ("ENABLE_TENSOR_FUSER", "Tensor fuser"),
        ("ENABLE_WEIGHT_SHARING", "Weight sharing"),
        ("ENABLE_JIT_PROFILING", "Jit profiling"),
        ("ENABLE_JIT_EXECUTOR", "Jit executor"),
    ):
        state = flag(key)
        optional.append(state)
        if state is not None:
            say(what, state)
    fuser, sharing, profiling, executor = optional
    return Parameters(
        optimized_execution=optimized,
        cache_cleaning=cleaning,
        inference_mode=inference,
        cudnn=cudnn,
        tensor_fuser=fuser,
        weight_sharing=bool(sharing),
        jit_profiling=profiling,
        jit_executor=executor,
        intra_op_threads=count("INTRA_OP_THREAD_COUNT", "intra", "Intra op thread count"),
        inter_op_threads=count("INTER_OP_THREAD_COUNT", "inter", "Inter op thread count"),
    )
