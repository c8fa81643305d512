"""Frozen and optimised files: made, and measured against the plain one.

``torch.jit.freeze`` turns weights into constants and folds what it can;
``torch.jit.optimize_for_inference`` also rewrites for the device at hand. Neither is faster
for certain: what the side-car says is measured.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pytest_triton.export.cases import draw, sizes_of
from pytest_triton.export.interface import Signature
from pytest_triton.export.running import arguments
from pytest_triton.export.timing import Comparison, compare_times
from pytest_triton.repository.sidecar import Tensors, Variant

VariantName = Literal["plain", "frozen", "optimized"]
#: What "fastest" chooses from, the simpler one first.
CANDIDATES: tuple[VariantName, ...] = ("frozen", "optimized")
#: A difference below this share is none: it is within what another machine changes.
MARGIN = 0.05
#: An interval that reaches farther than this says nothing: the machine was too noisy.
VAGUE = 0.10
#: Seconds for one variant at one batch size.
SECONDS = 1.5

Progress = Callable[[str], None]


def vary(compiled: Any, name: VariantName) -> Any:
    """The compiled module, frozen or optimised. Raises what torch raises."""
    import torch

    jit: Any = torch.jit
    if name == "plain":
        return compiled
    frozen = jit.freeze(compiled)
    return frozen if name == "frozen" else jit.optimize_for_inference(frozen)


def measure(
    plain: Any,
    other: Any,
    name: VariantName,
    example: Tensors,
    order: Sequence[str],
    signature: Signature,
    device: Any,
    *,
    seed: int,
    seconds: float = SECONDS,
) -> list[Variant]:
    """The effect of one loaded variant at batch 1 and at the largest batch."""
    most = signature.max_batch_size
    axes = sizes_of(example, signature)[1]
    found = []
    for batch in dict.fromkeys((min(1, most), most)):
        inputs = draw(signature, batch, axes, np.random.default_rng([seed, batch]))
        tensors = arguments(inputs, order, device)
        compared = compare_times(
            _call(plain, tensors, device),
            _call(other, tensors, device),
            seconds=seconds,
            seed=seed,
        )
        found.append(
            Variant(
                name,
                batch,
                _verdict(compared),
                ratio=round(compared.ratio, 4),
                low=round(compared.low, 4),
                high=round(compared.high, 4),
                plain_ms=round(compared.base_ms, 4),
                pairs=compared.pairs,
            )
        )
    return found


def not_possible(name: VariantName, signature: Signature, error: BaseException) -> Variant:
    """What is said about a variant that torch cannot make or write."""
    lines = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {lines[0][:200] if lines else ''}"
    return Variant(name, signature.max_batch_size, "not possible", reason=reason)


def choose(measured: Sequence[Variant]) -> VariantName:
    """The variant that is faster somewhere and slower nowhere; "plain" when none is."""
    best: VariantName = "plain"
    gained = 1.0
    for name in CANDIDATES:
        own = [entry for entry in measured if entry.name == name]
        verdicts = {entry.verdict for entry in own}
        if "faster" not in verdicts or verdicts - {"faster", "no difference"}:
            continue
        mean = float(np.exp(np.mean([np.log(entry.ratio) for entry in own])))
        # The next one has to be better by more than the margin: it is the less simple one.
        if mean < gained * (1 - MARGIN if best != "plain" else 1):
            best, gained = name, mean
    return best


def surroundings(device: Any) -> str:
    """Where something was measured, in one line."""
    import torch

    where = str(device)
    if where.startswith("cuda"):
        where = f"{where} {torch.cuda.get_device_name(device)}"
    threads = torch.get_num_threads()
    return (
        f"{where}, {_processor()}, {os.cpu_count()} cores, {threads} torch "
        f"thread{'s' * (threads != 1)}, torch {torch.__version__}, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def described(entry: Variant) -> str:
    """One measured effect in words, as the progress shows it."""
    at = f" at batch {entry.batch}" if entry.batch else ""
    if entry.verdict == "not possible":
        return f"{entry.name}: not possible ({entry.reason})"
    return (
        f"{entry.name}{at}: {entry.ratio:.2f} of the plain file's time "
        f"[{entry.low:.2f}, {entry.high:.2f}], {entry.verdict}"
    )


def unproven(measured: Sequence[Variant], name: VariantName, reason: str) -> tuple[Variant, ...]:
    """The same, where this variant turned out to answer wrongly."""
    return tuple(
        replace(entry, verdict="not possible", reason=reason) if entry.name == name else entry
        for entry in measured
    )


def _verdict(compared: Comparison) -> str:
    if compared.high < 1 - MARGIN:
        return "faster"
    if compared.low > 1 + MARGIN:
        return "slower"
    told = compared.low >= 1 - VAGUE and compared.high <= 1 + VAGUE
    return "no difference" if told else "inconclusive"


def _call(module: Any, tensors: Sequence[Any], device: Any) -> Callable[[], object]:
    import torch

    def call() -> object:
        # As the backend runs it.
        with torch.inference_mode():
            result = module(*tensors)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
        return result

    return call


def _processor() -> str:
    """The processor's name, as Linux says it."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()
