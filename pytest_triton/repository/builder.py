"""Model repositories in code.

    repository = RepositoryBuilder(path)
    repository.torchscript(
        "adder",
        module,
        inputs=[TensorSpec("INPUT__0", "FP32", (4,))],
        outputs=[TensorSpec("OUTPUT__0", "FP32", (4,))],
        dynamic_batching=DynamicBatching(max_queue_delay_microseconds=200),
    )

Every call writes one complete model, or nothing.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_triton.repository.config import (
    CONFIG_NAME,
    ModelConfig,
    format_config,
    new_config,
    read_config,
)
from pytest_triton.repository.options import (
    BuildRefused,
    DynamicBatching,
    Edit,
    InstanceGroup,
    Options,
    Step,
    check,
    configure,
)
from pytest_triton.repository.tensors import TensorSpec

__all__ = [
    "BuildRefused",
    "DynamicBatching",
    "InstanceGroup",
    "Options",
    "RepositoryBuilder",
    "Step",
    "TensorSpec",
]

#: A path is copied, bytes are written, a torch module is scripted as it stands, and a function
#: gets the version directory to fill: ``lambda d: export_torchscript(module, examples, path=d)``
#: is the way to a model with proof.
ModelSource = Path | bytes | Callable[[Path], object] | Any

#: A blank in a directory's name makes Triton wait for ever; a hidden one is polled as a model.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")


class RepositoryBuilder:
    """Writes models into ``path``, which is created; models that are there stay."""

    def __init__(self, path: Path | str, *, checked: bool = True) -> None:
        """``checked=False`` writes what Triton would refuse or hang on: for tests of failures."""
        self.path = Path(path)
        self.checked = checked
        self.path.mkdir(parents=True, exist_ok=True)

    def torchscript(
        self,
        name: str,
        model: ModelSource | Mapping[int, ModelSource],
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        **options: Any,
    ) -> Path:
        """A model of the PyTorch backend; ``model`` is version 1, or version -> model.

        ``options`` are the fields of :class:`Options`. Returns the model's directory.
        """
        versions = model if isinstance(model, Mapping) else {1: model}
        config = new_config(name=name, platform="pytorch_libtorch")
        return self._model(config, inputs, outputs, Options(**options), versions, "model.pt")

    def python(
        self,
        name: str,
        source: str | Path | Mapping[int, str | Path],
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        **options: Any,
    ) -> Path:
        """A model of the Python backend out of source text or a file; else as torchscript()."""
        versions = source if isinstance(source, Mapping) else {1: source}
        coded = {v: s.encode() if isinstance(s, str) else s for v, s in versions.items()}
        config = new_config(name=name, backend="python")
        return self._model(config, inputs, outputs, Options(**options), coded, "model.py")

    def ensemble(
        self,
        name: str,
        steps: Sequence[Step],
        *,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        **options: Any,
    ) -> Path:
        """An ensemble over other models; its version directory is empty."""
        config = new_config(name=name, platform="ensemble")
        for step in steps:
            entry = config.ensemble_scheduling.step.add(
                model_name=step.model, model_version=step.version
            )
            entry.input_map.update(step.inputs)
            entry.output_map.update(step.outputs)
        return self._model(config, inputs, outputs, Options(**options), {1: _nothing}, "")

    def copy(self, model: Path | str, *, name: str | None = None, edit: Edit | None = None) -> Path:
        """A model directory of another repository, if need be renamed or reconfigured.

        Untouched, config.pbtxt is copied as it is; a new name or an edit loses its comments.
        """
        source = Path(model)
        name = name or source.name

        def fill(directory: Path) -> None:
            ignore = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(source, directory, ignore=ignore, dirs_exist_ok=True)
            if edit is not None or name != source.name:
                config = read_config(source)
                config.name = name
                if edit is not None:
                    edit(config)
                (directory / CONFIG_NAME).write_text(format_config(config), encoding="utf-8")

        return self._write(name, fill)

    def _model(
        self,
        config: ModelConfig,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        options: Options,
        versions: Mapping[int, ModelSource],
        file_name: str,
    ) -> Path:
        configure(config, inputs, outputs, options)
        if self.checked and options.config is None:
            check(inputs, outputs, options, versions)

        def fill(directory: Path) -> None:
            text = format_config(config) if options.config is None else options.config
            (directory / CONFIG_NAME).write_text(text, encoding="utf-8")
            for output, labels in options.labels.items():
                lines = "".join(f"{label}\n" for label in labels)
                (directory / f"{output}_labels.txt").write_text(lines, encoding="utf-8")
            for version, source in versions.items():
                (directory / str(version)).mkdir()
                _place(source, directory / str(version), file_name)
            for relative, content in options.files.items():
                path = directory / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)

        return self._write(config.name, fill)

    def _write(self, name: str, fill: Callable[[Path], None]) -> Path:
        """Fill a directory beside the repository, then rename it into place."""
        if self.checked and not _NAME.fullmatch(name):
            raise BuildRefused(
                f"{name!r} is no name for a model: Triton hangs on blanks",
                "letters, digits, '_', '-' and '.', not beginning with '.'",
            )
        target = self.path / name
        if target.exists():
            raise BuildRefused(f"{target} exists", "choose another name, or delete it")
        # Not inside the repository: a server that polls it would see half a model.
        work = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
        try:
            (work / "model").mkdir()
            fill(work / "model")
            (work / "model").rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return target


def _place(source: ModelSource, directory: Path, file_name: str) -> None:
    """Put one version's model into its directory."""
    target = directory / file_name
    if isinstance(source, Path):
        shutil.copyfile(source, target)
    elif isinstance(source, bytes):
        target.write_bytes(source)
    elif hasattr(source, "state_dict"):
        import torch

        jit: Any = torch.jit
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated; Triton's backend is not
            scripted = source if isinstance(source, jit.ScriptModule) else jit.script(source)
            jit.save(scripted, str(target))
    else:
        source(directory)


def _nothing(directory: Path) -> None:
    """An ensemble has no file."""
