"""What no model repository that is handed in may hold, seen before a server sees it.

These are the ways in which a repository alone makes Triton run or read what lies outside it
(each was tried on 2.51). The sandbox is what holds; a refusal says so early, and by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_triton.errors import Refused
from pytest_triton.grade.limits import shown
from pytest_triton.repository.config import CONFIG_NAME, ConfigError, parse_config, read_text

#: What native code begins with: ELF, and the libraries of other systems.
_NATIVE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_ENVIRONMENT = "EXECUTION_ENV_PATH"


def check(repository: Path, root: Path) -> None:
    """Look at every file of ``repository``, which lies in ``root``. Raises Refused."""
    for path in sorted(repository.rglob("*")):
        if not path.is_file():
            continue
        name = str(path.relative_to(root))
        with path.open("rb") as file:
            if file.read(4) in _NATIVE:
                raise Refused(
                    f"{shown(name)}: native code: no shared library or program may be served",
                    "hand in models for the pytorch and python backends",
                )
        if path.name == CONFIG_NAME or path.parent.name == "configs":
            _config(path, name)


def _config(path: Path, name: str) -> None:
    try:
        config = parse_config(read_text(path, errors="replace"))
    except ConfigError:
        return  # Triton will not load it either, and the clauses say so
    if _ENVIRONMENT in config.parameters:
        raise Refused(
            f"{shown(name)}: {_ENVIRONMENT}: brings a Python of its own, whose scripts would run",
            "use the packages that the lab names, and drop the parameter",
        )
    for field, value in _paths(config):
        if _leads_outside(value):
            raise Refused(
                f"{shown(name)}: {field}: {shown(value)} leads outside the model's directory",
                "name a file inside it",
            )
    for field, value in (
        ("name", config.name), ("backend", config.backend), ("platform", config.platform),
        ("runtime", getattr(config, "runtime", "")),
        *((f"model_repository_agents.agents[{at}].name", agent.name)
          for at, agent in enumerate(config.model_repository_agents.agents)),
    ):  # fmt: skip
        if "/" in value or ".." in value or "\\" in value:
            raise Refused(
                f"{shown(name)}: {field}: {shown(value)} is a path, not a name", "use a plain name"
            )


def _paths(config: Any) -> Iterator[tuple[str, str]]:
    """Fields of a configuration that Triton takes for paths, and what they say."""
    yield "default_model_filename", config.default_model_filename
    for key, value in config.cc_model_filenames.items():
        yield f"cc_model_filenames[{shown(key)}]", value
    for at, entry in enumerate(config.output):
        yield f"output[{at}].label_filename", entry.label_filename
    for at, warmup in enumerate(config.model_warmup):
        yield f"model_warmup[{at}].name", warmup.name
        for key, value in warmup.inputs.items():
            if value.WhichOneof("input_data_type") == "input_data_file":
                yield (
                    f"model_warmup[{at}].inputs[{shown(key)}].input_data_file",
                    (value.input_data_file),
                )
    for at, state in enumerate(config.sequence_batching.state):
        for initial in state.initial_state:
            yield f"sequence_batching.state[{at}].initial_state.data_file", initial.data_file
    for value in config.model_operations.op_library_filename:
        yield "model_operations.op_library_filename", value


def _leads_outside(value: str) -> bool:
    path = PurePosixPath(value)
    return path.is_absolute() or ".." in path.parts or "$" in value or "\\" in value
