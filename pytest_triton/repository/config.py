"""config.pbtxt: read, write, and what a server makes of it.

Parsed by protobuf's own ``text_format`` against the message that tritonclient ships.
tritonclient.grpc costs 0.1 to 0.4 s to import, and only one generated module of it is needed:
that is loaded by itself, and not before it is needed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pytest_triton.errors import ToolError
from pytest_triton.repository.tensors import wire_type

#: inference.ModelConfig; the generated class has no types.
ModelConfig = Any

CONFIG_NAME = "config.pbtxt"
_PACKAGE, _MODULE = "tritonclient", "model_config_pb2"
#: Bytes. The largest configuration in NVIDIA's own repositories has 60 kB; this one takes the
#: parser a second or two.
MAX_CONFIG_BYTES = 512 * 1024

#: Platforms that name their backend; ``ensemble`` needs none.
_BACKEND_OF_PLATFORM = {
    "pytorch_libtorch": "pytorch",
    "libtorch": "pytorch",
    "torch_aoti": "pytorch",
    "onnxruntime_onnx": "onnxruntime",
    "tensorrt_plan": "tensorrt",
    "tensorflow_graphdef": "tensorflow",
    "tensorflow_savedmodel": "tensorflow",
    "ensemble": "ensemble",
}
_DEFAULT_FILE = {
    "pytorch": "model.pt",
    "python": "model.py",
    "onnxruntime": "model.onnx",
    "tensorrt": "model.plan",
    "openvino": "model.xml",
}


class ConfigError(ToolError):
    """A config.pbtxt that cannot be read; ``line`` and ``column`` count from 1, 0 if unknown."""

    def __init__(self, path: Path | str, reason: str, line: int = 0, column: int = 0) -> None:
        where = f"{path}:{line}:{column}" if line else f"{path}"
        super().__init__(f"{where}: {reason}", "correct the file; Triton refuses it as it is")
        self.path, self.reason, self.line, self.column = Path(path), reason, line, column


class TooLarge(ConfigError):
    """A config.pbtxt of more than MAX_CONFIG_BYTES; Triton reads it."""


class EncodingError(ConfigError):
    """A config.pbtxt that is no UTF-8; Triton takes the bytes as they are."""


@lru_cache(maxsize=1)
def _message() -> Any:
    """tritonclient's model_config_pb2, out of its file: the package around it imports grpc."""
    from importlib.util import find_spec, module_from_spec, spec_from_file_location

    if (loaded := sys.modules.get(f"{_PACKAGE}.grpc.{_MODULE}")) is not None:
        return loaded
    package = find_spec(_PACKAGE)
    for folder in package.submodule_search_locations or () if package else ():
        path = Path(folder, "grpc", f"{_MODULE}.py")
        spec = spec_from_file_location(_MODULE, path) if path.is_file() else None
        if spec is not None and spec.loader is not None:
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    from tritonclient.grpc import model_config_pb2

    return model_config_pb2


def new_config(**fields: Any) -> ModelConfig:
    """An empty ``inference.ModelConfig``, or one with these fields."""
    return _message().ModelConfig(**fields)


def parse_config(text: str, *, source: Path | str = CONFIG_NAME) -> ModelConfig:
    """Text -> ModelConfig. Raises ConfigError with the position."""
    from google.protobuf import text_format

    config = new_config()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as error:
        line, column = error.GetLine() or 0, error.GetColumn() or 0
        reason = str(error).removeprefix(f"{line}:{column} : ")
        raise ConfigError(source, reason, line, column) from None
    except RecursionError:
        raise ConfigError(source, "messages are nested too deep") from None
    except ValueError as error:  # a number that its enumeration cannot hold
        raise ConfigError(source, str(error)) from None
    return config


def read_config(path: Path | str) -> ModelConfig:
    """The configuration in a file, or in a model's directory. Raises ConfigError."""
    path = Path(path)
    if path.is_dir():
        path = path / CONFIG_NAME
    return parse_config(read_text(path), source=path)


