"""torch.nn.Module -> TorchScript, by trace or by script, with a proof of parity."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pytest_triton.export.cases import untraced_cases
from pytest_triton.export.interface import Case, ExportRefused, Signature
from pytest_triton.export.parity import Evaluate, prove
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
        self, method: Method = "trace", *, freeze: bool = False, keep_devices: bool = False
    ) -> None:
        self.method = method
        self.freeze = freeze
        self.keep_devices = keep_devices

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
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{os.getpid()}.{path.name}")
        with _evaluation(module), torch.no_grad(), _seeded(seed), warnings.catch_warnings():
            # torch warns that TorchScript is deprecated, and about every size that a trace
            # reads; the proof below is the better judge of both.
            warnings.simplefilter("ignore")
            order = _argument_order(module, signature)
            scripted = self._compile(module, example, order)
            devices = _device_constants(scripted)
            if devices and not self.keep_devices:
                from pytest_triton.export.devices import lift_devices

                scripted = lift_devices(scripted)
                devices = _device_constants(scripted)
            if self.freeze:
                scripted = torch.jit.freeze(scripted)
            all_cases = [
                Case(TRACED, example),
                *(cases or untraced_cases(signature, example, seed=seed)),
            ]
            try:
                torch.jit.save(scripted, str(temporary))
                # What is proven is the file, loaded as the server will load it.
                loaded = torch.jit.load(str(temporary), map_location="cpu")
                parity, golden = prove(
                    _evaluate(module, order, signature),
                    _evaluate(loaded, order, signature),
                    all_cases,
                    signature,
                    traced=TRACED if self.method == "trace" else "",
                    rtol=rtol,
                    atol=atol,
                )
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
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
            device_constants=devices,
            parameters=sum(parameter.numel() for parameter in module.parameters()),
        )
        return write_sidecar(path.parent, record, golden)

    def _compile(self, module: Any, example: Tensors, order: Sequence[str]) -> Any:
        import torch

        try:
            if self.method == "script":
                return torch.jit.script(module)
            arguments = tuple(torch.from_numpy(np.ascontiguousarray(example[n])) for n in order)
            # check_trace compares with the traced sizes only; prove() does more.
            return torch.jit.trace(module, arguments, check_trace=False)
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
    seed: int = 0,
    rtol: float = 1e-4,
    atol: float = 1e-5,
) -> ExportRecord:
    """Export ``module`` to ``path`` (a file, or a version directory) and prove that it is right.

    ``examples`` is one request: name -> array, with the batch dimension first unless
    ``max_batch_size`` is 0. ``inputs`` and ``outputs`` are derived from it when they are not
    given: every dimension behind the batch is then fixed, and outputs are called
    ``OUTPUT__0``, ``OUTPUT__1``, …. A dimension that varies is a named axis in a TensorSpec,
    with its smallest and largest size in ``axes``. ``ranges`` limits the values that are
    drawn for the proof ([low, high)); ``cases`` replaces them.

    Raises ExportRefused, leaving no file behind, when the file does not answer as the
    module does on batch sizes and axis sizes that were not traced.
    """
    path = Path(path)
    if path.suffix == "":
        path = path / TorchScriptExporter.file_name
    examples = {name: np.asarray(value) for name, value in examples.items()}
    lead = 1 if max_batch_size > 0 else 0
    if inputs is None:
        inputs = [TensorSpec(n, datatype_of(v), v.shape[lead:]) for n, v in examples.items()]
    signature = Signature(tuple(inputs), (), max_batch_size, axes or {}, ranges or {})
    missing = [tensor.name for tensor in inputs if tensor.name not in examples]
    if missing:
        raise ExportRefused(f"no example for {', '.join(missing)}", "add it to examples")
    if outputs is None:
        outputs = _derived_outputs(module, examples, signature, lead, seed)
    signature = replace(signature, outputs=tuple(outputs))
    exporter = TorchScriptExporter(method, freeze=freeze, keep_devices=keep_devices)
    return exporter.export(
        module, examples, path, signature=signature, cases=cases, seed=seed, rtol=rtol, atol=atol
    )


def _derived_outputs(
    module: Any, examples: Tensors, signature: Signature, lead: int, seed: int
) -> list[TensorSpec]:
    import torch

    with _evaluation(module), torch.no_grad(), _seeded(seed):
        values = _flat(module(*_arguments(examples, _argument_order(module, signature))))
    arrays = [value.numpy() for value in values]
    # Which dimensions vary with an axis is not known from one example.
    fixed = not signature.axes
    return [
        TensorSpec(
            f"OUTPUT__{i}", datatype_of(a), a.shape[lead:] if fixed else (-1,) * (a.ndim - lead)
        )
        for i, a in enumerate(arrays)
    ]


def _argument_order(module: Any, signature: Signature) -> list[str]:
    """Input names in the order of forward()'s arguments, as the PyTorch backend decides it."""
    names = [tensor.name for tensor in signature.inputs]
    try:
        arguments = [p for p in inspect.signature(module.forward).parameters if p != "self"]
    except (TypeError, ValueError):
        arguments = [a.name for a in module.forward.schema.arguments[1:]]
    if all(name in arguments for name in names):
        return sorted(names, key=arguments.index)
    indices = [name.partition("__")[2] for name in names if "__" in name]
    if len(indices) == len(names) and all(index.isdigit() or not index for index in indices):
        return sorted(names, key=lambda name: int(name.partition("__")[2] or 0))
    return names


