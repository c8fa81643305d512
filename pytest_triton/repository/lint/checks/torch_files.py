"""Rules PT016 to PT019, PT027 and PT029: the TorchScript file itself, read as an archive."""

from __future__ import annotations

import json

from pytest_triton.repository.archive import Archive, Kind
from pytest_triton.repository.lint import torchscript as torch
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.lint.torch_releases import parse_version, torch_of
from pytest_triton.repository.lint.torchscript import Export
from pytest_triton.repository.sidecar import SIDECAR_NAME

#: Format versions that torch 1.0 to 2.14 read.
_FORMATS = range(1, 11)
_MAX_SIDECAR = 4 * 1024 * 1024
_SAVE = "export it with torch.jit.script(module).save(path) or torch.jit.trace(…).save(path)"
_FIXES: dict[Kind, str] = {
    "torch.save": _SAVE,
    "torch.save of torch before 1.6": _SAVE,
    "pickle": _SAVE,
    "PT2": "serve it with platform: \"torch_aoti\" as model.pt2 (Triton 26.03 and later), or "
    "export TorchScript",
    "safetensors": "these are weights alone: load them into the module, and export that",
    "ONNX": 'serve it with backend: "onnxruntime" as model.onnx',
    "git-lfs pointer": "fetch the file itself:  git lfs pull",
    "HTML page": "download the file again: this is a web page, of a login or an error",
    "empty": "copy the file again",
    "damaged": "copy the file again",
    "text": _SAVE,
    "zip": _SAVE,
    "gzip": "unpack it: Triton does not",
    "tar": "unpack it: Triton does not",
}  # fmt: skip
_WHAT: dict[Kind, str] = {
    "torch.save": "written by torch.save: it holds objects or weights, and no code",
    "torch.save of torch before 1.6": "written by torch.save: it holds objects or weights, and no "
    "code",
    "pickle": "a pickle",
    "PT2": "a PT2 archive of torch.export",
    "safetensors": "a safetensors file",
    "ONNX": "an ONNX model",
    "git-lfs pointer": "a git-lfs pointer",
    "HTML page": "an HTML page",
    "text": "a text file",
    "empty": "empty",
    "zip": "a zip archive of something else",
    "gzip": "packed with gzip",
    "tar": "a tar archive",
    "NumPy array": "a NumPy array",
    "HDF5": "an HDF5 file",
    "shared library": "a shared library",
    "damaged": "damaged",
}


@check("PT016", "PT017", "PT018")
def files(model: LintedModel) -> None:
    """What ``torch.jit.load`` would refuse."""
    for export in torch.exports(model):
        archive = export.archive
        if archive.kind == "unreadable":
            continue  # LAY and SEC say it
        if archive.kind not in ("torchscript", "legacy TorchScript"):
            what = _WHAT.get(archive.kind, "of an unknown kind")
            why = f" ({archive.problem})" if archive.problem else ""
            model.report(
                "PT016",
                f"the file is {what}{why}: Triton refuses the model, which has to be TorchScript",
                file=export.relative,
                fix=_FIXES.get(archive.kind, _SAVE),
            )
        elif archive.no_forward:
            model.report(
                "PT017",
                "the module has no forward: the PyTorch backend takes the server down",
                file=export.relative,
                fix="export a module with a method forward",
            )
        elif archive.format_version is not None and archive.format_version not in _FORMATS:
            new = archive.format_version >= _FORMATS.stop
            model.report(
                "PT018",
                f"the file has format version {archive.format_version}, and torch reads "
                f"{_FORMATS.start} to {_FORMATS.stop - 1}: Triton refuses the model",
                file=export.relative,
                fix=f"export it with {'an older' if new else 'a newer'} torch",
            )
        elif archive.problem:
            model.report(
                "PT016",
                f"the archive cannot be read as TorchScript: {archive.problem}",
                file=export.relative,
                fix="copy the file again, or export it again",
            )


@check("PT019")
def torch_version(model: LintedModel) -> None:
    """A newer torch writes operators that the release's torch may not have."""
    wanted = torch_of(model.options.release) if model.options.release else None
    if wanted is None:
        return
    for export in torch.exports(model):
        made = parse_version(_torch_version(export))
        if made is not None and made > wanted:
            model.report(
                "PT019",
                f"exported with torch {made[0]}.{made[1]}, and the image of Triton "
                f"{model.options.release} has torch {wanted[0]}.{wanted[1]}: operators that are "
                "newer make the load fail",
                file=export.relative,
                fix=f"export it with torch {wanted[0]}.{wanted[1]} or older",
            )


def _torch_version(export: Export) -> str:
    """What the exporter wrote beside the file; the archive itself does not say it."""
    path = export.path.parent / SIDECAR_NAME
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            data = json.loads(file.read(_MAX_SIDECAR))
    except (OSError, ValueError, RecursionError):
        return ""
    version = data.get("torch_version", "") if isinstance(data, dict) else ""
    return version if isinstance(version, str) else ""


@check("PT027", "PT029")
def code(model: LintedModel) -> None:
    """Layers that train, and operators of other libraries."""
    for export in torch.exports(model):
        archive = export.archive
        if layers := _training(archive):
            model.report(
                "PT027",
                f"saved in train mode, with {' and '.join(layers)}: Triton does not call eval(), "
                "so that answers are random or depend on the batch",
                file=export.relative,
                fix="call module.eval() before the export",
            )
        strange = [name for name in archive.custom if not name.startswith(("torchvision::",
                   "tensorrt::", "torch_tensorrt::"))]  # fmt: skip
        if strange:
            model.report(
                "PT029",
                f"the code calls {', '.join(strange[:5])}: the load fails unless the library "
                "with these operators is in the server",
                file=export.relative,
                fix="start tritonserver with LD_PRELOAD=library.so, or export without them",
            )


def _training(archive: Archive) -> tuple[str, ...]:
    """Layers that behave as in training, once it is sure that they do."""
    if archive.always_training:
        return archive.always_training
    return archive.layers if archive.training else ()
