"""Before the start: which models can be loaded, and which would hang Triton for ever.

A stub that cannot even begin never reports to the server, and the server waits for it with
every port closed. That happens when the Python model's file is not there, and when the shell
that starts the stub stumbles over a character in the model's name (it is not quoted), or the
stub over one that is not ASCII.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_triton.launch.complete import completes_itself, grace_of, is_complete
from pytest_triton.launch.screened import Screened
from pytest_triton.repository.config import (
    MAX_CONFIG_BYTES,
    ConfigError,
    new_config,
    read_config,
    selected_versions,
)
from pytest_triton.repository.layout import ModelDirectory, list_models
from pytest_triton.repository.names import unsafe

#: Backends whose instances are stub processes.
STUB_BACKENDS = ("python", "pytorch")
_PLATFORMS = {"pytorch_libtorch": "pytorch", "libtorch": "pytorch", "ensemble": "ensemble"}
_TEXT_BACKEND = re.compile(r"^\s*(?:backend|platform)\s*:\s*\"(\w+)\"", re.MULTILINE)
_TEXT_FILE = re.compile(r"^\s*default_model_filename\s*:\s*\"([^\"]*)\"", re.MULTILINE)


def screen(repository: Path, models: Sequence[str] | None = None) -> Screened:
    """Look at every model before anything starts; touches no server."""
    there = {
        model.name: model
        for model in list_models(repository)
        if not model.name.startswith(".") and model.name != "__pycache__"
    }
    expected = tuple(there) if models is None else tuple(dict.fromkeys(models))
    failed: dict[str, str] = {}
    configs: dict[str, Any] = {}
    complete, grace = True, 0.0
    for name in expected:
        if name not in there:
            failed[name] = f"there is no directory {name} in the repository"
            continue
        model = there[name]
        config = configs[name] = _config(model)
        backend = backend_of(model, config)
        if reason := _hang(model, config, backend):
            failed[name] = reason
            continue
        if not is_complete(config, backend) or completes_itself(model, backend):
            complete = False
        grace = max(grace, grace_of(model, backend))
    _propagate(expected, there, configs, failed)
    safe = tuple(name for name in expected if name not in failed)
    return Screened(expected, safe, failed, complete and bool(safe), grace)


def _config(model: ModelDirectory) -> Any:
    """The parsed configuration; None when there is none, or none that can be read."""
    try:
        return read_config(model.config_path)
    except ConfigError:
        return None


def backend_of(model: ModelDirectory, config: Any) -> str:
    """The backend that Triton will choose; "" when that is not known."""
    if config is not None:
        if config.ensemble_scheduling.step:
            return "ensemble"
        named = config.backend or _PLATFORMS.get(config.platform, config.platform)
        if named:
            return str(named)
    elif found := _TEXT_BACKEND.search(_text(model)):
        return _PLATFORMS.get(found[1], found[1])
    for version in model.versions:
        if (model.version_path(version) / "model.py").exists():
            return "python"
        if (model.version_path(version) / "model.pt").exists():
            return "pytorch"
    return ""


def _text(model: ModelDirectory) -> str:
    try:
        # A fifo would wait for its writer for ever.
        if not model.config_path.is_file():
            return ""
        with model.config_path.open("rb") as file:
            return file.read(MAX_CONFIG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _hang(model: ModelDirectory, config: Any, backend: str) -> str:
    """Why this model would make the whole server wait for ever; or ""."""
    if backend not in STUB_BACKENDS:
        return ""
    if trap := unsafe(model.name):
        return (
            f"Triton hangs on it: the character {trap!r} in the model's name breaks the command "
            "that starts its Python process; rename the directory"
        )
    if backend != "python":
        return ""
    if config is not None:
        file = str(config.default_model_filename)
    else:
        found = _TEXT_FILE.search(_text(model))
        file = found[1] if found else ""
    file = file or "model.py"
    if trap := unsafe(file):
        return (
            f"Triton hangs on it: the character {trap!r} in default_model_filename breaks the "
            "command that starts its Python process"
        )
    for version in loaded_versions(model, config):
        path = model.version_path(version) / file
        if not os.path.exists(path):
            what = "leads nowhere" if path.is_symlink() else "is missing"
            return f"Triton hangs on it: Python model file {path} {what}"
        if stat.S_ISFIFO(path.stat().st_mode):
            return f"Triton hangs on it: Python model file {path} is a fifo"
    return ""


def loaded_versions(model: ModelDirectory, config: Any) -> tuple[int, ...]:
    """The versions that the version policy admits."""
    return selected_versions(new_config() if config is None else config, model.versions)


def _propagate(
    expected: Sequence[str],
    there: Mapping[str, ModelDirectory],
    configs: dict[str, Any],
    failed: dict[str, str],
) -> None:
    """An ensemble loads the models that it is made of: it goes with one that would hang."""
    hanging = {name for name in failed if name in there}
    for name, model in there.items():
        if name not in configs:
            configs[name] = config = _config(model)
            if _hang(model, config, backend_of(model, config)):
                hanging.add(name)
    changed = True
    while changed:
        changed = False
        for name in expected:
            config = configs.get(name)
            if name in failed or config is None:
                continue
            for step in config.ensemble_scheduling.step:
                if step.model_name in hanging:
                    failed[name] = (
                        f"ensemble {name} contains models that are not available or ambiguous: "
                        f"{step.model_name} is left out because it would hang the server"
                    )
                    hanging.add(name)
                    changed = True
                    break
