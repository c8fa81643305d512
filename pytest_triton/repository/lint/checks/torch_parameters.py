"""Rules PT022 to PT026: the parameters of the PyTorch backend."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict

from pytest_triton.repository.config import selected_versions
from pytest_triton.repository.lint import torchscript as torch
from pytest_triton.repository.lint.context import LintedModel, LintedRepository
from pytest_triton.repository.lint.registry import check, check_repository

_FLAGS = (
    "DISABLE_OPTIMIZED_EXECUTION", "ENABLE_CACHE_CLEANING", "INFERENCE_MODE", "DISABLE_CUDNN",
    "ENABLE_TENSOR_FUSER", "ENABLE_WEIGHT_SHARING", "ENABLE_JIT_PROFILING", "ENABLE_JIT_EXECUTOR",
)  # fmt: skip
_COUNTS = ("INTRA_OP_THREAD_COUNT", "INTER_OP_THREAD_COUNT")
_KNOWN = _FLAGS + _COUNTS
#: Keys that other parts read, and that are near to none of ours by accident.
_OTHERS = frozenset({"NUM_THREADS", "NUM_INTEROP_THREADS", "TORCH_COMPILE_OPTIONAL_PARAMETERS"})
_TRUE, _FALSE = ("true", "on", "1"), ("false", "off", "0")
#: Threads beyond which libtorch ends the server.
_MOST_THREADS = 16384


@check("PT022", "PT023")
def parameters(model: LintedModel) -> None:
    """Values that fail the load, and keys that nobody reads."""
    if not torch.is_torchscript(model):
        return
    for key, value in model.config.parameters.items():
        text = str(value.string_value)
        if key in _FLAGS and text.lower() not in _TRUE + _FALSE:
            meant = next((one for one in _TRUE + _FALSE if one == text.strip().lower()), "")
            meant = meant or {"yes": "true", "y": "true", "t": "true", "no": "false", "n": "false",
                              "f": "false", "": "true"}.get(text.strip().lower(), "")  # fmt: skip
            model.report(
                "PT022",
                f"{key} is {text!r}, which is no boolean to the backend: Triton refuses the model",
                ("parameters", key),
                fix=f'write  string_value: "{meant or "true"}"'
                + ("" if meant else '  or  string_value: "false"'),
            )
        elif key in _COUNTS:
            _count(model, key, text)
        elif key not in _KNOWN:
            _near(model, key)


def _count(model: LintedModel, key: str, text: str) -> None:
    number = re.match(r"\s*([+-]?\d+)", text)
    if number is None:
        model.report(
            "PT022",
            f"{key} is {text!r}, which is no number: Triton refuses the model",
            ("parameters", key),
            fix='write a number of threads, as in  string_value: "4"',
        )
    elif abs(int(number[1][:20])) > _MOST_THREADS:
        model.report(
            "PT022",
            f"{key} is {text!r}: libtorch cannot start that many threads, and takes the server "
            "down",
            ("parameters", key),
            fix="write at most the number of cores",
        )
    elif int(number[1]) <= 0:
        model.report(
            "PT023",
            f"{key} is {text!r}: the backend ignores counts below 1",
            ("parameters", key),
            fix="write a count, or remove the parameter",
        )


def _near(model: LintedModel, key: str) -> None:
    plain = re.sub(r"[^A-Z]", "", key.upper())
    same = [known for known in _KNOWN if known.replace("_", "") == plain]
    near = same or difflib.get_close_matches(key.upper(), _KNOWN, n=1, cutoff=0.85)
    if near and key not in _OTHERS:
        model.report(
            "PT023",
            f"parameter {key!r} is not known to the backend, which ignores it",
            ("parameters", key),
            fix=f'write  key: "{near[0]}"',
        )


@check("PT026")
def weight_sharing(model: LintedModel) -> None:
    """Instances that share weights share the buffers that forward changes, too."""
    if not torch.is_torchscript(model):
        return
    value = str(model.config.parameters["ENABLE_WEIGHT_SHARING"].string_value) if (
        "ENABLE_WEIGHT_SHARING" in model.config.parameters
    ) else ""  # fmt: skip
    instances = sum(max(int(group.count), 1) for group in model.config.instance_group) or 1
    if value.lower() not in _TRUE or instances < 2:
        return
    for export in torch.exports(model):
        if export.archive.changes_buffers:
            model.report(
                "PT026",
                f"{instances} instances share the weights of {export.relative}, whose forward "
                "changes a buffer: requests that run at the same time disturb each other",
                ("parameters", "ENABLE_WEIGHT_SHARING"),
                fix="remove ENABLE_WEIGHT_SHARING, or keep state out of the module",
            )
            return


@check_repository("PT024", "PT025")
def threads(repository: LintedRepository) -> None:
    """Counts of threads belong to the process of the server, which all models share."""
    given: dict[str, list[tuple[LintedModel, int]]] = defaultdict(list)
    for model in repository.models.values():
        if not model.readable or not torch.is_torchscript(model):
            continue
        for key in _COUNTS:
            if key in model.config.parameters:
                text = str(model.config.parameters[key].string_value)
                number = re.match(r"\s*\+?(\d{1,9})", text)
                if number and int(number[1]) > 0:
                    given[key].append((model, int(number[1])))
    first: LintedModel | None = None
    for model, _ in given["INTER_OP_THREAD_COUNT"]:
        if first is None:
            first = model
            if _versions(model) < 2:
                continue
        other = f"model {first.name!r}" if first is not model else "another version of this model"
        model.report(
            "PT024",
            f"INTER_OP_THREAD_COUNT is set for {other} as well: libtorch takes it once in the life "
            "of a process, and the second one takes NVIDIA's server down",
            ("parameters", "INTER_OP_THREAD_COUNT"),
            fix="set it for one model alone",
            severity="warning" if first is model else None,
        )
    counts = given["INTRA_OP_THREAD_COUNT"]
    if len({count for _, count in counts}) > 1:
        told = ", ".join(f"{count} for {model.name}" for model, count in counts[:5])
        for model, _ in counts:
            model.report(
                "PT025",
                f"INTRA_OP_THREAD_COUNT belongs to the whole server, and models disagree: {told}; "
                "the one that is loaded last wins",
                ("parameters", "INTRA_OP_THREAD_COUNT"),
                fix="set the same count for all",
            )


def _versions(model: LintedModel) -> int:
    if model.directory is None:
        return 1
    return len(selected_versions(model.config, model.directory.versions))
