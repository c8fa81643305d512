"""A model out of a directory, never from the network and never with code of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_triton.errors import ToolError
from pytest_triton.export.huggingface.tasks import (
    AUTO_CLASS,
    Task,
    architecture_of,
    check_task,
    refuse_encoder_decoder,
    task_of,
    transformers,
)
from pytest_triton.export.interface import ExportRefused


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with what it is for."""

    model: Any
    task: Task
    #: "mean" or "cls" when the directory (sentence-transformers) says so.
    pooling: str = ""
    normalize: bool = False


def load(source: Any, task: str | None, dtype: str | None, pooling: str | None) -> Loaded:
    """A loaded model as it is, or the one in a directory. Raises ExportRefused, ToolError.

    ``pooling`` is what the caller says; without it the directory may.
    """
    package = transformers()
    if not isinstance(source, (str, os.PathLike)):
        return _given(source, task, dtype)
    directory = Path(source)
    config = _config(directory)
    architecture = str((config.get("architectures") or [""])[0])
    told, normalize, sentence = _sentence_transformer(directory, told=pooling is not None)
    if task is not None:
        check_task(task, "")
    encoder = architecture.endswith("EncoderModel")
    with offline(), quiet():
        auto = package.AutoConfig.from_pretrained(directory, local_files_only=True)
        if task is None and sentence:
            task = "embedding"
        if task != "embedding" and not encoder:
            refuse_encoder_decoder(auto, architecture or auto.model_type)
        task = task or task_of(architecture)
        name = AUTO_CLASS[task]
        if task == "embedding" and (encoder or auto.is_encoder_decoder):
            name = _encoder(package, auto, architecture)
        model = _weights(getattr(package, name), directory, dtype, package)
    return Loaded(model.eval(), check_task(task, type(model).__name__), told, normalize)


def _given(model: Any, task: str | None, dtype: str | None) -> Loaded:
    import torch

    if not isinstance(model, torch.nn.Module) or not hasattr(model, "config"):
        raise ExportRefused(
            f"{type(model).__name__} is no model of transformers",
            "give a loaded PreTrainedModel or its directory; other modules: export_torchscript",
        )
    if dtype is not None:
        raise ExportRefused(
            "dtype is for a directory", "convert the loaded model yourself:  model.half()"
        )
    architecture = architecture_of(model)
    refuse_encoder_decoder(model.config, architecture)
    chosen = check_task(task, architecture) if task else task_of(architecture)
    # The hidden states of a model with a head are those of the model below it.
    return Loaded(model.base_model if chosen == "embedding" else model, chosen)


def _config(directory: Path) -> dict[str, Any]:
    """config.json. Raises ToolError when this is no directory of a model."""
    path = directory / "config.json"
    if not path.is_file():
        raise ExportRefused(
            f"{directory} has no config.json: it is no directory of a HuggingFace model"
            if directory.is_dir()
            else f"{directory} is not a directory; names of a hub are not looked up",
            "give the directory that save_pretrained() wrote, or that you downloaded",
        )
    try:
        config = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise ToolError(f"{path} cannot be read: {error}", "write the model again") from None
    if not isinstance(config, dict):
        raise ToolError(f"{path} is no JSON object", "write the model again")
    if config.get("auto_map"):
        raise ExportRefused(
            f"{path} asks for code of its own (auto_map), which is not run",
            "load the model yourself with trust_remote_code=True, and give the loaded model",
        )
    return config


def _weights(auto_class: Any, directory: Path, dtype: str | None, package: Any) -> Any:
    # What the checkpoint is stored in, unless something else is asked for.
    import torch

    wanted = "auto" if dtype is None else getattr(torch, dtype, None)
    if wanted is None or isinstance(wanted, str) != (dtype is None):
        raise ExportRefused(f"no dtype {dtype!r}", "float32, float16 or bfloat16")
    key = "dtype" if int(package.__version__.split(".")[0]) >= 5 else "torch_dtype"
    try:
        model, report = auto_class.from_pretrained(
            directory,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **{key: wanted},
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        lines = str(error).strip().splitlines() or [""]
        raise ExportRefused(
            f"transformers cannot load {directory} as {auto_class.__name__}: {lines[0]}",
            "see that config.json and the weights belong together; another task may fit",
        ) from error
    # The pooler is not used here, and most checkpoints come without it.
    missing = sorted(key for key in report["missing_keys"] if "pooler." not in key)
    if missing:
        raise ExportRefused(
            f"{directory} has no weights for {', '.join(missing[:3])}"
            f"{f' and {len(missing) - 3} more' * (len(missing) > 3)}: they would be random",
            "choose the task that the model was trained for",
        )
    return model


def _encoder(package: Any, config: Any, architecture: str) -> str:
    """The class of the encoder half alone."""
    family = architecture.partition("For")[0].removesuffix("Model").removesuffix("Encoder")
    name = f"{family}EncoderModel"
    if not hasattr(package, name):
        raise ExportRefused(
            f"transformers has no {name}: the encoder of {architecture or config.model_type} "
            "cannot be loaded alone",
            "load the model yourself and wrap its encoder in a torch.nn.Module; export_torchscript "
            "exports that",
        )
    return name


def _sentence_transformer(directory: Path, *, told: bool) -> tuple[str, bool, bool]:
    """Pooling, whether it is normalised, and whether modules.json is there at all.

    ``told``: the caller says the pooling, so that one which is not known here does not matter.
    """
    try:
        modules = json.loads((directory / "modules.json").read_text("utf-8"))
        kinds = {str(entry["type"]).rpartition(".")[2]: entry["path"] for entry in modules}
        pooling = kinds.get("Pooling")
        said = json.loads((directory / str(pooling) / "config.json").read_text("utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return "", False, (directory / "modules.json").is_file()
    modes = sorted(
        key.removeprefix("pooling_mode_")
        for key, value in said.items()
        if key.startswith("pooling_mode_") and value is True
    )
    known = {("cls_token",): "cls", ("mean_tokens",): "mean"}.get(tuple(modes))
    if known is None and not told:
        raise ExportRefused(
            f"{directory} pools by {', '.join(modes) or 'nothing that is known'}",
            'say pooling="mean" or pooling="cls", with a directory that has no modules.json',
        )
    extra = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if extra:
        raise ExportRefused(
            f"{directory} has further layers behind the pooling: {', '.join(extra)}",
            "wrap the whole in a torch.nn.Module and use export_torchscript",
        )
    return known or "", "Normalize" in kinds, True


@contextmanager
def offline() -> Iterator[None]:
    """Libraries that look at the environment see that there is no network."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def quiet() -> Iterator[None]:
    """Without progress bars and advice of transformers: what matters is an error here."""
    logging = transformers().utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
