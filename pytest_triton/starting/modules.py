"""A torch.nn.Module out of ``package.module:Name`` or ``file.py:Name``."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_triton.errors import Misused, ToolError

#: Names that say nothing about the model: the file's is better.
_GENERIC = frozenset(
    (
        "model", "get_model", "load_model", "build_model", "create_model", "make_model",
        "load", "build", "create", "make", "factory", "net", "module", "main",
    )
)  # fmt: skip
_FORM = "write  package.module:Name  or  path/to/file.py:Name"


@dataclass(frozen=True, slots=True)
class Found:
    """A module with the name that it was found under."""

    module: Any
    name: str
    #: Whether a class was called: its weights are then those that it starts with.
    fresh: bool


def load_module(spec: str, *, seed: int) -> Found:
    """Import the code and get the module: an instance, a class, or a function without arguments.

    Raises Misused with what to write instead, ToolError without torch.
    """
    torch = require_torch()
    place, mark, name = spec.rpartition(":")
    if not mark or not place or not name:
        raise Misused(f"--module {spec!r} names no module in it", _FORM)
    with _importable(Path(place).parent if place.endswith(".py") else Path.cwd()):
        code = _import(place)
        try:
            target = getattr(code, name)
        except AttributeError:
            raise Misused(f"{place} has no {name!r}", _suggestion(code, place)) from None
        if isinstance(target, torch.nn.Module):
            return Found(target, _model_name(name, place), False)
        from pytest_triton.export.running import seeded

        with seeded(seed):
            module = _called(target, name)
    if not isinstance(module, torch.nn.Module):
        raise Misused(
            f"{spec} gives {type(module).__name__}, not a torch.nn.Module",
            "name a class of torch.nn.Module, or a function that returns one",
        )
    return Found(module, _model_name(name, place), inspect.isclass(target))


def require_torch() -> Any:
    """The package. Raises ToolError when it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise ToolError(
            f"an export needs torch: {error}", "pip install 'pytest-triton[torch]'"
        ) from None
    return torch


def _called(target: Any, name: str) -> Any:
    if not callable(target):
        raise Misused(
            f"{name} is {type(target).__name__}, not a torch.nn.Module",
            "name a class of torch.nn.Module, or a function that returns one",
        )
    try:
        needed = [
            parameter.name
            for parameter in inspect.signature(target).parameters.values()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
    except (TypeError, ValueError):
        needed = []
    if needed:
        raise Misused(
            f"{name} needs arguments: {', '.join(needed)}",
            "write a function without arguments and name that:  def model(): return "
            f"{name}({', '.join(f'{one}=…' for one in needed)})",
        )
    try:
        return target()
    except Exception as error:
        raise Misused(
            f"{name}() fails: {type(error).__name__}: {error}", "correct it, or name another"
        ) from error


def _import(place: str) -> Any:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = Path(place).resolve()
        if not path.is_file():
            raise Misused(f"{place} is not a file", _FORM)
        # A name that no installed package has: the file may be called like one.
        title = f"_pytest_triton_init_{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}"
        found = importlib.util.spec_from_file_location(title, path)
        if found is None or found.loader is None:
            raise Misused(f"{place} cannot be imported", _FORM)
        module = importlib.util.module_from_spec(found)
        sys.modules[title] = module  # torch.jit.script and dataclasses look there
        found.loader.exec_module(module)
        return module
    except Misused:
        raise
    except Exception as error:
        where = "" if place.endswith(".py") else "; modules are looked for from here on too"
        raise Misused(
            f"{place} cannot be imported: {type(error).__name__}: {error}{where}",
            "see that  python -c 'import …'  works in this environment",
        ) from error


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """The folder first on the path, and no __pycache__ left in it."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))
        sys.dont_write_bytecode = before


def _suggestion(code: Any, place: str) -> str:
    import torch

    names = [
        name
        for name, value in vars(code).items()
        if not name.startswith("_")
        and (
            isinstance(value, torch.nn.Module)
            or (
                inspect.isclass(value)
                and issubclass(value, torch.nn.Module)
                and value.__module__ == code.__name__
            )
        )
    ]
    return f"it has {', '.join(f'{place}:{n}' for n in names[:5])}" if names else _FORM


def _model_name(name: str, place: str) -> str:
    """``IrisNet`` -> ``iris_net``; a function called like any other is named by its file."""
    if name.lower() in _GENERIC:
        name = Path(place).stem if place.endswith(".py") else place.rpartition(".")[2]
    return model_name(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


def model_name(text: str) -> str:
    """A name for a model out of any text."""
    return re.sub(r"[^A-Za-z0-9_.\-]+", "_", text).lstrip(".-") or "model"
