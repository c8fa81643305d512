"""Rules CFG011 to CFG015: which backend runs the model."""

from __future__ import annotations

import difflib

from pytest_triton.repository.lint.backends import BACKENDS, PLATFORMS, files_of
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.finding import Edit
from pytest_triton.repository.lint.registry import check

#: What people write for a backend, and its name.
_ALIASES = {
    "torch": "pytorch", "libtorch": "pytorch", "torchscript": "pytorch",
    "pytorch_libtorch": "pytorch", "pytorch_torchscript": "pytorch", "onnx": "onnxruntime",
    "ort": "onnxruntime", "onnxruntime_onnx": "onnxruntime", "onnx_runtime": "onnxruntime",
    "trt": "tensorrt", "tensorrt_plan": "tensorrt", "tf": "tensorflow",
    "tensorflow_savedmodel": "tensorflow", "tensorflow_graphdef": "tensorflow", "py": "python",
    "python_backend": "python", "tensorrt_llm": "tensorrtllm", "trtllm": "tensorrtllm",
}  # fmt: skip
#: Backends that know which platform is theirs; the core checks the pair.
_PAIRED = {
    "pytorch": ("pytorch_libtorch", "libtorch", "torch_aoti"),
    "onnxruntime": ("onnxruntime_onnx",),
    "tensorrt": ("tensorrt_plan",),
    "tensorflow": ("tensorflow_graphdef", "tensorflow_savedmodel"),
}
_ENSEMBLE = "ensemble"


@check("CFG011", "CFG012", "CFG013", "CFG014", "CFG015")
def platform(model: LintedModel) -> None:
    """Platform and backend, alone and together."""
    config = model.config
    named, chosen = str(config.backend), str(config.platform)
    if model.located.doubtful("backend") or model.located.doubtful("platform"):
        return
    if chosen == _ENSEMBLE or config.WhichOneof("scheduling_choice") == "ensemble_scheduling":
        _ensemble(model, named, chosen)
    elif named:
        if chosen:
            _pair(model, named, chosen)
        elif named == "tensorflow":
            _tensorflow(model)
        _known(model, named)
    elif chosen and chosen not in PLATFORMS:
        _unknown(model, chosen)
    elif not chosen:
        _neither(model)


def _ensemble(model: LintedModel, named: str, chosen: str) -> None:
    if named and chosen == _ENSEMBLE:
        model.report(
            "CFG012",
            f'platform "ensemble" has no backend, and "{named}" is given: Triton refuses the model',
            ("backend",),
            fix="take out the backend",
            edits=model.removing(("backend",)),
        )


def _unknown(model: LintedModel, chosen: str) -> None:
    """Without a backend a platform has to be one that the core knows."""
    lower = chosen.lower()
    alias = _ALIASES.get(lower, lower if lower in BACKENDS else "")
    near = difflib.get_close_matches(lower, PLATFORMS, n=1, cutoff=0.8)
    if near and not alias:
        fix, text = f'write  platform: "{near[0]}"', f'platform: "{near[0]}"'
    elif alias:
        fix, text = f'write  backend: "{alias}"', f'backend: "{alias}"'
    else:
        fix, text = "name the backend, not a platform", ""
    span = model.span("platform")
    edits = (Edit(span.start, span.end, text),) if span and text else ()
    model.report(
        "CFG011",
        f'platform "{chosen}" is none that Triton knows: it refuses the model '
        f"(unexpected platform type '{chosen}')",
        ("platform",),
        fix=fix,
        edits=edits,
    )


def _pair(model: LintedModel, named: str, chosen: str) -> None:
    if named in _PAIRED and chosen not in _PAIRED[named]:
        model.report(
            "CFG012",
            f'platform "{chosen}" is not of backend "{named}": Triton refuses the model',
            ("platform",),
            fix="take out the platform",
            edits=model.removing(("platform",)),
        )
    elif named not in _PAIRED and PLATFORMS.get(chosen, named) not in ("", named):
        model.report(
            "CFG013",
            f'platform "{chosen}" is {PLATFORMS[chosen]}\'s and backend is "{named}": Triton runs '
            f'{named}, and its metadata says "{chosen}"',
            ("platform",),
            fix=f'take out the platform, or write  backend: "{PLATFORMS[chosen]}"',
            edits=model.removing(("platform",)),
        )


def _tensorflow(model: LintedModel) -> None:
    """The one backend that the core does not find a platform for, unless a file tells it."""
    files = {"model.savedmodel", "model.graphdef"}
    if model.directory is None or not model.directory.versions:
        return
    if model.config.default_model_filename in files:
        return
    if model.config.default_model_filename or not files_of(model) & files:
        model.report(
            "CFG012",
            'backend "tensorflow" needs a platform: Triton refuses the model',
            ("backend",),
            fix='add  platform: "tensorflow_savedmodel"',
            edits=model.appending('platform: "tensorflow_savedmodel"\n'),
        )


def _known(model: LintedModel, named: str) -> None:
    if named in BACKENDS:
        return
    lower = named.lower()
    meant = _ALIASES.get(lower, lower if lower in BACKENDS else "")
    if lower == _ENSEMBLE:
        model.report(
            "CFG014", 'there is no backend "ensemble": Triton refuses the model', ("backend",),
            fix='write  platform: "ensemble"',
        )  # fmt: skip
        return
    sure = bool(meant)
    if not meant:
        near = difflib.get_close_matches(named, BACKENDS, n=1, cutoff=0.85)
        if not near:
            return
        meant = near[0]
    model.report(
        "CFG014",
        f'there is no backend "{named}"'
        + (": Triton refuses the model" if sure else f' of NVIDIA\'s; "{meant}" is one'),
        ("backend",),
        fix=f'write  backend: "{meant}"',
        edits=model.replacing(("backend",), f'"{meant}"'),
        severity="error" if sure else "warning",
    )


def _neither(model: LintedModel) -> None:
    """Neither is given: the names of files decide, then what stands behind a dot in the name."""
    if model.directory is None or not model.directory.versions or "." in model.name:
        return
    files = files_of(model)
    known = {
        "model.savedmodel", "model.graphdef", "model.plan", "model.onnx", "model.xml", "model.pt",
        "model.pt2", "model.py",
    }  # fmt: skip
    if files & known or model.config.default_model_filename in known:
        return
    if model.config.default_model_filename:
        found = f'default_model_filename "{model.config.default_model_filename}"'
    else:
        found = ", ".join(sorted(files)[:3]) or "an empty version directory"
    model.report(
        "CFG015",
        f"neither backend nor platform is given, and {found} tells none: Triton refuses the model",
        fix='add  backend: "…"',
    )
