"""Whether a directory holds the weights that its configuration needs, before any is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_triton.errors import ToolError
from pytest_triton.llama.architecture import tensors

_ONE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model")
#: How many names a message holds.
_NAMED = 3


def check_weights(directory: Path, config: Mapping[str, Any]) -> None:
    """Compare names and shapes in the headers of the files. Raises ToolError with what differs."""
    found: dict[str, tuple[int, ...]] = {}
    for path in _files(directory):
        found |= _shapes(path)
    wanted = tensors(config)
    if missing := sorted(set(wanted) - set(found)):
        raise ToolError(
            f"{directory} has no weights for {_some(missing)}",
            "copy every file of the checkpoint; config.json has to be its own",
        )
    wrong = [
        f"{name} is {list(found[name])}, config.json says {list(shape)}"
        for name, shape in wanted.items()
        if found[name] != shape
    ]
    if wrong:
        raise ToolError(
            f"{directory}: the weights are of another shape than config.json: {_some(wrong)}",
            "put the config.json and the weights of one model together",
        )


def has_tokenizer(directory: Path | None) -> bool:
    """Whether text can be taken and given."""
    return directory is not None and any((directory / name).is_file() for name in _TOKENIZERS)


def _files(directory: Path) -> list[Path]:
    if (index := directory / _INDEX).is_file():
        try:
            names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError, OSError) as error:
            raise ToolError(f"{index} cannot be read: {error}", "copy it again") from None
        if any(not isinstance(name, str) or Path(name).name != name for name in names):
            raise ToolError(f"{index} names files outside of the directory", "copy it again")
        if missing := [name for name in names if not (directory / name).is_file()]:
            raise ToolError(
                f"{directory} lacks {_some(missing)}, which {_INDEX} names",
                "copy every file of the checkpoint",
            )
        return [directory / name for name in names]
    if (one := directory / _ONE).is_file():
        return [one]
    pickled = sorted(path.name for path in directory.glob("*.bin"))
    raise ToolError(
        f"{directory} has no {_ONE}" + f", only {_some(pickled)}" * bool(pickled),
        "weights are read as safetensors only:  model.save_pretrained(DIRECTORY)",
    )


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ToolError(f"{path} is not whole: {error}", "copy it again") from None


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
