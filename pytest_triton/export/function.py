"""``export_torchscript``: what most need, with everything derived that can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pytest_triton.export.adapting import Adapted, adapt
from pytest_triton.export.cases import draw, sizes_of
from pytest_triton.export.interface import Case, ExportRefused, Proof, Signature
from pytest_triton.export.running import (
    Evaluate,
    argument_order,
    arguments,
    array_of,
    device_of,
    evaluation,
    evaluator,
    flat,
    seeded,
)
from pytest_triton.export.torchscript import Method, TorchScriptExporter
from pytest_triton.export.variants import Progress, VariantName
from pytest_triton.repository.sidecar import ExportRecord, Tensors
from pytest_triton.repository.tensors import TensorSpec, datatype_of


def export_torchscript(
    module: Any,
    examples: Tensors,
    *,
    path: Path | str,
    inputs: Sequence[TensorSpec] | None = None,
    outputs: Sequence[TensorSpec] | None = None,
    max_batch_size: int = 8,
    axes: Mapping[str, tuple[int, int]] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    cases: Sequence[Case] = (),
    method: Method = "trace",
    variant: VariantName | Literal["fastest"] = "plain",
    measured: bool = False,
    freeze: bool = False,
    keep_devices: bool = False,
    keep_sources: bool = False,
    seed: int = 0,
    rtol: float | None = None,
    atol: float | None = None,
    proof: Proof | None = None,
    progress: Progress | None = None,
) -> ExportRecord:
    """Export ``module`` to ``path`` (a file, or a version directory) and prove that it is right.

    ``examples`` is one request: name -> array, with the batch dimension first unless
    ``max_batch_size`` is 0. Names are arguments of forward(), or ``<name>__<index>``, or in
    the order of the arguments. ``inputs`` and ``outputs`` are derived from the examples when
    they are not given: every dimension behind the batch is then fixed, and outputs are called
    ``OUTPUT__0``, ``OUTPUT__1``, …, or as the keys of the dict that forward returns. A
    dimension that varies is a named axis in a TensorSpec, with its smallest and largest size
    in ``axes``. ``ranges`` limits the values that are drawn for the proof ([low, high));
    ``cases`` replaces them, and ``proof`` is one of your own besides.

    A trace calls forward by keyword where position would not do, takes a dict, dataclass or
    ModelOutput apart (declared outputs choose among the keys), and turns bfloat16 into FP32
    at both ends, which Triton's PyTorch backend has no type for. A script takes the module as
    it stands.

    ``variant`` "frozen" and "optimized" apply torch.jit.freeze and
    torch.jit.optimize_for_inference (``freeze=True`` is the first); "fastest" measures both
    against the plain file and takes one only when it is proven, faster somewhere and slower
    nowhere. ``measured`` puts the measured effect of both into the side-car in any case.

    A trace's devices are lifted to those of the inputs unless ``keep_devices``. The file names
    and lines of your source stay out of the file, so that the same module gives the same
    bytes wherever it is exported; ``keep_sources`` leaves them in, and an operation that fails
    in the server then quotes your source. ``rtol`` and ``atol`` are what an answer may differ
    by; by default 1e-4 and 1e-5, for half precision 1e-2 and 1e-3, with bfloat16 weights
    2e-2 and 2e-2.

    Raises ExportRefused, leaving no file behind, when the file does not answer as the
    module does on batch sizes and axis sizes that were not traced, when rows of one batch
    change each other's answers, or when Triton's backend would refuse the file.
    """
    path = Path(path)
    if path.suffix == "":
        path = path / TorchScriptExporter.file_name
    examples = {name: np.asarray(value) for name, value in examples.items()}
    lead = 1 if max_batch_size > 0 else 0
    if inputs is None:
        inputs = [TensorSpec(n, datatype_of(v), v.shape[lead:]) for n, v in examples.items()]
    missing = [tensor.name for tensor in inputs if tensor.name not in examples]
    if missing:
        raise ExportRefused(f"no example for {', '.join(missing)}", "add it to examples")
    unbatched = [tensor.name for tensor in inputs if lead and examples[tensor.name].ndim == 0]
    if unbatched:
        raise ExportRefused(
            f"the example for {unbatched[0]} has no batch dimension", "add it, or max_batch_size=0"
        )
    adapted = Adapted(module)
    if method == "trace":
        adapted = _adapted(module, examples, inputs, outputs, lead, seed)
    if outputs is None:
        outputs = _derived_outputs(
            adapted, examples, inputs, lead, axes=axes or {}, ranges=ranges or {}, seed=seed
        )
    signature = Signature(
        tuple(inputs), tuple(outputs), max_batch_size, dict(axes or {}), dict(ranges or {})
    )
    wide = tolerances(module, (*inputs, *outputs))
    exporter = TorchScriptExporter(
        method,
        variant="frozen" if freeze and variant == "plain" else variant,
        measured=measured,
        keep_devices=keep_devices,
        keep_sources=keep_sources,
        progress=progress,
    )
    return exporter.export(
        adapted.module,
        examples,
        path,
        signature=signature,
        cases=cases,
        seed=seed,
        rtol=wide[0] if rtol is None else rtol,
        atol=wide[1] if atol is None else atol,
        proof=proof,
        adapted=adapted.done,
    )


def eager(
    module: Any,
    examples: Tensors,
    record: ExportRecord,
    *,
    method: Method = "trace",
) -> Evaluate:
    """The module itself as a function of named arrays, its outputs named as in the record of
    its export from these ``examples``. Raises ExportRefused where the module fails."""
    import torch

    adapted = Adapted(module)
    if method == "trace":
        adapted = _adapted(
            module, examples, record.inputs, None, 1 if record.batches else 0, record.seed
        )
    order = argument_order(adapted.module, record.inputs)
    answer = evaluator(adapted.module, order, record.outputs, device_of(module))

    def evaluate(inputs: Tensors) -> dict[str, np.ndarray]:
        with evaluation(module), torch.no_grad():
            return answer(inputs)

    return evaluate


def tolerances(module: Any, tensors: Sequence[TensorSpec] = ()) -> tuple[float, float]:
    """rtol and atol that rounding alone needs in this precision."""
    import torch

    weights = {parameter.dtype for parameter in module.parameters()}
    if torch.bfloat16 in weights:
        return 2e-2, 2e-2
    if torch.float16 in weights or any(tensor.datatype == "FP16" for tensor in tensors):
        return 1e-2, 1e-3
    return 1e-4, 1e-5


def _example_run(module: Any, seed: int, function: Callable[[], Any]) -> Any:
    """Run the module itself. Raises ExportRefused when it does not answer its own example."""
    import torch

    with evaluation(module), torch.no_grad(), seeded(seed):
        try:
            return function()
        except ExportRefused:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            raise ExportRefused(
                f"the module itself fails on the example: {type(error).__name__}: {lines[-1]}",
                "correct the example: names as forward's arguments, the batch dimension first, "
                "the data types that forward takes",
            ) from error


def _adapted(
    module: Any,
    examples: Tensors,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec] | None,
    lead: int,
    seed: int,
) -> Adapted:
    order = argument_order(module, inputs)
    return adapt(
        module,
        order,
        lambda function: _example_run(module, seed, function),
        arguments(examples, order, device_of(module)),
        wanted=[tensor.name for tensor in outputs or ()],
        batched=bool(lead) and outputs is None,
    )


def _derived_outputs(
    adapted: Adapted,
    examples: Tensors,
    inputs: Sequence[TensorSpec],
    lead: int,
    *,
    axes: Mapping[str, tuple[int, int]],
    ranges: Mapping[str, tuple[float, float]],
    seed: int,
) -> list[TensorSpec]:
    """Specs of what forward returns; a second request of other sizes tells what varies."""
    module = adapted.module
    signature = Signature(tuple(inputs), (), lead, dict(axes), dict(ranges))
    batch, sizes = sizes_of(examples, signature)
    requests, other = [examples], dict(sizes)
    if axes:
        other = {n: _another(size, axes.get(n, (1, size + 1))) for n, size in sizes.items()}
        requests.append(draw(signature, batch, other, np.random.default_rng(seed)))
    order, device = argument_order(module, inputs), device_of(module)

    def answer(request: Tensors) -> list[np.ndarray]:
        result = _example_run(module, seed, lambda: module(*arguments(request, order, device)))
        return [array_of(value) for value in flat(result)]

    results = [answer(request) for request in requests]
    names = adapted.outputs or [f"OUTPUT__{index}" for index in range(len(results[0]))]
    specs = []
    for at, (name, array) in enumerate(zip(names, results[0], strict=True)):
        shapes = [result[at].shape[lead:] for result in results]
        if len({len(shape) for shape in shapes}) > 1:
            raise ExportRefused(
                f"output {name!r} has {len(shapes[0])} dimensions for one size and "
                f"{len(shapes[1])} for another",
                "return the same number of dimensions for every size",
            )
        specs.append(
            TensorSpec(
                name,
                datatype_of(array),
                tuple(
                    first
                    if len({first, *others}) == 1
                    else _axis_of((first, *others), sizes, other)
                    for first, *others in zip(*shapes, strict=True)
                ),
            )
        )
    return specs


def _another(size: int, limits: tuple[int, int]) -> int:
    """A size within the limits that is not this one, where there is one."""
    low, high = limits
    return next((other for other in (high, low) if other != size), size)


def _axis_of(
    seen: tuple[int, ...], sizes: Mapping[str, int], others: Mapping[str, int]
) -> int | str:
    """The one axis that a dimension went along with, or -1."""
    names = [name for name in sizes if (sizes[name], others[name]) == seen]
    return names[0] if len(names) == 1 else -1
