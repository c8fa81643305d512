"""The two forms of a Llama as models of a repository that Triton serves as it stands."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pytest_triton.errors import ToolError
from pytest_triton.export.model import export_model
from pytest_triton.llama.architecture import Llama
from pytest_triton.llama.checkpoint import has_tokenizer
from pytest_triton.repository.config import CONFIG_NAME
from pytest_triton.repository.sidecar import ExportRecord, read_sidecar

STREAM, LOGITS = "llama_stream", "llama_logits"
SERVED = Path(__file__).parent / "served"
#: Seconds for an export: tracing, writing and proving a model of many gigabytes.
_EXPORT = 1800.0

_CONFIG = """\
# A Llama that streams greedy tokens out of a key-value cache, many streams at once.

name: "{name}"
backend: "python"
model_transaction_policy {{ decoupled: true }}
max_batch_size: 0

input [
  {{ name: "input_ids" data_type: TYPE_INT64 dims: [ -1 ]{ids} }},
{text_in}  {{ name: "max_tokens" data_type: TYPE_INT32 dims: [ 1 ] optional: true }},
  {{ name: "ignore_eos" data_type: TYPE_BOOL dims: [ 1 ] optional: true }}
]
output [
{text_out}  {{ name: "token_ids" data_type: TYPE_INT64 dims: [ 1 ] }}
]

# One instance decodes every stream; a second one would be a second copy of the weights. Without
# a GPU named, Triton makes one on each.
instance_group [ {{ kind: {kind} count: 1{gpus} }} ]

parameters {{ key: "weights" value {{ string_value: "{weights}" }} }}
parameters {{ key: "seed" value {{ string_value: "{seed}" }} }}
parameters {{ key: "dtype" value {{ string_value: "{dtype}" }} }}
parameters {{ key: "streams" value {{ string_value: "{streams}" }} }}
parameters {{ key: "threads" value {{ string_value: "{threads}" }} }}
parameters {{ key: "max_length" value {{ string_value: "{length}" }} }}
"""


def write_stream(repository: Path, llama: Llama) -> Path:
    """The decoupled model with its key-value cache; its directory. It copies no weights."""
    text = has_tokenizer(llama.weights)
    model = repository / STREAM
    version = model / "1"
    version.mkdir(parents=True)
    for path in sorted([SERVED / "model.py", *SERVED.glob("llama_*.py")]):
        shutil.copyfile(path, version / path.name)
    (version / "llama.json").write_text(json.dumps(llama.config, indent=1) + "\n", "utf-8")
    (model / "config.pbtxt").write_text(
        _CONFIG.format(
            name=STREAM,
            ids=" optional: true" if text else "",
            text_in='  { name: "text_input" data_type: TYPE_STRING dims: [ 1 ] optional: true },\n'
            if text
            else "",
            text_out='  { name: "text_output" data_type: TYPE_STRING dims: [ 1 ] },\n'
            if text
            else "",
            gpus=" gpus: [ 0 ]" if llama.device == "gpu" else "",
            kind="KIND_GPU" if llama.device == "gpu" else "KIND_CPU",
            weights=_quoted(llama.weights.resolve() if llama.weights else ""),
            seed=llama.seed, threads=llama.torch_threads, dtype=llama.dtype,
            streams=llama.streams, length=llama.max_length,
        ),
        "utf-8",
    )  # fmt: skip
    return model


def write_logits(
    repository: Path, llama: Llama, *, length: int, batch: int, say: Callable[[str], None]
) -> ExportRecord:
    """TorchScript of the same weights: logits [vocabulary] of the last token, in FP32.

    It is traced on the device that serves it, in a process of its own: its memory is free
    again afterwards. Raises ToolError with the reason of an export that fails.
    """

    def export(place: Path) -> ExportRecord:
        order = {**llama.order(), "path": str(place), "length": length, "batch": batch}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest_triton.llama.exporting"],
                input=json.dumps(order), capture_output=True, text=True, timeout=_EXPORT,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ToolError(
                f"the export did not end within {_EXPORT / 60:.0f} minutes",
                "try a shorter --max-length or another --dtype",
            ) from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no word"]
            raise ToolError(
                f"the export to TorchScript failed: {lines[-1]}",
                "look whether memory is enough; --form stream leaves TorchScript out",
            )
        if (record := read_sidecar(place)) is None:
            raise ToolError("the export left no side-car", "look whether the disk is full")
        return record

    say(f"exporting {LOGITS} to TorchScript, with its proof")
    record = export_model(repository, LOGITS, export)
    if llama.device == "gpu":
        config = repository / LOGITS / CONFIG_NAME
        one = "\ninstance_group [ { kind: KIND_GPU count: 1 gpus: [ 0 ] } ]\n"
        config.write_text(config.read_text("utf-8") + one, "utf-8")
    return record


def _quoted(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"')
