"""What is ablated: a module, a HuggingFace directory, or a model of a repository as it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from pytest_triton.ablating.accuracy import Answers
from pytest_triton.ablating.arms import Arm
from pytest_triton.ablating.narrowing import narrow
from pytest_triton.errors import ToolError
from pytest_triton.export.interface import Signature
from pytest_triton.export.model import fill_model
from pytest_triton.repository.sidecar import ExportRecord, Tensors
from pytest_triton.repository.tensors import TensorSpec
from pytest_triton.starting.modules import load_module, model_name
from pytest_triton.starting.plan import module_export, request_of, told

Progress = Callable[[str], None]


class Source(Protocol):
    """One model, from which arms are made."""

    name: str
    #: "module", "huggingface" or "repository".
    kind: str
    #: Whether other files can be exported, and not only other settings tried.
    files: bool
    #: What the answers of all arms are compared with, in words.
    reference: str
    #: Of the base's configuration.
    parameters: Mapping[str, str]

    @property
    def precision(self) -> str:
        """What the base computes in: "float32", "float16", "bfloat16"; "": nobody knows."""
        ...

    def make(self, arm: Arm, directory: Path) -> Signature:
        """Write ``directory`` as a model named as the arm. Raises ToolError, and what torch
        raises, for an arm that is not possible."""
        ...

    def answers(self, requests: Sequence[Tensors]) -> list[Answers] | None:
        """What the reference gives; None: what the base serves is the reference."""
        ...

    def choice(self) -> str:
        """The output that holds scores of classes; empty for none. Known behind ``make``."""
        ...


class _Exported:
    """What a module and a directory have in common: files are made, with their proof."""

    files = True
    reference = "the module in eager FP32, on the CPU"
    parameters: Mapping[str, str] = {}
    precision = "float32"
    record: ExportRecord | None = None

    def _fill(self, arm: Arm, directory: Path, export: Callable[[Path], ExportRecord]) -> Signature:
        record = fill_model(
            directory, arm.name, export, parameters=arm.parameters, labels=False, comments=False
        )
        self.record = self.record or record
        return signature_of(record)


class Module(_Exported):
    """``--module``; ``options`` as init takes them. ``device``: "cpu" or "gpu"."""

    kind = "module"

    def __init__(self, spec: str, options: Mapping[str, Any], device: str, say: Progress) -> None:
        said = told(options)
        say(f"importing {spec}")
        found = load_module(spec, seed=options["seed"])
        self.name, self.module, self.options = found.name, found.module, dict(options)
        self.request = request_of(found.module, said, options, say)
        self.device = "cuda" if device == "gpu" else "cpu"
        self.say = say
        kinds = {str(one.dtype).removeprefix("torch.") for one in found.module.parameters()}
        for half in kinds & {"float16", "bfloat16"}:
            self.precision, self.reference = half, f"the module in eager {half}, on the CPU"

    def module_for(self, arm: Arm) -> Any:
        """The module that is exported for an arm."""
        if not arm.dtype:
            return self.module
        if self.options["method"] == "script":
            raise ToolError("half precision is made by tracing: the conversion is no TorchScript")
        return narrow(self.module, arm.dtype, [one.name for one in self.request.inputs])

    def make(self, arm: Arm, directory: Path) -> Signature:
        options = {**self.options, "variant": arm.variant}
        module = self.module_for(arm)
        export = module_export(module.to(self.device), self.request, options, self.say)
        try:
            return self._fill(arm, directory, export)
        finally:
            self.module.to("cpu")
            _free(self.device)

    def answers(self, requests: Sequence[Tensors]) -> list[Answers]:
        from pytest_triton.export.function import eager

        assert self.record is not None
        answer = eager(
            self.module, self.request.examples, self.record, method=self.options["method"]
        )
        return [answer(request) for request in requests]

    def choice(self) -> str:
        assert self.record is not None
        return scores(self.record.outputs)


class Directory(_Exported):
    """What save_pretrained() wrote; the base has float32 weights whatever is stored."""

    kind = "huggingface"

    def __init__(
        self, directory: Path, options: Mapping[str, Any], device: str, say: Progress
    ) -> None:
        from pytest_triton.export.huggingface.tasks import transformers

        transformers()
        self.directory, self.options, self.say = directory, options, say
        self.name = model_name(directory.resolve().name)
        self.device = "cuda" if device == "gpu" else "cpu"

    def make(self, arm: Arm, directory: Path) -> Signature:
        from pytest_triton.export.huggingface import export_huggingface

        options = self.options

        def export(place: Path) -> ExportRecord:
            return export_huggingface(
                str(self.directory), path=place, task=options["task"], pooling=options["pooling"],
                max_length=options["max_length"], dtype=arm.dtype or "float32",
                device=self.device, max_batch_size=options["max_batch_size"],
                variant=arm.variant, seed=options["seed"], progress=self.say,
            )  # fmt: skip

        try:
            return self._fill(arm, directory, export)
        finally:
            _free(self.device)

    def answers(self, requests: Sequence[Tensors]) -> list[Answers]:
        import torch

        from pytest_triton.export.huggingface.loading import load
        from pytest_triton.export.huggingface.wrappers import Pooling, wrap

        assert self.record is not None
        record, pooling = self.record, self.options["pooling"]
        loaded = load(self.directory, record.task, "float32", pooling)
        names = [one.name for one in record.inputs]
        module = wrap(
            loaded.model, loaded.task, names,
            pooling=cast("Pooling", record.choices.get("pooling", "mean")),
            normalize=loaded.normalize,
        )  # fmt: skip
        made: list[Answers] = []
        with torch.inference_mode():
            for request in requests:
                value = module(*(torch.from_numpy(request[name]) for name in names))
                made.append({record.outputs[0].name: value.numpy()})
        return made

    def choice(self) -> str:
        assert self.record is not None
        return "" if self.record.task == "embedding" else self.record.outputs[0].name


def _free(device: str) -> None:
    """Leave the GPU's memory to the server."""
    if device == "cuda":
        import gc

        import torch

        gc.collect()
        torch.cuda.empty_cache()


def signature_of(record: ExportRecord) -> Signature:
    """What goes in and out, as the export proved it."""
    return Signature(
        record.inputs, record.outputs, record.max_batch_size, record.axes, record.ranges
    )


def scores(outputs: Sequence[TensorSpec]) -> str:
    """The one output that may hold scores of classes: floats, one dimension, two or more."""
    if len(outputs) != 1 or outputs[0].datatype not in ("FP16", "FP32", "FP64"):
        return ""
    shape = outputs[0].shape
    fits = len(shape) == 1 and isinstance(shape[0], int) and shape[0] > 1
    return outputs[0].name if fits else ""
