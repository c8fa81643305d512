"""Model repositories in code.

    repository = RepositoryBuilder(path)
    repository.torchscript(
        "adder",
        module,
        inputs=[TensorSpec("INPUT__0", "FP32", (4,))],
        outputs=[TensorSpec("OUTPUT__0", "FP32", (4,))],
        dynamic_batching=DynamicBatching(max_queue_delay_microseconds=200),
    )

Every call writes one complete model, or nothing: what lint calls an error is refused.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_triton.repository.config import (
    CONFIG_NAME,
    ConfigError,
    ModelConfig,
    format_config,
    new_config,
    read_config,
)
from pytest_triton.repository.configuring import configure
from pytest_triton.repository.lint import Finding, LintOptions
from pytest_triton.repository.lint.engine import lint_among
from pytest_triton.repository.options import (
    ControlInput,
    Direct,
    DynamicBatching,
    Edit,
    InstanceGroup,
    Latest,
    ModelWarmup,
    Oldest,
    Options,
    QueuePolicy,
    RateLimiter,
    SequenceBatching,
    State,
    Step,
    WarmupInput,
)
from pytest_triton.repository.refusing import BuildRefused, check, refuse_errors
from pytest_triton.repository.tensors import TensorSpec

__all__ = [
    "BuildRefused",
    "ControlInput",
    "Direct",
    "DynamicBatching",
    "InstanceGroup",
    "Latest",
    "ModelWarmup",
    "Oldest",
    "Options",
    "QueuePolicy",
    "RateLimiter",
    "RepositoryBuilder",
    "SequenceBatching",
    "State",
    "Step",
    "TensorSpec",
    "WarmupInput",
]

#: A path is copied, bytes are written, a torch module is scripted as it stands, and a function
#: gets the version directory to fill: ``lambda d: export_torchscript(module, examples, path=d)``
#: is the way to a model with proof.
ModelSource = Path | bytes | Callable[[Path], object] | Any

#: A blank in a directory's name makes Triton wait for ever; a hidden one is polled as a model.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")


class RepositoryBuilder:
    """Writes models into ``path``, which is created; models that are there stay."""

    def __init__(
        self, path: Path | str, *, checked: bool = True, lint: LintOptions | None = None
    ) -> None:
        """``checked=False`` writes what Triton would refuse or hang on: for tests of failures.

        ``lint`` says what is known of the server: its release, its GPUs, the latency budget.
        """
        self.path = Path(path)
        self.checked = checked
        self.lint = lint or LintOptions()
        #: Warnings and remarks of lint about the models that this builder wrote.
        self.findings: list[Finding] = []
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

        ``options`` are the fields of :class:`Options`. Returns the model's directory. Raises
        BuildRefused.
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
        """An ensemble over models that are already in the repository."""
        config = new_config(name=name, platform="ensemble")
        config.ensemble_scheduling.SetInParent()
        for step in steps:
            entry = config.ensemble_scheduling.step.add(
                model_name=step.model_name, model_version=step.model_version
            )
            entry.input_map.update(step.input_map)
            entry.output_map.update(step.output_map)
        chosen = Options(**options)
        if chosen.max_batch_size is None:
            chosen = replace(chosen, max_batch_size=self._common_batch(steps))
        return self._model(config, inputs, outputs, chosen, {1: _nothing}, "")

    def copy(
        self,
        model: Path | str,
        *,
        name: str | None = None,
        edit: Edit | None = None,
        checked: bool = True,
    ) -> Path:
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

        return self._write(name, fill, checked)

    def _model(
        self,
        config: ModelConfig,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        options: Options,
        versions: Mapping[int, ModelSource],
        file_name: str,
    ) -> Path:
        checked = self.checked and options.checked
        if checked:
            check(inputs, outputs, options, versions)
        named = configure(config, inputs, outputs, options)
        text = format_config(config) if options.config is None else options.config

        def fill(directory: Path) -> None:
            (directory / CONFIG_NAME).write_text(text, encoding="utf-8")
            for version, source in versions.items():
                (directory / str(version)).mkdir()
                chosen = options.default_model_filename or file_name
                _place(source, directory / str(version), chosen)
            for relative, content in {**named, **options.files}.items():
                if Path(relative).is_absolute() or ".." in Path(relative).parts:
                    raise BuildRefused(
                        f"{relative!r} leads out of the model's directory", "name a path below it"
                    )
                path = directory / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)

        return self._write(config.name, fill, options.checked)

    def _write(self, name: str, fill: Callable[[Path], None], checked: bool) -> Path:
        """Fill a directory beside the repository, lint it, then rename it into place."""
        checked = checked and self.checked
        if os.sep in name or name in ("", ".", "..") or (checked and not _NAME.fullmatch(name)):
            raise BuildRefused(
                f"{name!r} is no name for a model: Triton hangs on blanks",
                "letters, digits, '_', '-' and '.', not beginning with '.'",
            )
        target = self.path / name
        if target.exists():
            raise _exists(target)
        # Not inside the repository: a server that polls it would see half a model.
        work = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
        try:
            (work / name).mkdir()
            fill(work / name)
            if checked:
                self._judge(work / name)
            try:
                (work / name).rename(target)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # somebody was faster
                    raise _exists(target) from None
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return target

    def _judge(self, model: Path) -> None:
        """What lint has against a model, with the models that are already there."""
        found = lint_among(model, self.path, self.lint).findings
        refuse_errors(model.name, found)
        self.findings += found

    def _common_batch(self, steps: Sequence[Step]) -> int | None:
        """The largest batch that every step takes; None when that is not known."""
        sizes = []
        for step in steps:
            try:
                sizes.append(read_config(self.path / step.model_name).max_batch_size)
            except ConfigError:
                return None
        return min((size for size in sizes if size), default=0) if sizes else None


def _exists(target: Path) -> BuildRefused:
    return BuildRefused(f"{target} exists", "choose another name, or delete it")


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
