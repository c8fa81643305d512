"""From the text of a load error to the place to look at and what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

CONFIG = "config.pbtxt"
Location = tuple[str, int]


class Rule(NamedTuple):
    """A load error that is known: what it looks like, and what helps."""

    pattern: str
    remedy: str
    #: What to look for in config.pbtxt; ``*``: the quoted names in the reason.
    anchors: tuple[str, ...] = ("*",)
    #: The rule of lint that finds it before there is a server, and explains it.
    lint: str = ""


RULES: tuple[Rule, ...] = (
    Rule(
        r"shared memory (?:key|pool|region)",
        "make /dev/shm larger (docker: --shm-size=1g; mount -o remount,size=1g /dev/shm)",
        (),
    ),
    Rule(r"Python model file", "add that file, or correct default_model_filename", (),
         lint="LAY002"),
    Rule(r"breaks the command that starts", "rename it: letters, digits, _ and - are safe",
         ("default_model_filename",), lint="LAY012"),
    Rule(r"No module named '\d+\.", "make it a file that can be imported", ()),
    Rule(r"Error parsing text-format|failed to read text proto",
         "correct the syntax there (pytest-triton lint shows all of it)", ()),
    Rule(r"unexpected directory name '.*' for model",
         "make the name in config.pbtxt and the directory's name equal", ("name",), lint="CFG009"),
    Rule(r"unexpected platform type",
         "use backend instead of platform, or platform: \"pytorch_libtorch\" for TorchScript",
         ("platform",), lint="CFG011"),
    Rule(r"unable to find backend library|Could not determine backend",
         "this server has the backends python and pytorch: set backend to one of them, or use "
         "--triton-launcher docker", ("backend", "platform")),
    Rule(r"'optional' is set to true for input",
         "remove optional: true, or use the Python backend", lint="PT015"),
    Rule(r"An input of type '.*' was detected|Multiple inputs of kind DictType",
         "export a wrapper whose forward takes tensors only, or one Dict[str, Tensor]",
         ("input",), lint="PT002"),
    Rule(r"Triton only supports 1 dimensional List of String",
         "add  reshape { shape: [ ] }  where the model batches, else use one dimension",
         lint="PT009"),
    Rule(r"failed to convert '.*' to (?:boolean|integral number)",
         "write true, false, or a number, without blanks", lint="PT022"),
    Rule(r"follow(?:s)? (?:the )?<name>__<index> naming convention|is not supported by PyTorch",
         "give it a name with its position: NAME__0", lint="PT028"),
    Rule(r"must contain at least one (?:input|output), none|configuration expects 0 inputs",
         "write down all inputs and outputs: TorchScript does not tell them", ("input", "output"),
         lint="PT007"),
    Rule(r"refers to input index \d+ which doesn't exist",
         "number the inputs from 0, without a gap", lint="PT003"),
    Rule(r"supported version for reading is", "export it again with the server's torch", (),
         lint="PT018"),
    Rule(r"failed to stat file", "delete the link that leads nowhere", (), lint="LAY006"),
    Rule(r"configuration expects (\d+) inputs?, model provides (\d+)",
         "give config.pbtxt one input for each argument of forward, or export the model again",
         ("input",), lint="PT001"),
    Rule(r"at least one version must be available",
         "put the model's file into a directory whose name is a number, e.g. 1/, that the "
         "version policy admits", ("version_policy",)),
    Rule(r"kind KIND_GPU but no GPUs",
         "use kind: KIND_CPU (or leave the kind out), or run on a machine with a GPU",
         ("KIND_GPU", "instance_group"), lint="GRP003"),
    Rule(r"invalid or unsupported gpu id", "name a GPU that this machine has", ("gpus",),
         lint="GRP003"),
    Rule(r"dimension must be integer >= 1", "use positive dims, or -1 for a variable one",
         lint="SHP002"),
    Rule(r"must specify '(dims|data_type|name)'", "add what is missing"),
    Rule(r"max_batch_size", "correct it", ("max_batch_size",)),
    Rule(r"unable to find '.*' for model instance",
         "put the exported model there, or set default_model_filename",
         ("default_model_filename",), lint="LAY002"),
    Rule(r"unsupported datatype (TYPE_\w+)",
         "use a data type that TorchScript has (no UINT16, UINT32, UINT64, BF16)", lint="PT008"),
    Rule(r"No module named '([^']+)'",
         "install that package in the environment that runs this, or name one that has it with "
         "--triton-server-python", ()),
    Rule(r"has no attribute 'TritonPythonModel'",
         "model.py has to define the class TritonPythonModel", ()),
    Rule(r"Stub process '.*' is not healthy",
         "its Python process ended while it loaded: run the import and initialize by hand, and "
         "look for os._exit, a crash or too little memory", ()),
    Rule(r"depends on '.*' whose required version",
         "write model_version: -1 for the latest: left out it is 0 (lint rule ENS005)",
         ("model_version", "ensemble_scheduling")),
    Rule(r"in ensemble .*(?:inconsistent|mapped|mapping)",
         "make the tensors of its steps agree (lint rules ENS012 to ENS015)",
         ("ensemble_scheduling",)),
    Rule(r"ensemble .* contains models that are not available",
         "repair the models that it is made of first", ("ensemble_scheduling",), lint="ENS006"),
    Rule(r"failed to load model '.*':",
         "export it again with torch.jit.save, in a torch that is not newer than the server's", (),
         lint="PT016"),
    Rule(r"dynamic batching|preferred", "correct dynamic_batching",
         ("preferred_batch_size", "dynamic_batching")),
    Rule(r"sequence batching|CONTROL_SEQUENCE", "correct sequence_batching",
         ("*", "sequence_batching")),
    Rule(r"reshape", "make the reshape have as many elements as dims", ("*", "reshape")),
    Rule(r"warmup|/warmup/", "correct model_warmup, or add its file to warmup/",
         ("*", "model_warmup")),
    Rule(r"label", "correct label_filename, or add that file", ("label_filename",)),
    Rule(r"canonical path for|EXECUTION_ENV_PATH", "correct EXECUTION_ENV_PATH",
         ("EXECUTION_ENV_PATH",)),
)  # fmt: skip

_FRAME = re.compile(r"^\s*(/[^()\n]+)\((\d+)\): ", re.MULTILINE)
_SYNTAX = re.compile(r"\((\S+\.py), line (\d+)\)")
_PARSE = re.compile(r"ModelConfig: (\d+):(\d+): ")
_QUOTED = re.compile(r"'([^'\n]+)'|\"([^\"\n]+)\"")
_STATUS = re.compile(
    r"^(?:Internal|Invalid argument|Unavailable|Not found|Unsupported|Unknown|Already exists)"
    r"(?: -|:) "
)


def bare(reason: str) -> str:
    """A reason without Triton's status word and without the frames of a traceback."""
    text = _STATUS.sub("", reason.strip())
    return text.split("\n\nAt:\n")[0].rstrip(";\n ")


