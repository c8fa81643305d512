"""Rules WRM008 to WRM010: is what is slow at first really run before the first request?"""

from __future__ import annotations

from pytest_triton.repository.lint.backends import backend
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check

#: TYPE_INT32 and TYPE_INT64: what token ids and other indices are made of.
_INDICES = frozenset({8, 9})


@check("WRM008", "WRM009")
def covered(model: LintedModel) -> None:
    """TorchScript specialises to the shapes that it first meets."""
    config = model.config
    kind, limit = backend(model), config.max_batch_size
    if kind == "pytorch" and not config.model_warmup:
        model.report(
            "WRM009",
            "no model_warmup: the first requests pay for TorchScript's compilation",
            fix=f'add  model_warmup [ {{ name: "full" batch_size: {max(limit, 1)} … }} ]',
        )
    sizes = [sample.batch_size for sample in config.model_warmup if sample.batch_size]
    batches = config.HasField("dynamic_batching") and limit > 1
    if kind not in ("pytorch", "python") or not sizes or not batches:
        return
    largest = max(sizes)
    if largest >= limit:
        return
    only = largest == 1 and kind == "pytorch"
    model.report(
        "WRM008",
        f"warm-up stops at batch size {largest}, batches go up to {limit}: the first larger "
        "batch is slow",
        ("model_warmup", sizes.index(largest), "batch_size"),
        fix=f"add a sample with batch_size: {limit}",
        severity=None if only else "info",
    )


@check("WRM010")
def arbitrary_indices(model: LintedModel) -> None:
    """Random bytes as integers are no token ids."""
    if backend(model) == "ensemble":
        return
    for index, sample in enumerate(model.config.model_warmup):
        for name in sorted(sample.inputs):
            value = sample.inputs[name]
            if value.random_data and value.data_type in _INDICES and sample.batch_size:
                model.report(
                    "WRM010",
                    f"random_data fills integers with any bits: as ids or indices {name!r} is out "
                    "of range, and the load fails",
                    ("model_warmup", index, "inputs", name, "value", "random_data"),
                    fix="use zero_data: true, or a file of real ids",
                )
