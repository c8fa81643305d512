"""Small Python models of ours that say when they worked, and which of their files they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pytest_triton.own_models import write_python_model

#: Sleeps as long as it is told, and says what it made of its input and when it did.
BUSY = "pytest_triton_busy"
#: Answers at once, and says which version, configuration and file of it answered.
RELOADED = "pytest_triton_reloaded"
#: Input and outputs: [value, milliseconds] -> a number made of the value; [began, ended, turn]:
#: nanoseconds of CLOCK_MONOTONIC, which is one clock for all processes, and a count from 1.
WORK, MADE, SPAN = "WORK", "MADE", "SPAN"
#: Input and outputs of the other: a number, one made of it, [version, parameter VALUE, FILE].
GIVEN, TELLS = "GIVEN", "TELLS"

_CPU = "instance_group [ { kind: KIND_CPU count: 1 } ]"
_BUSY_CONFIG = """
backend: "python"
max_batch_size: 1
input [ { name: "WORK" data_type: TYPE_INT32 dims: [ 2 ] } ]
output [
  { name: "MADE" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "SPAN" data_type: TYPE_INT64 dims: [ 3 ] }
]
"""
_BUSY = """
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.turn = 0

    def execute(self, requests):
        responses = []
        for request in requests:
            began = time.monotonic_ns()
            work = pb_utils.get_input_tensor_by_name(request, "WORK").as_numpy()
            value, milliseconds = work.reshape(-1).tolist()
            time.sleep(milliseconds / 1000)
            self.turn += 1
            made = np.array([[3 * value + 1]], np.int32)
            span = np.array([[began, time.monotonic_ns(), self.turn]], np.int64)
            outputs = [pb_utils.Tensor("MADE", made), pb_utils.Tensor("SPAN", span)]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses
"""
RELOADED_CONFIG = f"""
backend: "python"
max_batch_size: 4
input [ {{ name: "GIVEN" data_type: TYPE_INT32 dims: [ 1 ] }} ]
output [
  {{ name: "MADE" data_type: TYPE_INT32 dims: [ 1 ] }},
  {{ name: "TELLS" data_type: TYPE_INT32 dims: [ 3 ] }}
]
{_CPU}
"""
_RELOADED = """
import json

import numpy as np
import triton_python_backend_utils as pb_utils

FILE = 0


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"]).get("parameters", {})
        value = int(parameters.get("VALUE", {}).get("string_value", "0"))
        self.tells = [int(args["model_version"]), value, FILE]

    def execute(self, requests):
        responses = []
        for request in requests:
            given = pb_utils.get_input_tensor_by_name(request, "GIVEN").as_numpy()
            tells = np.array([self.tells] * len(given), np.int32)
            outputs = [pb_utils.Tensor("MADE", 3 * given + 1), pb_utils.Tensor("TELLS", tells)]
            asked = request.requested_output_names()
            outputs = [output for output in outputs if output.name() in asked]
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses
"""


def made(value: int) -> int:
    """What both models make of a value."""
    return 3 * value + 1


def reloaded_source(file: int = 0) -> str:
    """model.py of :data:`RELOADED` that tells ``file``."""
    return _RELOADED.replace("FILE = 0", f"FILE = {file}")


def limited(resource: str, *, count: int = 1, priority: int = 1) -> str:
    """``instance_group`` of one instance that takes so many of a resource to execute."""
    return (
        "instance_group [ { kind: KIND_CPU count: 1 rate_limiter { "
        f'resources [ {{ name: "{resource}" global: true count: {count} }} ] priority: {priority}'
        " } } ]"
    )


def write_busy(repository: Path, groups: Mapping[str, str] | None = None) -> Path:
    """A repository of :data:`BUSY` models: name -> ``instance_group``; one by default."""
    for name, group in (groups or {BUSY: _CPU}).items():
        write_python_model(repository / name, _BUSY, _BUSY_CONFIG + group)
    return repository


def write_reloaded(repository: Path) -> Path:
    """A repository of :data:`RELOADED`, version 1."""
    write_python_model(repository / RELOADED, reloaded_source(), RELOADED_CONFIG)
    return repository
