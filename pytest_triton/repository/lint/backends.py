"""What lint knows of backends: which one a model gets, and what each of them can do."""

from __future__ import annotations

import os
from typing import Any

from pytest_triton.repository.config import ModelConfig, backend_of
from pytest_triton.repository.lint.context import LintedModel

#: Platform -> backend, as the core of Triton has it; any other platform needs a backend.
PLATFORMS = {
    "pytorch_libtorch": "pytorch",
    "libtorch": "pytorch",
    "torch_aoti": "pytorch",
    "onnxruntime_onnx": "onnxruntime",
    "tensorrt_plan": "tensorrt",
    "tensorflow_graphdef": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
    "ensemble": "",
}
#: Backends that NVIDIA publishes, under the names that a configuration uses.
BACKENDS = (
    "pytorch", "python", "onnxruntime", "tensorrt", "tensorflow", "openvino", "dali", "fil",
    "vllm", "tensorrtllm", "identity", "repeat", "square", "rapids_identity", "paddle",
    "armnn_tflite", "redis", "hugectr", "hps", "merlin", "dlrm", "ragged_square",
)  # fmt: skip
#: Run one network on a batch of tensors, so that the shape of a tensor says what it is.
FRAMEWORKS = frozenset({"pytorch", "onnxruntime", "tensorrt", "tensorflow", "openvino"})
#: Read what a configuration leaves out of the model's file.
COMPLETING = frozenset({"onnxruntime", "tensorrt", "tensorflow", "openvino", "dali"})
#: Take a configuration as it is.
NOT_COMPLETING = frozenset({"pytorch", "ensemble", "identity", "repeat", "square"})
#: File in a version directory -> backend, in the order in which the core looks.
_FILES = (
    ("model.savedmodel", "tensorflow"), ("model.graphdef", "tensorflow"),
    ("model.plan", "tensorrt"), ("model.onnx", "onnxruntime"), ("model.xml", "openvino"),
    ("model.pt", "pytorch"), ("model.pt2", "pytorch"), ("model.py", "python"),
)  # fmt: skip
#: Bytes of a model.py that are looked at.
_MAX_CODE = 1 << 20


def backend(model: LintedModel) -> str:
    """The backend that Triton chooses: out of the configuration, else by the model's files.

    Empty when neither can tell.
    """
    found = backend_of(model.config)
    if found or model.config.platform:
        return found
    named = str(model.config.default_model_filename)
    for file, name in _FILES:
        if named == file or (not named and file in files_of(model)):
            return name
    return ""


def files_of(model: LintedModel) -> frozenset[str]:
    """Names in the version directory that the core looks at; none when it is not known."""
    if "files" not in model.memory:
        model.memory["files"] = _names(model)
    found: frozenset[str] = model.memory["files"]
    return found


def _names(model: LintedModel) -> frozenset[str]:
    if model.directory is None or not model.directory.versions:
        return frozenset()
    # The first one by name, as the core takes it.
    first = min(str(version) for version in model.directory.versions)
    try:
        return frozenset(os.listdir(model.path / first))
    except OSError:
        return frozenset()


def completes(model: LintedModel) -> bool | None:
    """Whether the backend fills what the configuration leaves out; None: nobody can tell."""
    found = backend(model)
    if found in NOT_COMPLETING:
        return False
    if found != "python":
        return True if found in COMPLETING else None
    if "completes" not in model.memory:
        model.memory["completes"] = _python_completes(model)
    answer: bool | None = model.memory["completes"]
    return answer


def _python_completes(model: LintedModel) -> bool | None:
    """A model.py that has ``auto_complete_config``; it is read as text, never run."""
    if model.directory is None or not model.directory.versions:
        return None
    name = model.config.default_model_filename or "model.py"
    for version in model.directory.versions:
        path = model.directory.version_path(version) / name
        try:
            if not path.is_file():
                return None
            with path.open("rb") as file:
                code = file.read(_MAX_CODE)
        except OSError:
            return None
        # A class that is imported from elsewhere could have it without the name being here.
        if b"auto_complete_config" in code or b"class TritonPythonModel:" not in code:
            return None
    return False


def is_tensorrt(model: LintedModel) -> bool:
    """Whether the core takes this for TensorRT: it asks for the platform, and fills it in."""
    return bool(model.config.platform == "tensorrt_plan" or backend(model) == "tensorrt")


def tensors(config: ModelConfig) -> list[tuple[str, int, Any]]:
    """("input" or "output", index, entry) for every tensor."""
    return [
        (kind, index, entry)
        for kind in ("input", "output")
        for index, entry in enumerate(getattr(config, kind))
    ]
