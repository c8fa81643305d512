"""config.pbtxt out of an export record: what the file needs, with comments for its reader."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from pytest_triton.errors import ToolError
from pytest_triton.repository.config import parse_config
from pytest_triton.repository.sidecar import ExportRecord
from pytest_triton.repository.tensors import TensorSpec, config_type

LABELS_NAME = "labels.txt"
#: Executions of every warm-up request: TorchScript profiles in the first and rewrites then.
_WARM_UP_COUNT = 2
#: Size of a dimension of a warm-up request that the export does not know.
_ANONYMOUS = 8

_NAMING = {
    "arguments": (
        "The names are arguments of forward(): Triton finds their positions by itself, and the",
        "order in this file does not matter. Rename one, and every input falls back to the order.",
    ),
    "index": (
        "TorchScript stores no names: <name>__<index> says which argument of forward() it is.",
    ),
    "order": (
        "The names are no arguments of forward() and have no index: Triton passes the inputs in",
        "the order of this file. Keep it.",
    ),
}


def config_of(
    record: ExportRecord,
    *,
    name: str = "",
    dynamic_batching: bool = True,
    max_queue_delay_microseconds: int = 0,
    warmup: bool = True,
    labels: bool = True,
    parameters: Mapping[str, str] | None = None,
    comments: bool = True,
) -> str:
    """The text of the config.pbtxt that serves this export; it is parsed before it is given.

    Names, data types and dims are those of the proof; inputs stand in the order of
    forward's arguments. The warm-up covers the smallest and the largest batch. ``labels``
    names :data:`LABELS_NAME` for the output of a classification that has labels in its record
    (the file itself is the caller's). Raises ToolError for a record that has no
    configuration of its own, or with a shape that Triton has none for.
    """
    platform = record.platform or {"torchscript": "pytorch_libtorch"}.get(record.format, "")
    if not platform:
        raise ToolError(
            f"no configuration can be derived for the format {record.format!r}",
            "write config.pbtxt by hand, or with RepositoryBuilder",
        )
    for tensor in (*record.inputs, *record.outputs):
        if not tensor.shape:
            raise ToolError(
                f"{tensor.name!r} has one number per {'row' if record.batches else 'request'}: "
                "config.pbtxt has no empty dims",
                "export it with shape [1]",
            )
    labelled = record.outputs[0].name if labels and record.labels else ""
    lines = [
        *_head(record, name, platform, comments),
        *_tensors("input", _in_order(record), record, "", comments),
        *_tensors("output", record.outputs, record, labelled, comments),
        *_batching(record, dynamic_batching, max_queue_delay_microseconds, comments),
    ]
    for key, value in (parameters or {}).items():
        lines.append(
            f"parameters {{ key: {_quoted(key)} value {{ string_value: {_quoted(value)} }} }}"
        )
    if warmup:
        lines += _warm_up(record, comments)
    text = "\n".join(lines).rstrip() + "\n"
    parse_config(text, source=f"the configuration of {name or 'the model'}")
    return text


def _head(record: ExportRecord, name: str, platform: str, comments: bool) -> Iterator[str]:
    if comments:
        what = record.architecture and f"{record.architecture} for {record.task}, "
        yield f"# {what}exported with torch {record.torch_version} as {record.format} ({record.method})."
        yield ""
    if name:
        yield f"name: {_quoted(name)}{_aside('the name of the directory', comments)}"
    yield f"platform: {_quoted(platform)}"
    if record.batches:
        if comments:
            yield ""
            yield "# Rows of one execution, at most. Triton adds the batch dimension: dims are of one row."
        yield f"max_batch_size: {record.max_batch_size}"
    elif comments:
        yield "max_batch_size: 0    # no batch dimension: dims are complete"
    yield ""


def _in_order(record: ExportRecord) -> tuple[TensorSpec, ...]:
    """The inputs as forward's arguments are ordered, where the schema tells."""
    inside = record.schema.partition("(")[2].rpartition(") ->")[0]
    names = [part.split()[-1] for part in inside.split(",")[1:] if part.split()]
    if record.naming == "arguments" and all(tensor.name in names for tensor in record.inputs):
        return tuple(sorted(record.inputs, key=lambda tensor: names.index(tensor.name)))
    return record.inputs


def _tensors(
    kind: str, tensors: tuple[TensorSpec, ...], record: ExportRecord, labelled: str, comments: bool
) -> Iterator[str]:
    if comments and kind == "input":
        yield from (f"# {line}" for line in _NAMING.get(record.naming, ()))
    yield f"{kind} ["
    for at, tensor in enumerate(tensors):
        dims = ", ".join(map(str, tensor.dims))
        yield "  {"
        yield f"    name: {_quoted(tensor.name)}"
        yield f"    data_type: {config_type(tensor.datatype)}{_range(tensor, record, comments)}"
        yield f"    dims: [ {dims} ]{_dims(tensor, record, comments)}"
        if tensor.name == labelled:
            note = _aside("one label per line, for the classification extension", comments)
            yield f"    label_filename: {_quoted(LABELS_NAME)}{note}"
        yield "  }" + "," * (at + 1 < len(tensors))
    yield "]"
    yield ""


def _range(tensor: TensorSpec, record: ExportRecord, comments: bool) -> str:
    limits = record.ranges.get(tensor.name)
    if limits is None or tensor.datatype[:3] not in ("INT", "UIN"):
        return ""
    if tensor.name.partition("__")[0] == "attention_mask":
        return _aside("1 for a token, 0 for padding", comments)
    low, high = (int(limit) for limit in limits)
    return _aside(f"{low} to {high - 1}", comments)


def _dims(tensor: TensorSpec, record: ExportRecord, comments: bool) -> str:
    named = [size for size in tensor.shape if isinstance(size, str) and size in record.axes]
    said = [f"{size}: {record.axes[size][0]} to {record.axes[size][1]} are proven"
            for size in dict.fromkeys(named)]  # fmt: skip
    return _aside("; ".join(said), comments)


def _batching(record: ExportRecord, wanted: bool, delay: int, comments: bool) -> Iterator[str]:
    if not wanted or record.max_batch_size < 2:
        return
    if comments:
        yield "# Requests that wait are executed together. A delay (max_queue_delay_microseconds) adds"
        yield "# that much to the latency and pays when executions are short and requests are rare."
        if any(isinstance(size, str) or size < 0 for t in record.inputs for size in t.shape):
            yield "# Only requests of equal shapes are put together: pad to a few lengths."
    inside = f"max_queue_delay_microseconds: {delay} " if delay else ""
    yield f"dynamic_batching {{ {inside}}}"
    yield ""


def _warm_up(record: ExportRecord, comments: bool) -> Iterator[str]:
    """One request of one row and one of the largest batch, of the sizes that were traced."""
    axes = next((dict(proof.axes) for proof in record.parity if proof.traced), {})
    for name, (low, high) in record.axes.items():
        axes.setdefault(name, max(low, min(high, _ANONYMOUS)))
    if any(tensor.datatype == "BYTES" for tensor in record.inputs):
        return
    if comments:
        yield "# The first executions of a TorchScript file are slow: it profiles and rewrites itself."
        yield "# The model is READY only behind these. Zeros are valid token ids; random ones may not be."
    yield "model_warmup ["
    batches = sorted({min(1, record.max_batch_size), record.max_batch_size})
    for at, batch in enumerate(batches):
        title = "one row" if batch == 1 else f"{batch} rows" if batch else "one request"
        yield "  {"
        yield f"    name: {_quoted(title)}"
        yield f"    batch_size: {max(batch, 1)}"
        yield f"    count: {_WARM_UP_COUNT}"
        for tensor in record.inputs:
            dims = ", ".join(str(_warm_size(size, axes)) for size in tensor.shape)
            data = "random_data" if _any_value(tensor, record) else "zero_data"
            yield "    inputs {"
            yield f"      key: {_quoted(tensor.name)}"
            yield (
                f"      value {{ data_type: {config_type(tensor.datatype)} "
                f"dims: [ {dims} ] {data}: true }}"
            )
            yield "    }"
        yield "  }" + "," * (at + 1 < len(batches))
    yield "]"


def _warm_size(size: int | str, axes: Mapping[str, int]) -> int:
    if isinstance(size, str):
        return axes.get(size, _ANONYMOUS)
    return size if size > 0 else _ANONYMOUS


def _any_value(tensor: TensorSpec, record: ExportRecord) -> bool:
    """Whether random numbers make sense: any float does, unless a range was said."""
    return tensor.datatype in ("FP16", "FP32", "FP64") and tensor.name not in record.ranges


def _aside(text: str, comments: bool) -> str:
    return f"    # {text}" if comments and text else ""


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
