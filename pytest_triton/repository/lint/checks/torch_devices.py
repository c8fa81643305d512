"""Rules PT020 and PT021: devices that are written into the code of a TorchScript file."""

from __future__ import annotations

import re

from pytest_triton.repository.lint import torchscript as torch
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath

#: ModelInstanceGroup.Kind
_AUTO, _GPU, _CPU, _MODEL = 0, 1, 2, 3


@check("PT020", "PT021")
def devices(model: LintedModel) -> None:
    """A traced module keeps the devices that it was traced on."""
    groups = list(model.config.instance_group)
    kinds = {group.kind for group in groups} or {_AUTO}
    if kinds == {_MODEL}:
        return
    without_gpu = kinds == {_CPU} or model.options.gpus == 0
    where: FieldPath = ("instance_group",) if groups else ()
    for export in torch.exports(model):
        for use in export.archive.devices:
            if use.device == "cpu" and not without_gpu:
                _cpu(model, export.relative, kinds, where)
            elif use.device.startswith("cuda") and without_gpu:
                model.report(
                    "PT021",
                    f"the code of {export.relative} names the device {use.device}, and the model "
                    f"runs on the CPU{': every request fails' if use.always else ''}",
                    where,
                    fix="export it on the CPU",
                    severity="error" if use.always else "warning",
                )
            elif re.fullmatch(r"cuda:\d+", use.device):
                _other_gpu(model, export.relative, use.device)


def _cpu(model: LintedModel, relative: str, kinds: set[int], where: FieldPath) -> None:
    asked = "KIND_GPU" if _GPU in kinds else "no kind, which means a GPU where there is one"
    model.report(
        "PT020",
        f"the code of {relative} makes tensors on the CPU, and the instances have {asked}: there, "
        "forward fails with \"Expected all tensors to be on the same device\"",
        where,
        fix="export it on the GPU or by torch.jit.script, or write "
        "instance_group [ { kind: KIND_CPU } ]",
    )  # fmt: skip


def _other_gpu(model: LintedModel, relative: str, device: str) -> None:
    """One GPU is written down: instances on others fail."""
    number = int(device.removeprefix("cuda:")[:9])
    for at, group in enumerate(model.config.instance_group):
        others = [gpu for gpu in group.gpus if gpu != number]
        if group.kind != _CPU and others:
            model.report(
                "PT021",
                f"the code of {relative} names {device}: the instances on "
                f"GPU {', '.join(map(str, others))} fail",
                ("instance_group", at, "gpus"),
                fix=f"write  gpus: [ {number} ],  or export by torch.jit.script",
                severity="warning",
            )
            return
    if (model.options.gpus or 0) > 1 and not model.config.instance_group:
        model.report(
            "PT021",
            f"the code of {relative} names {device}, and Triton puts an instance on each of the "
            f"{model.options.gpus} GPUs: the others fail",
            fix=f"write  instance_group [ {{ kind: KIND_GPU gpus: [ {number} ] }} ]",
            severity="warning",
        )