def read_text(path: Path, *, errors: str = "strict") -> str:
    """The text of a configuration, unparsed. Raises ConfigError for what is no such text.

    Bytes that are no UTF-8 raise EncodingError, unless ``errors`` (as of ``bytes.decode``)
    says what becomes of them.
    """
    try:
        # A fifo would wait for its writer for ever.
        if path.exists() and not path.is_file():
            raise ConfigError(path, "not a regular file")
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(path, error.strerror or str(error)) from None
    if len(data) > MAX_CONFIG_BYTES:
        raise TooLarge(path, f"larger than {MAX_CONFIG_BYTES} bytes")
    try:
        return data.decode("utf-8", errors)
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = error.start - before.rfind(b"\n")
        reason = f"not UTF-8 text: byte {data[error.start]:#04x}"
        raise EncodingError(path, reason, before.count(b"\n") + 1, column) from None


def format_config(config: ModelConfig) -> str:
    """ModelConfig -> text that :func:`parse_config` reads back."""
    from google.protobuf import text_format

    return str(text_format.MessageToString(config, as_utf8=True))


def write_config(config: ModelConfig | str, path: Path) -> None:
    """Write a configuration (a message, or text verbatim) so that no reader sees half of it."""
    text = config if isinstance(config, str) else format_config(config)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


@dataclass(frozen=True, slots=True)
class ModelTensor:
    """A tensor as the server's metadata shows it: ``shape`` starts with -1 if the model batches."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False
    label_file: str = ""


def _datatype(number: int) -> str:
    known = _message().DataType.DESCRIPTOR.values_by_number
    # data_type: 99 parses, in Triton too.
    return wire_type(known[number].name if number in known else "TYPE_INVALID")


def _tensors(entries: Iterable[Any], batches: bool) -> tuple[ModelTensor, ...]:
    return tuple(
        ModelTensor(
            name=entry.name,
            datatype=_datatype(entry.data_type),
            shape=((-1,) if batches else ()) + tuple(entry.dims),
            optional=bool(getattr(entry, "optional", False)),
            label_file=str(getattr(entry, "label_filename", "")),
        )
        for entry in entries
    )


def inputs_of(config: ModelConfig) -> tuple[ModelTensor, ...]:
    """The inputs, with the shapes of the model's metadata."""
    return _tensors(config.input, config.max_batch_size > 0)


def outputs_of(config: ModelConfig) -> tuple[ModelTensor, ...]:
    """The outputs, with the shapes of the model's metadata."""
    return _tensors(config.output, config.max_batch_size > 0)


def selected_versions(config: ModelConfig, present: Iterable[int]) -> tuple[int, ...]:
    """The versions out of ``present`` that the version policy serves, in rising order."""
    existing = sorted(set(present))
    policy = config.version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return tuple(existing)
    if choice == "specific":
        wanted = set(policy.specific.versions)
        return tuple(version for version in existing if version in wanted)
    if choice is None and config.HasField("version_policy"):
        return tuple(existing)  # version_policy { } says neither: Triton serves all of them
    count = policy.latest.num_versions if choice == "latest" else 1
    return tuple(existing[len(existing) - min(count, len(existing)) :])


def backend_of(config: ModelConfig) -> str:
    """``pytorch``, ``python``, ``ensemble``, …; empty if only file names can tell."""
    if config.backend:
        return str(config.backend)
    if config.WhichOneof("scheduling_choice") == "ensemble_scheduling":
        return "ensemble"
    return _BACKEND_OF_PLATFORM.get(config.platform, "")


def model_file_of(config: ModelConfig) -> str:
    """The file that a version directory has to hold; empty for ensembles and unknown backends."""
    return str(config.default_model_filename) or _DEFAULT_FILE.get(backend_of(config), "")


def missing_fields(config: ModelConfig) -> list[str]:
    """What the server would have to complete by itself; empty when auto-complete can stay off.

    Name, version policy and instance groups are filled in either way.
    """
    missing = []
    if not backend_of(config):
        missing.append("backend")
    for kind, entries in (("input", config.input), ("output", config.output)):
        if not entries:
            missing.append(kind)
        for index, entry in enumerate(entries):
            missing += [
                f"{kind}[{index}].{field}"
                for field in ("name", "data_type", "dims")
                if not getattr(entry, field)
            ]
    return missing


def is_complete(config: ModelConfig) -> bool:
    """Whether the server can load this with ``--disable-auto-complete-config``."""
    return not missing_fields(config)
