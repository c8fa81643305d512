"""A Python-based Triton backend that serves TorchScript as NVIDIA's ``pytorch`` backend does.

Triton loads this file for every model with ``platform: "pytorch_libtorch"`` or
``backend: "pytorch"`` when the folder that holds it is called ``pytorch`` in the backend
directory. The sibling modules are imported by their plain names: Triton puts this folder on
``sys.path``. torch is imported in ``initialize`` only; a start for auto-completion stays cheap.

What a Python-based backend cannot do as the C++ one:

- the reason of a failed load reads ``Internal: <code>: <text>`` instead of ``<code>: <text>``;
- every instance has a process of its own: ``ENABLE_WEIGHT_SHARING`` shares nothing (a warning
  says so), and settings that are global in C++ (threads, JIT) do not leak between models;
- a batch that fails as a whole is counted as an execution;
- inputs are copies of the server's memory, never the memory itself;
- strings that no request asked for are not sent;
- behind the words of an error, C++ sometimes prints frames of its own (``Exception raised
  from ...``).

Where the C++ backend crashes or reads stray memory, a load or a request is refused instead.
"""

from __future__ import annotations

import json
from typing import Any

import triton_python_backend_utils as pb_utils
from torchscript_refusal import Refusal, load_error, without_traceback


class TritonPythonModel:
    """One instance of one model version."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """TorchScript files do not say enough to complete anything."""
        name = auto_complete_model_config.as_dict().get("name", "")
        pb_utils.Logger.log_warn(
            f"skipping model configuration auto-complete for '{name}': not supported for pytorch "
            "backend"
        )
        return auto_complete_model_config

    def __init__(self) -> None:
        # Triton looks for these on the object: no layer in between, and no frame of ours in
        # the text of an error.
        self.initialize = without_traceback(self._initialize)

    def _initialize(self, args: dict[str, str]) -> Exception | None:
        """Loads the model; answers the error that Triton shall report, if any."""
        try:
            from torchscript_instance import Instance

            self._instance = Instance(args, json.loads(args["model_config"]))
        except Refusal as refusal:
            return load_error(refusal)
        self.execute = self._instance.execute
        return None

    def execute(self, requests: list[Any]) -> list[Any]:  # replaced by ``initialize``
        raise RuntimeError("execute before initialize")

    def finalize(self) -> None:
        """Frees the module before the process ends."""
        self.execute = None
        self._instance = None
        pb_utils.Logger.log_verbose("TRITONBACKEND_ModelInstanceFinalize: delete instance state")
