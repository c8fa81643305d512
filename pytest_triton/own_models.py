"""Small Python models of ours that disposable servers have beside the subject's own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

BROKEN = "pytest_triton_broken"
FAILING = "pytest_triton_failing"
#: Answers [input, its version, its parameter VALUE, what its file says].
CONTROLLED = "pytest_triton_control"
#: The same with one version, and a second configuration under configs/.
CUSTOM = "pytest_triton_custom"
#: Name of the second configuration (--model-config-name), and what it says VALUE is.
CUSTOM_CONFIG = "pytest_triton"
CUSTOM_VALUE, PLAIN_VALUE = 42, 1
#: Of a server that polls: one whose configuration changes, one that gets a version, one that
#: goes, and one that nobody touches.
CHANGED, GROWN, GONE = "pytest_triton_changed", "pytest_triton_grown", "pytest_triton_gone"
UNTOUCHED = "pytest_triton_untouched"

#: 9 comes before 10 only for who reads them as numbers.
VERSIONS = (2, 9, 10)
#: Directories that are no versions, whatever is in them.
NO_VERSIONS = ("007", "next")

CONFIG = """
backend: "python"
max_batch_size: 0
input [ { name: "IN" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "OUT" data_type: TYPE_INT32 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
TELLING_CONFIG = CONFIG.replace(
    'name: "OUT" data_type: TYPE_INT32 dims: [ 1 ]', 'name: "OUT" data_type: TYPE_INT32 dims: [ 4 ]'
)
BROKEN_SOURCE = """
class TritonPythonModel:
    def initialize(self, args):
        raise RuntimeError("this model is broken on purpose")

    def execute(self, requests):
        raise RuntimeError("never reached")
"""
# Raised, not returned: Triton counts an error that a response carries as a success.
_FAILING = """
class TritonPythonModel:
    def execute(self, requests):
        raise RuntimeError("this model fails on purpose")
"""
_TELLING = """
import json

import numpy as np
import triton_python_backend_utils as pb_utils

FILE = 0


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"]).get("parameters", {})
        if "FAIL" in parameters:
            raise RuntimeError("this load fails on purpose")
        value = int(parameters.get("VALUE", {}).get("string_value", "0"))
        self.tells = [int(args["model_version"]), value, FILE]

    def execute(self, requests):
        responses = []
        for request in requests:
            given = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            answer = np.array([given[0], *self.tells], dtype=np.int32)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", answer)]))
        return responses
"""


def telling_source(file: int = 0) -> str:
    """model.py of a model that tells its version, its parameter VALUE, and ``file``."""
    return _TELLING.replace("FILE = 0", f"FILE = {file}")


def parameter(value: int) -> str:
    """The text of the parameter VALUE in a config.pbtxt."""
    return f'parameters {{ key: "VALUE" value {{ string_value: "{value}" }} }}\n'


def write_python_model(
    directory: Path,
    source: str,
    config: str = CONFIG,
    versions: Sequence[int | str] = (1,),
) -> None:
    """A model of the python backend, one INT32 in and one out unless ``config`` says else."""
    for version in versions:
        (directory / str(version)).mkdir(parents=True)
        (directory / str(version) / "model.py").write_text(source, "utf-8")
    (directory / "config.pbtxt").write_text(f'name: "{directory.name}"{config}', "utf-8")


def write_disposable(repository: Path, model: Path) -> None:
    """The repository of a disposable server: a copy of ``model``, and all of ours."""
    shutil.copytree(model, repository / model.name)
    write_python_model(repository / BROKEN, BROKEN_SOURCE)
    write_python_model(repository / FAILING, _FAILING)
    telling = telling_source()
    write_python_model(repository / CONTROLLED, telling, TELLING_CONFIG, (*VERSIONS, *NO_VERSIONS))
    custom = repository / CUSTOM
    write_python_model(custom, telling, TELLING_CONFIG + parameter(PLAIN_VALUE))
    (custom / "configs").mkdir()
    (custom / "configs" / f"{CUSTOM_CONFIG}.pbtxt").write_text(
        f'name: "{CUSTOM}"{TELLING_CONFIG}{parameter(CUSTOM_VALUE)}', "utf-8"
    )


def write_polled(repository: Path) -> None:
    """The repository of a server that polls: models that tell what they are."""
    for name in (CHANGED, GROWN, GONE, UNTOUCHED):
        write_python_model(repository / name, telling_source(), TELLING_CONFIG)
