"""Rules SHP001 to SHP005: dims and reshape."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_triton.repository.lint.backends import FRAMEWORKS, backend, tensors
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.finding import Edit, Severity
from pytest_triton.repository.lint.recorded import recorded_shapes
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath

#: Inputs that are [ batch, tokens ] in every model of transformers.
_TOKENS = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids"})
#: What a fourth dimension in front of an image may be, by the names of tensors and models.
_MANY = ("video", "frame", "clip", "crop", "patch", "tile", "window", "view", "slice", "multi",
         "roi", "region", "volume", "seq", "temporal")  # fmt: skip
_CHANNELS = (1, 3, 4)
_SMALLEST_IMAGE = 16


@check("SHP002", "SHP003", "SHP004")
def sizes(model: LintedModel) -> None:
    """What the core checks of every tensor."""
    for kind, index, entry in tensors(model.config):
        path, named = (kind, index), f'{kind} "{entry.name}"'
        bad = [at for at, size in enumerate(entry.dims) if size < 1 and size != -1]
        if bad:
            size = entry.dims[bad[0]]
            model.report(
                "SHP002",
                f"{named} has a dimension of {size}: sizes are 1 and more, or -1 for any; Triton "
                "refuses the model",
                (*path, "dims", bad[0]),
                # Not done mechanically: only a person knows the size.
                fix="write -1 for a variable size" if size else "write the size, or -1",
            )
        elif entry.HasField("reshape") and entry.dims:
            _reshape(model, (*path, "reshape"), named, list(entry.dims), list(entry.reshape.shape))


def _reshape(
    model: LintedModel, path: FieldPath, named: str, dims: list[int], shape: list[int]
) -> None:
    if not shape and not model.config.max_batch_size:
        if not model.located.doubtful("max_batch_size") and not model.located.doubtful(*path):
            model.report(
                "SHP004",
                f"{named} is reshaped to nothing, and without batching nothing would be left: "
                "Triton refuses the model",
                path,
                fix="take out reshape, or set max_batch_size",
                edits=model.removing(path),
            )
        return
    bad = [size for size in shape if size < 1 and size != -1]
    if bad:
        reason = f"has a dimension of {bad[0]}"
    elif _trunks(dims) != _trunks(shape):
        reason = "has not as many elements"
        if dims.count(-1) != shape.count(-1):
            reason = f"has {shape.count(-1)} variable dimensions, and dims {dims.count(-1)}"
    else:
        return
    if model.located.doubtful(*path):
        return
    model.report(
        "SHP003",
        f"{named}: reshape {_shown(shape)} of dims {_shown(dims)} {reason}: Triton refuses the "
        "model",
        path,
        fix="make both sides of every -1 have as many elements as in dims",
    )


def _trunks(shape: Sequence[int]) -> list[int]:
    """Numbers of elements between the variable dimensions, which the core compares."""
    counts = [1]
    for size in shape:
        if size == -1:
            counts.append(1)
        else:
            counts[-1] *= size
    return counts


def _shown(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"


@check("SHP001", "SHP005")
def batch_in_dims(model: LintedModel) -> None:
    """dims that hold the batch, which Triton adds itself.

    -1 in front is no evidence by itself: a sequence of any length begins with it too. What
    counts is what the exporter recorded, or a shape that is an image's, or the names that
    transformers gives to tokens.
    """
    size = model.config.max_batch_size
    if size <= 0 or backend(model) == "ensemble":
        return
    recorded = recorded_shapes(model)
    found = False
    for kind, index, entry in tensors(model.config):
        # The network gets the reshaped tensor.
        dims = list(entry.reshape.shape if entry.HasField("reshape") else entry.dims)
        field = ("reshape", "shape") if entry.HasField("reshape") else ("dims",)
        path: FieldPath = (kind, index, *field)
        if not dims or dims[0] not in (-1, 1) or any(one < 1 and one != -1 for one in dims):
            continue
        severity, why = _evidence(model, kind, entry.name, dims, recorded)
        if severity is None and kind == "output" and found and dims[0] == -1 and len(dims) > 1:
            # What holds for an input holds for an output that is written in the same way.
            severity, why = "warning", "and so does an input"
        if severity is None:
            continue
        found = True
        _report(model, path, dims, size, severity, why)
    if not found and not recorded:
        _perhaps(model)


def _perhaps(model: LintedModel) -> None:
    """Every tensor begins with -1: a sequence of any length, or the batch once more."""
    entries = [(kind, index, list(entry.dims)) for kind, index, entry in tensors(model.config)]
    if {kind for kind, _, _ in entries} != {"input", "output"}:
        return
    if any(len(dims) < 2 or dims[0] != -1 or -1 in dims[1:] for _, _, dims in entries):
        return
    kind, index, dims = entries[0]
    span = model.span(kind, index, "dims")
    model.report(
        "SHP001",
        f"every dims begins with -1: Triton adds the batch for max_batch_size "
        f"{model.config.max_batch_size}, and expects {_shown([-1, *dims])}",
        span.start if span else (kind, index, "dims"),
        fix=f"write  dims: [ {', '.join(map(str, dims[1:]))} ]  if the -1 is the batch",
        severity="info",
    )


def _report(
    model: LintedModel, path: FieldPath, dims: list[int], size: int, severity: Severity, why: str
) -> None:
    span = model.span(*path)
    rule = "SHP001" if dims[0] == -1 or severity == "error" else "SHP005"
    model.report(
        rule,
        f"{path[-1]} {_shown(dims)} {'already holds' if severity == 'error' else 'seems to hold'} "
        f"the batch{', ' + why if why else ''}: Triton adds "
        f"it for max_batch_size {size}, and expects {_shown([-1, *dims])}",
        span.start if span else path,
        fix=f"write  {path[-1]}: [ {', '.join(map(str, dims[1:]))} ]" if dims[1:]
        else "write  max_batch_size: 0",
        edits=_without_first(model, path),
        severity=severity,
    )  # fmt: skip


def _evidence(
    model: LintedModel, kind: str, name: str, dims: list[int], recorded: dict[str, tuple[int, ...]]
) -> tuple[Severity | None, str]:
    if known := recorded.get(name):
        # With the batch in front, as the exporter writes them.
        if len(known) == len(dims) and known[0] == -1:
            return "error", "says the exporter's record"
        if len(known) == len(dims) + 1:
            return None, ""
    if kind == "output":
        return None, ""
    network = backend(model) in FRAMEWORKS
    if _image(dims) and not _several(model.name) and not _several(name):
        # Code may well take several images for each row of a batch; a network does not.
        if dims[0] == -1:
            return ("error" if network else "warning"), ""
        return ("warning" if network else None), ""
    if not network:
        return None, ""
    if name in _TOKENS and len(dims) == 2 and dims[1] == -1:
        return "warning", "as a model of transformers has it"
    return None, ""


def _image(dims: list[int]) -> bool:
    """One dimension, and then an image with its channels first or last."""
    if len(dims) != 4:
        return False

    def sides(*shape: int) -> bool:
        return all(size == -1 or size >= _SMALLEST_IMAGE for size in shape)

    first = dims[1] in _CHANNELS and sides(dims[2], dims[3])
    last = dims[3] in _CHANNELS and sides(dims[1], dims[2])
    return first or last


def _several(name: str) -> bool:
    return any(word in name.lower() for word in _MANY)


def _without_first(model: LintedModel, path: FieldPath) -> tuple[Edit, ...]:
    first, second = model.span(*path, 0), model.span(*path, 1)
    if first is None or second is None:
        return ()
    if first.start == second.start:
        return (Edit(first.value, second.value, ""),)
    return (Edit(first.start, second.start, ""),)
