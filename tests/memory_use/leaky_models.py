"""Small Python models: one that keeps nothing, and ones that keep something somewhere."""

from __future__ import annotations

from pathlib import Path

_CONFIG = """backend: "python"
max_batch_size: 4
input [ { name: "IN" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "OUT" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { kind: KIND_CPU } ]
"""
_MODEL = """import numpy as np
import triton_python_backend_utils as pb_utils
{module}

class TritonPythonModel:
    def initialize(self, args):
        self.kept = []
        {initialize}

    def execute(self, requests):
        answers = []
        for request in requests:
            given = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            {execute}
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", given * 2)]))
        return answers
"""
#: What is kept: 1 MiB of each request of more than one row, in the model's process.
EACH_BATCH = "self.kept += [np.ones(1 << 20, np.uint8)] if len(given) > 1 else []"
#: A process with 4 MiB for each load, which outlives the model's own.
EACH_LOAD = (
    "__import__('subprocess').Popen(['python3', '-S', '-c', "
    "'import time; kept = b\"x\" * (4 << 20); time.sleep(600)'], start_new_session=True)"
)
REFUSES = "assert given.min() > 1e9, 'only large numbers make sense'"


def write(
    repository: Path, name: str, *, module: str = "", initialize: str = "pass",
    execute: str = "pass",
) -> None:  # fmt: skip
    """A model that doubles its input."""
    version = repository / name / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(f'name: "{name}"\n{_CONFIG}')
    source = _MODEL.format(module=module, initialize=initialize, execute=execute)
    (version / "model.py").write_text(source)