def shown(path: Path) -> str:
    """A path as a person would type it here."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)


def explain(reason: str, model: str, repository: Path) -> tuple[Location | None, str]:
    """Where to look (file, line; line 0 when unknown) and what to do about it."""
    directory = repository / model
    rule = next((rule for rule in RULES if re.search(rule.pattern, reason)), None)
    remedy = rule.remedy if rule else ""
    if rule and rule.lint:
        remedy = f"{remedy} (lint rule {rule.lint})"
    location = (
        _in_python(reason, directory)
        or _in_parse_error(reason, directory)
        or _in_named_file(reason, directory)
        or _in_config(reason, model, directory, rule.anchors if rule else ("*",))
    )
    return location, remedy


def _in_python(reason: str, directory: Path) -> Location | None:
    """The innermost frame of the model's own code, else of any file."""
    frames = [(Path(name), int(line)) for name, line in _FRAME.findall(reason)]
    if own := [frame for frame in frames if frame[0].is_relative_to(directory)]:
        return shown(own[0][0]), own[0][1]
    if real := [frame for frame in frames if frame[0].is_file()]:
        return shown(real[0][0]), real[0][1]
    if found := _SYNTAX.search(reason):
        for path in sorted(directory.glob(f"*/{found[1]}"), reverse=True):
            return shown(path), int(found[2])
    if "TritonPythonModel" in reason or "No module named" in reason or "Stub process" in reason:
        for path in sorted(directory.glob("*/model.py"), reverse=True):
            return shown(path), 0
    return None


def _in_parse_error(reason: str, directory: Path) -> Location | None:
    if found := _PARSE.search(reason):
        return shown(directory / CONFIG), int(found[1])
    return None


def _in_named_file(reason: str, directory: Path) -> Location | None:
    """A path in the reason that lies in the model's directory, there or not."""
    for text in re.findall(r"(/[^\s'\",;]+)", reason):
        path = Path(text.rstrip(".:"))
        if path.is_relative_to(directory) and path != directory:
            return shown(path), 0
    if "failed to load model" in reason:
        for path in sorted(directory.glob("*/model.pt"), reverse=True):
            return shown(path), 0
    return None


def _in_config(reason: str, model: str, directory: Path, anchors: Sequence[str]) -> Location | None:
    """The line of config.pbtxt that the reason speaks of."""
    path = directory / CONFIG
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return (shown(directory), 0) if directory.exists() else None
    for anchor in anchors:
        if anchor == "*":
            names = [first or second for first, second in _QUOTED.findall(reason)]
            wanted = [re.escape(f'"{name}"') for name in names if name != model]
        else:
            wanted = [rf'(?<![\w"]){anchor}\b']
        for pattern in wanted:
            for number, line in enumerate(lines, 1):
                if re.search(pattern, line.partition("#")[0]):
                    return shown(path), number
    return shown(path), 0