def _arguments(inputs: Tensors, order: Sequence[str]) -> list[Any]:
    import torch

    return [torch.from_numpy(np.array(inputs[name], copy=True, order="C")) for name in order]


def _flat(result: Any) -> list[Any]:
    """A tensor, tuple or list of tensors as a list. Raises ExportRefused for anything else."""
    import torch

    values = list(result) if isinstance(result, (tuple, list)) else [result]
    for value in values:
        if not isinstance(value, torch.Tensor):
            raise ExportRefused(
                f"forward returns {type(value).__name__}; Triton's PyTorch backend takes a "
                "tensor or a tuple of tensors",
                "wrap the module: return the tensors that are wanted, as a tuple",
            )
    return values


def _evaluate(module: Any, order: Sequence[str], signature: Signature) -> Evaluate:
    """The module as a function of named arrays, on copies of its inputs."""

    def evaluate(inputs: Tensors) -> dict[str, np.ndarray]:
        values = _flat(module(*_arguments(inputs, order)))
        if len(values) < len(signature.outputs):
            raise ExportRefused(
                f"{len(signature.outputs)} outputs are declared, forward returns {len(values)}",
                "declare the outputs that the module has",
            )
        # OUTPUT__1 is the second of the tuple wherever it is declared.
        names = [tensor.name for tensor in signature.outputs]
        suffixes = [name.partition("__")[2] for name in names]
        indexed = all(
            "__" in n and (s.isdigit() or not s) for n, s in zip(names, suffixes, strict=True)
        )
        at = [int(s or 0) for s in suffixes] if indexed else list(range(len(names)))
        if max(at, default=0) >= len(values):
            raise ExportRefused(
                f"output {names[at.index(max(at))]!r} is beyond the {len(values)} that forward "
                "returns",
                "number the outputs from __0",
            )
        return {name: values[i].detach().cpu().numpy() for name, i in zip(names, at, strict=True)}

    return evaluate


def _device_constants(scripted: Any) -> tuple[str, ...]:
    """Devices that the graph names: such a file fails on any other device."""
    from pytest_triton.export.devices import device_constants

    return device_constants(scripted)


@contextmanager
def _evaluation(module: Any) -> Iterator[None]:
    """``module.eval()`` for the block: a file that was saved in train mode stays in it for ever."""
    before = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, training in before:
            child.training = training


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """torch's generator, seeded for the block and put back behind it."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
