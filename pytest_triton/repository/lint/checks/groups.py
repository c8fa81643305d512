"""Rules GRP001 to GRP010: instance groups and their rate limiter."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pytest_triton.repository.lint.backends import backend, is_tensorrt
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath

_NAMES = {0: "KIND_AUTO", 1: "KIND_GPU", 2: "KIND_CPU", 3: "KIND_MODEL"}
_AUTO, _GPU, _CPU, _MODEL = _NAMES


def _groups(model: LintedModel) -> list[tuple[FieldPath, Any]]:
    if model.config.WhichOneof("scheduling_choice") == "ensemble_scheduling":
        return []  # an ensemble has no instances; another family says so
    return [
        (("instance_group", index), group)
        for index, group in enumerate(model.config.instance_group)
    ]


@check("GRP001", "GRP002", "GRP003", "GRP004", "GRP009")
def group(model: LintedModel) -> None:
    """Each group by itself."""
    for path, entry in _groups(model):
        _count(model, path, entry)
        _devices(model, path, entry)
        if entry.profile and backend(model) and not is_tensorrt(model):
            model.report(
                "GRP009",
                "profile is for TensorRT alone: Triton refuses the model",
                (*path, "profile"),
                fix="take out profile",
                edits=model.removing((*path, "profile")),
            )


def _count(model: LintedModel, path: FieldPath, entry: Any) -> None:
    where = (*path, "count")
    if entry.count < 0 or (entry.count == 0 and model.span(*where)):
        default = 2 if backend(model) in ("onnxruntime", "tensorflow") else 1
        model.report(
            "GRP001",
            f"count is {entry.count}: Triton takes its default"
            + (", 1 instance" if default == 1 else ", 1 instance (2 on a CPU)"),
            where,
            fix="write  count: 1",
            edits=model.replacing(where, "1"),
        )


def _devices(model: LintedModel, path: FieldPath, entry: Any) -> None:
    where, gpus = (*path, "gpus"), list(entry.gpus)
    if entry.kind in (_CPU, _MODEL) and gpus:
        model.report(
            "GRP002",
            f"{_NAMES[entry.kind]} cannot name gpus: Triton refuses the model",
            where,
            fix="take out gpus, or write  kind: KIND_GPU",
            edits=model.removing(where),
        )
        return
    twice = [gpu for gpu, count in Counter(gpus).items() if count > 1]
    if twice:
        count = max(entry.count, 1) * gpus.count(twice[0])
        model.report(
            "GRP004",
            f"gpu {twice[0]} is named {gpus.count(twice[0])} times: it gets {count} instances",
            where,
            fix="name it once, and set count",
        )
    available = model.options.gpus
    absent = [gpu for gpu in gpus if gpu < 0 or (available is not None and gpu >= available)]
    if available == 0 and entry.kind == _GPU:
        model.report(
            "GRP003",
            "KIND_GPU on a machine without a GPU: Triton refuses the model",
            (*path, "kind"),
            fix="write  kind: KIND_AUTO  for a GPU where there is one",
            edits=model.replacing((*path, "kind"), "KIND_AUTO") if not gpus else (),
        )
    elif absent:
        machine = "" if available is None else f", and the machine has {available}"
        model.report(
            "GRP003",
            f"gpu {absent[0]} does not exist{machine}: Triton refuses the model",
            (*where, gpus.index(absent[0])),
            fix="name GPUs that are there, or none for all of them",
        )


@check("GRP005", "GRP006", "GRP007")
def together(model: LintedModel) -> None:
    """The groups of a model beside each other."""
    groups = _groups(model)
    if groups and all(entry.passive for _, entry in groups):
        model.report(
            "GRP005",
            "every instance group is passive: none takes requests, and the first request ends "
            "the whole server (signal 11)",
            (*groups[0][0], "passive"),
            fix="take out passive from one group",
            edits=model.removing((*groups[0][0], "passive")),
        )
    names = Counter(entry.name for _, entry in groups if entry.name)
    seen: set[str] = set()
    for path, entry in groups:
        if names[entry.name] > 1 and entry.name in seen:
            model.report(
                "GRP006",
                f'two instance groups are called "{entry.name}": logs, metrics and traces do not '
                "tell their instances apart",
                (*path, "name"),
                fix="give each group its own name, or none",
            )
        seen.add(entry.name)
    _fight(model, groups)


def _fight(model: LintedModel, groups: list[tuple[FieldPath, Any]]) -> None:
    """Groups that put instances on one GPU."""
    taken: dict[int, int] = {}
    everywhere = 0
    for path, entry in groups:
        if entry.kind not in (_AUTO, _GPU) or (entry.kind == _AUTO and not entry.gpus):
            continue
        gpus = set(entry.gpus)
        shared = sorted(gpus & set(taken))
        number = max(entry.count, 1)
        if shared or (everywhere and taken) or (everywhere and gpus) or (not gpus and taken):
            place = f"gpu {shared[0]}" if shared else "a GPU"
            before = taken.get(shared[0], 0) if shared else 0
            before += everywhere
            model.report(
                "GRP007",
                f"this group and an earlier one both place instances on {place} "
                f"({before + number if shared or everywhere else 'at least 2'} there): they share "
                "its time and each holds its own copy of the weights",
                path,
                fix="give each GPU to one group, and set count",
            )
        for gpu in gpus:
            taken[gpu] = taken.get(gpu, 0) + number
        if not gpus:
            everywhere += number


@check("GRP008", "GRP010")
def rate_limiter(model: LintedModel) -> None:
    """Resources that limit nothing, or contradict each other."""
    everywhere: dict[str, bool] = {}
    told = False
    for path, entry in _groups(model):
        for index, resource in enumerate(entry.rate_limiter.resources):
            where = (*path, "rate_limiter", "resources", index)
            if model.located.doubtful(*where):
                continue
            if not resource.name or not resource.count:
                model.report(
                    "GRP008",
                    "a resource without a name" if not resource.name
                    else f'resource "{resource.name}" has count 0: it limits nothing',
                    where,
                    fix='write  name: "…"' if not resource.name else "write  count: 1",
                )  # fmt: skip
            elif everywhere.setdefault(resource.name, getattr(resource, "global")) != (
                getattr(resource, "global")
            ):
                model.report(
                    "GRP008",
                    f'resource "{resource.name}" is global here and not in another group: a server '
                    "with --rate-limit refuses the model",
                    where,
                    fix="write the same in both groups",
                )
            if not told:
                told = True
                model.report(
                    "GRP010",
                    "resources count only in a server that is started with "
                    "--rate-limit=execution_count; Triton ignores them otherwise",
                    (*path, "rate_limiter"),
                    fix="start Triton with  --rate-limit=execution_count",
                )
