"""A model's configuration on disk and as it is served, and what one means for the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_triton.errors import SubjectFault
from pytest_triton.probe.codec import DATATYPES
from pytest_triton.probe.types import MalformedAnswer
from pytest_triton.repository.config import (
    CONFIG_NAME,
    ModelConfig,
    ModelTensor,
    inputs_of,
    new_config,
    outputs_of,
    read_config,
    selected_versions,
)
from pytest_triton.repository.layout import file_sha256, model_directory

#: What protobuf's reader of JSON lets through for values that it did not expect.
_UNREADABLE = (ValueError, TypeError, AttributeError, KeyError, ArithmeticError, RecursionError)


def parse_served(config: Mapping[str, Any], *, strict: bool = False) -> ModelConfig:
    """A configuration from an endpoint as a message; a fault of the subject if it is none.

    ``strict`` refuses fields that a ModelConfig does not have.
    """
    from google.protobuf import json_format

    try:
        message = json_format.ParseDict(
            dict(config), new_config(), ignore_unknown_fields=not strict
        )
        for entry in (*message.input, *message.output):
            entry.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[entry.data_type]
    except (json_format.ParseError, *_UNREADABLE) as error:
        raise SubjectFault(f"the served configuration is no ModelConfig: {error}") from None
    return message


def knows(server: str) -> bool:
    """Whether tritonclient's ModelConfig has all fields of a server of this version."""
    from importlib.metadata import version

    from pytest_triton.probe.protobuf import server_version

    return server_version(server) <= server_version(version("tritonclient"))


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration from an endpoint with the types that it must have. Raises SubjectFault."""
    from pytest_triton.probe.protobuf import to_plain

    return to_plain(parse_served(config))


def wrong_types(config: Mapping[str, Any]) -> list[str]:
    """Values whose JSON type is not that of their field, which protobuf's reader forgives."""
    return _wrong_types(config, plain_config(config), "")


def _wrong_types(value: Any, wanted: Any, path: str) -> list[str]:
    if isinstance(wanted, dict) and isinstance(value, dict):
        shared = [key for key in wanted if key in value]
        pairs = [(f"{path}.{key}".lstrip("."), value[key], wanted[key]) for key in shared]
    elif isinstance(wanted, list) and isinstance(value, list):
        both = zip(value, wanted, strict=False)
        pairs = [(f"{path}[{at}]", one, two) for at, (one, two) in enumerate(both)]
    elif isinstance(wanted, str) and isinstance(value, str) and value != wanted:
        return [f"{path} is {value!r:.60}, which is no value of it"]
    elif type(value) is type(wanted) or (isinstance(wanted, float) and isinstance(value, int)):
        return []
    else:
        return [f"{path} is {value!r:.60}, not {_JSON_TYPES.get(type(wanted), 'that')}"]
    return [line for place, one, two in pairs for line in _wrong_types(one, two, place)]


_JSON_TYPES = {
    str: "a string", bool: "true or false", int: "a whole number", float: "a number",
    dict: "an object", list: "an array",
}  # fmt: skip


def well_formed(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Metadata of a model whose parts have the types that they must have. MalformedAnswer."""
    if not isinstance(metadata.get("platform"), str):
        raise MalformedAnswer(
            f"metadata: platform is {metadata.get('platform')!r:.80}, not a string"
        )
    versions = metadata.get("versions")
    if not isinstance(versions, list) or not all(isinstance(v, str) for v in versions):
        raise MalformedAnswer(f"metadata: versions is {versions!r:.80}, not an array of strings")
    return well_formed_tensors(metadata)


def well_formed_tensors(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Metadata whose inputs and outputs say what to send and what comes. MalformedAnswer."""
    for direction in ("inputs", "outputs"):
        tensors = metadata.get(direction)
        if not isinstance(tensors, list):
            raise MalformedAnswer(f"metadata: {direction} is {tensors!r:.80}, not an array")
        for tensor in tensors:
            if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
                raise MalformedAnswer(f"metadata: {direction} has {tensor!r:.80}, without a name")
            name, shape = tensor["name"], tensor.get("shape")
            if tensor.get("datatype") not in DATATYPES:
                told = f"{tensor.get('datatype')!r:.60}"
                raise MalformedAnswer(f"metadata: {name!r} has datatype {told}")
            if not isinstance(shape, list) or not all(
                isinstance(dim, int) and not isinstance(dim, bool) and dim >= -1 for dim in shape
            ):
                raise MalformedAnswer(f"metadata: {name!r} has shape {shape!r:.80}")
    return metadata


def disk_config(directory: Path) -> ModelConfig:
    """The configuration of a model's directory (ConfigError); an empty one without a file."""
    return read_config(directory) if (directory / CONFIG_NAME).exists() else new_config()


def declared_metadata(config: Mapping[str, Any]) -> dict[str, Sequence[ModelTensor]]:
    """Inputs and outputs as metadata has to show them: wire type, shape with the batch."""
    message = parse_served(config)
    return {
        "inputs": inputs_of(message),
        "outputs": outputs_of(message),
    }


def policy_versions(directory: Path) -> list[str]:
    """The versions that the policy on disk selects from the directories, ascending."""
    model = model_directory(directory)
    return [str(version) for version in selected_versions(disk_config(directory), model.versions)]


def model_file_digests(directory: Path, versions: Sequence[str]) -> dict[str, str]:
    """One checksum of the files of each version, side-cars left out."""
    digests = {}
    for version in versions:
        files = sorted(
            path
            for path in (directory / version).rglob("*")
            if path.is_file() and path.name not in ("export.json", "golden.npz")
        )
        digests[version] = " ".join(file_sha256(path).hex()[:16] for path in files)
    return digests
