"""torch.nn.Module -> TorchScript, by trace or by script, with a proof of parity."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pytest_triton.export.cases import untraced_cases
from pytest_triton.export.devices import device_constants, lift_devices
from pytest_triton.export.interface import Case, ExportRefused, Signature
from pytest_triton.export.parity import prove, prove_rows
from pytest_triton.export.running import (
    argument_order,
    arguments,
    array_of,
    device_of,
    evaluation,
    evaluator,
    flat,
    seeded,
)
from pytest_triton.export.sources import strip_sources
from pytest_triton.repository.layout import file_sha256
from pytest_triton.repository.sidecar import ExportRecord, Tensors, write_sidecar
from pytest_triton.repository.tensors import TensorSpec, datatype_of

Method = Literal["trace", "script"]

#: The case that a trace is recorded on.
TRACED = "traced"
#: What libtorch has no type for; TYPE_STRING needs a scripted List[str] and is not built here.
_UNSUPPORTED = frozenset({"UINT16", "UINT32", "UINT64", "BF16", "BYTES"})


class TorchScriptExporter:
    """The exporter of ``model.pt`` files; see :func:`export_torchscript` for the arguments."""

    format = "torchscript"
    file_name = "model.pt"

    def __init__(
        self,
        method: Method = "trace",
        *,
        freeze: bool = False,
        keep_devices: bool = False,
        keep_sources: bool = False,
    ) -> None:
        self.method = method
        self.freeze = freeze
        self.keep_devices = keep_devices
        self.keep_sources = keep_sources

    def export(
        self,
        module: Any,
        example: Tensors,
        path: Path,
        *,
        signature: Signature,
        cases: Sequence[Case] = (),
        seed: int = 0,
        rtol: float = 1e-4,
        atol: float = 1e-5,
    ) -> ExportRecord:
        """Write the file, prove it, write its side-car; see :class:`Exporter`."""
        import torch

        for tensor in (*signature.inputs, *signature.outputs):
            if tensor.datatype in _UNSUPPORTED:
                raise ExportRefused(
                    f"tensor {tensor.name!r}: Triton's PyTorch backend has no {tensor.datatype}",
                    "convert inside the module, for example to INT64 or FP32",
                )
        jit: Any = torch.jit
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            # The file's name becomes part of its contents: the same name, the same bytes.
            tempfile.TemporaryDirectory(prefix=".export.", dir=path.parent) as work,
            evaluation(module),
            torch.no_grad(),
            seeded(seed),
            warnings.catch_warnings(),
        ):
            # torch warns that TorchScript is deprecated, and about every size that a trace
            # reads; the proof below is the better judge of both.
            warnings.simplefilter("ignore")
            order = argument_order(module, signature.inputs)
            device = device_of(module)
            made = Path(work) / path.name
            saved = made if self.keep_sources else Path(work) / "saved" / path.name
            saved.parent.mkdir(exist_ok=True)
            jit.save(self._compile(module, example, order), str(saved))
            if not self.keep_sources:
                strip_sources(saved, made)
            # What is proven is the file, loaded as the server will load it.
            loaded = jit.load(str(made), map_location=device)
            eager = evaluator(module, order, signature.outputs, device)
            parity, golden = prove(
                eager,
                evaluator(loaded, order, signature.outputs, device),
                [
                    Case(TRACED, example),
                    *(cases or untraced_cases(signature, example, seed=seed)),
                ],
                signature,
                traced=TRACED if self.method == "trace" else "",
                rtol=rtol,
                atol=atol,
            )
            prove_rows(eager, golden, signature, rtol=rtol, atol=atol)
            made.replace(path)
        record = ExportRecord(
            format=self.format,
            inputs=signature.inputs,
            outputs=signature.outputs,
            max_batch_size=signature.max_batch_size,
            seed=seed,
            rtol=rtol,
            atol=atol,
            axes=dict(signature.axes),
            ranges=dict(signature.ranges),
            parity=parity,
            file=path.name,
            sha256=file_sha256(path).hex(),
            torch_version=str(torch.__version__),
            method=self.method,
            frozen=self.freeze,
            schema=str(loaded.forward.schema),
            device_constants=device_constants(loaded),
            parameters=sum(parameter.numel() for parameter in module.parameters()),
        )
        return write_sidecar(path.parent, record, golden)

    def _compile(self, module: Any, example: Tensors, order: Sequence[str]) -> Any:
        import torch

        jit: Any = torch.jit
        try:
            if self.method == "script":
                scripted = jit.script(module)
            else:
                # check_trace compares on the traced sizes only; prove() does more.
                tensors = tuple(arguments(example, order, device_of(module)))
                traced = jit.trace(module, tensors, check_trace=False)
                scripted = traced if self.keep_devices else lift_devices(traced)
            return jit.freeze(scripted) if self.freeze else scripted
        except Exception as error:
            text = str(error).strip().splitlines()
            other = "trace" if self.method == "script" else "script"
            raise ExportRefused(
                f"torch.jit.{self.method} refuses the module: {text[0] if text else error!r}",
                f"try method={other!r}, or wrap the module so that forward takes and returns "
                "tensors only",
            ) from error


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
    freeze: bool = False,
    keep_devices: bool = False,
    keep_sources: bool = False,
    seed: int = 0,
    rtol: float | None = None,
    atol: float | None = None,
) -> ExportRecord:
    """Export ``module`` to ``path`` (a file, or a version directory) and prove that it is right.

    ``examples`` is one request: name -> array, with the batch dimension first unless
    ``max_batch_size`` is 0. Names are arguments of forward(), or ``<name>__<index>``, or in
    the order of the arguments. ``inputs`` and ``outputs`` are derived from the examples when
    they are not given: every dimension behind the batch is then fixed, and outputs are called
    ``OUTPUT__0``, ``OUTPUT__1``, …. A dimension that varies is a named axis in a TensorSpec,
    with its smallest and largest size in ``axes``. ``ranges`` limits the values that are
    drawn for the proof ([low, high)); ``cases`` replaces them. A trace's devices are lifted
    to those of the inputs unless ``keep_devices``. The file names and lines of your source
    stay out of the file, so that the same module gives the same bytes wherever it is
    exported; ``keep_sources`` leaves them in, and an operation that fails in the server then
    quotes your source. ``rtol`` and ``atol`` are what an answer
    may differ by; by default 1e-4 and 1e-5, for half precision 1e-2 and 1e-3.

    Raises ExportRefused, leaving no file behind, when the file does not answer as the
    module does on batch sizes and axis sizes that were not traced, or when rows of one
    batch change each other's answers.
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
    if outputs is None:
        outputs = _derived_outputs(module, examples, inputs, lead, vary=bool(axes), seed=seed)
    signature = Signature(
        tuple(inputs), tuple(outputs), max_batch_size, dict(axes or {}), dict(ranges or {})
    )
    half = any(tensor.datatype == "FP16" for tensor in (*inputs, *outputs))
    exporter = TorchScriptExporter(
        method, freeze=freeze, keep_devices=keep_devices, keep_sources=keep_sources
    )
    return exporter.export(
        module,
        examples,
        path,
        signature=signature,
        cases=cases,
        seed=seed,
        rtol=(1e-2 if half else 1e-4) if rtol is None else rtol,
        atol=(1e-3 if half else 1e-5) if atol is None else atol,
    )


def _derived_outputs(
    module: Any,
    examples: Tensors,
    inputs: Sequence[TensorSpec],
    lead: int,
    *,
    vary: bool,
    seed: int,
) -> list[TensorSpec]:
    """Specs of what forward returns; with named axes one example cannot tell what is fixed."""
    import torch

    with evaluation(module), torch.no_grad(), seeded(seed):
        order = argument_order(module, inputs)
        values = flat(module(*arguments(examples, order, device_of(module))))
    arrays = [array_of(value) for value in values]
    return [
        TensorSpec(
            f"OUTPUT__{index}",
            datatype_of(array),
            (-1,) * (array.ndim - lead) if vary else array.shape[lead:],
        )
        for index, array in enumerate(arrays)
    ]
