"""What is known of models before they are loaded: is there anything to complete, or to finish?

Auto-complete starts every Python-based model twice. Where each configuration says everything
itself, the served configurations are the same without it (compared on 2.39, 2.48 and 2.51).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_triton.repository.layout import ModelDirectory

#: Seconds that a model with something to finish may take.
GRACE = 10.0
MAX_SOURCE = 1024 * 1024
#: Code that has something to do when its process ends, or that cannot be looked through.
_FINISHES = re.compile(r"finalize|atexit|__del__|\bopen\(|\bwrite|signal|Thread|subprocess|Process")
_ANY_CLASS = re.compile(
    r"class TritonPythonModel|import .*TritonPythonModel|TritonPythonModel\s*=|import \*"
)
_PLAIN_CLASS = re.compile(r"^class TritonPythonModel(?:\(\s*(?:object)?\s*\))?:", re.MULTILINE)


def is_complete(config: Any, backend: str) -> bool:
    """Does a parsed configuration leave nothing for auto-complete to fill in?"""
    if config is None or backend not in ("python", "pytorch", "ensemble"):
        return False
    if not (config.name and (config.backend or config.platform)):
        return False
    if not (config.input and config.output):
        return False
    return all(
        tensor.name and tensor.data_type and len(tensor.dims)
        for tensor in (*config.input, *config.output)
    )


def completes_itself(model: ModelDirectory, backend: str) -> bool:
    """May a Python model have a hand in its own configuration?"""
    if backend != "python":
        return False
    sources = _sources(model)
    return not _plain(sources) or any("auto_complete_config" in source for source in sources)


def grace_of(model: ModelDirectory, backend: str) -> float:
    """Seconds that a model may need to finish; 0 when it certainly has nothing to finish."""
    if backend in ("pytorch", "ensemble"):
        return 0.0
    sources = _sources(model)
    finishes = not _plain(sources) or any(_FINISHES.search(source) for source in sources)
    return GRACE if finishes else 0.0


def _plain(sources: list[str]) -> bool:
    """Is the model's class there to be read, without a base class that could add to it?"""
    naming = [source for source in sources if "TritonPythonModel" in source]
    return bool(naming) and all(
        _PLAIN_CLASS.search(source) and len(_ANY_CLASS.findall(source)) == 1 for source in naming
    )


def _sources(model: ModelDirectory) -> list[str]:
    """The Python files of every version; a file that cannot be read counts as one that might
    do anything."""
    found = []
    for version in model.versions:
        for path in sorted(model.version_path(version).glob("*.py")):
            try:
                if not path.is_file():  # a fifo would wait for its writer for ever
                    raise IsADirectoryError(path)
                with path.open("rb") as file:
                    found.append(file.read(MAX_SOURCE).decode("utf-8", "replace"))
            except OSError:
                found.append("auto_complete_config finalize")
    return found
