"""Files of a model broken on purpose, in copies that the subject's own files are safe from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from pytest_triton.copies import Edit, keep
from pytest_triton.drills.bystander import Known
from pytest_triton.probe.codec import as_tensor
from pytest_triton.repository.config import CONFIG_NAME, read_config, write_config
from pytest_triton.repository.layout import model_directory

#: Bytes from which on a file is linked instead of copied: nothing below writes into a file.
LINKED = 16 << 20
#: Bytes of a model from which on it is unloaded after its drill: they are all of one size.
HEAVY = 512 << 20
#: Bytes that are left of a corrupt model file.
_LEFT = 4096


class LeftOut(Exception):
    """A fault that this model or this machine cannot have; says why."""


#: Breaks a model's directory. Raises LeftOut.
Injection: TypeAlias = Callable[[Path, Known], None]


def deploy(original: Path, directory: Path, edit: Edit = keep) -> None:
    """Put a whole copy of a model in place of what is there, its configuration edited."""
    shutil.rmtree(directory, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(original, directory, copy_function=_place, ignore=ignore)
    configure(directory, original, edit)


def configure(directory: Path, original: Path, edit: Edit) -> None:
    """Write the original's configuration, edited, under the name of the copy."""
    config = read_config(original)
    config.name = directory.name
    config.ClearField("response_cache")
    edit(config)
    write_config(config, directory / CONFIG_NAME)


def _place(source: str, target: str) -> None:
    if os.path.getsize(source) < LINKED:
        shutil.copyfile(source, target)
    else:
        os.symlink(os.path.realpath(source), target)


def heavy(directory: Path) -> bool:
    """Whether a model is too large to be left loaded several times."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) > HEAVY


def _versions(directory: Path) -> list[Path]:
    found = model_directory(directory)
    return [found.version_path(version) for version in found.versions]


def _files(directory: Path) -> list[Path]:
    """The model's file in every version."""
    name = read_config(directory).default_model_filename or "model.pt"
    return [path / name for path in _versions(directory)]


def wrong_dims(directory: Path, known: Known) -> None:
    """Another size in the configuration than the model takes; a warm-up has the right one."""

    def edit(config: Any) -> None:
        entry = next(one for one in config.input if one.name in known.case.inputs)
        entry.ClearField("reshape")
        entry.allow_ragged_batch = False
        fixed = next((at for at, size in enumerate(entry.dims) if size > 0), None)
        if fixed is None:
            entry.dims.append(7)
        else:
            entry.dims[fixed] += 1
        _warm_up(config, known)

    _edit(directory, edit)


def _warm_up(config: Any, known: Known) -> None:
    """A warm-up with what the model really takes; it is refused before the model sees it."""
    types = type(config).DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_name
    del config.model_warmup[:]
    sample = config.model_warmup.add(name="drill", batch_size=max(known.case.batch, 1))
    for name, value in known.case.inputs.items():
        tensor = as_tensor(value)
        shape = tensor.array.shape
        kind = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
        sample.inputs[name].data_type = types[f"TYPE_{kind}"].number
        sample.inputs[name].dims.extend(shape[1:] if config.max_batch_size else shape)
        sample.inputs[name].zero_data = True


def wrong_datatype(directory: Path, known: Known) -> None:
    """An input of another data type in the configuration; nothing warms the model up."""

    def edit(config: Any) -> None:
        numbers = [one for one in config.input if one.name in known.case.inputs]
        kinds = type(config).DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_name
        text, integer, floating = (
            kinds[name].number for name in ("TYPE_STRING", "TYPE_INT64", "TYPE_FP32")
        )
        # what takes text cannot be declared to take numbers: the backend looks at that
        entry = next((one for one in numbers if one.data_type != text), None)
        if entry is None:
            raise LeftOut("the model takes nothing but text")
        entry.data_type = floating if entry.data_type == integer else integer
        del config.model_warmup[:]

    _edit(directory, edit)


def wrong_datatype_warmed(directory: Path, known: Known) -> None:
    """The same, and a warm-up of the right one, so that the load fails."""
    wrong_datatype(directory, known)
    _edit(directory, lambda config: _warm_up(config, known))


def no_version(directory: Path, known: Known) -> None:
    """The version directories are not there."""
    for path in _versions(directory):
        shutil.rmtree(path)


def wrong_file_name(directory: Path, known: Known) -> None:
    """The model's file has another name than the server looks for."""
    for path in _files(directory):
        path.rename(path.with_name(f"my_{path.name}"))


def corrupt_file(directory: Path, known: Known) -> None:
    """The model's file ends early, as after a copy that was broken off."""
    for path in _files(directory):
        with path.open("rb") as file:
            data = file.read(min(_LEFT, path.stat().st_size // 2))
        path.unlink()  # it may be a link to the subject's own
        path.write_bytes(data)


def broken_config(directory: Path, known: Known) -> None:
    """A brace is missing in config.pbtxt."""
    path = directory / CONFIG_NAME
    write_config(f"{path.read_text('utf-8')}\ninstance_group [ {{ count: 1 \n", path)


def _edit(directory: Path, edit: Edit) -> None:
    config = read_config(directory)
    edit(config)
    write_config(config, directory / CONFIG_NAME)
