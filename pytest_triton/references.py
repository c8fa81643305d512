"""Who says what a model has to answer, the best source first, and who was asked.

The eager module of a reference model; outputs that came with the inputs; for everything else
the served TorchScript file itself, run in torch outside Triton.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.export.oracle import ReferenceProcess, ReferenceRefused
from pytest_triton.export.script_oracle import (
    INSTALL,
    NoReference,
    ReferenceFailed,
    ScriptReference,
)
from pytest_triton.export.scripted import script_file
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.codec import as_tensor
from pytest_triton.probe.tolerances import allowed
from pytest_triton.repository.reference import reference_models
from pytest_triton.served_model import ServedModel

if TYPE_CHECKING:
    import numpy as np

EAGER, GOLDEN = "eager module", "golden samples"


class References:
    """The references of one deployment. ``kind`` and ``repository`` are its own."""

    def __init__(self, kind: str, repository: Path | None) -> None:
        self._kind, self._repository = kind, repository
        self._oracle: ReferenceProcess | None = None
        self._scripts: ScriptReference | None = None
        #: Who gave the last answer, and whether that was a file, which torch runs on the CPU.
        self.last, self.by_file = "", False
        #: Model -> version -> who was asked -> number of answers that it gave.
        self.used: dict[str, dict[str, dict[str, int]]] = {}
        #: Model -> why nobody knows the answers to some of its requests.
        self.missing: dict[str, str] = {}

    def start(self) -> None:
        """Start the oracle of the reference models now, without waiting for its imports."""
        if self._kind == "reference":
            self._oracle = self._oracle or ReferenceProcess()
            self._oracle.start()

    def close(self) -> None:
        """End all processes."""
        for each in (self._oracle, self._scripts):
            if each is not None:
                each.close()

    def has_scripts(self, models: Mapping[str, ServedModel]) -> bool:
        """Whether a TorchScript file of one of ``models`` is at hand, and torch to run it."""
        files = (
            self._file(name, version, model.config)
            for name, model in models.items()
            for version in model.versions
        )
        return any(files) and find_spec("torch") is not None

    def answer(
        self, model: ServedModel, version: str, case: InputCase, *, known: bool, files: bool
    ) -> Mapping[str, np.ndarray[Any, Any]] | None:
        """What a version has to answer; None: nobody knows.

        ``known``: ``case.expected`` holds; ``files``: a TorchScript file may be run. Raises
        NotAssessed for a reference that fails, or that refuses the inputs.
        """
        if self._kind == "reference" and model.name in reference_models():
            self._count(model.name, version, EAGER)
            self._oracle = self._oracle or ReferenceProcess()
            return self._oracle.run(model.name, int(version), _arrays(case))
        if known and case.expected is not None:
            self._count(model.name, version, GOLDEN)
            return case.expected
        return self._of_file(model, version, case) if files and model.is_pytorch else None

    def _of_file(
        self, model: ServedModel, version: str, case: InputCase
    ) -> Mapping[str, np.ndarray[Any, Any]] | None:
        file = self._file(model.name, version, model.config)
        if file is None:
            self.missing.setdefault(model.name, "no TorchScript file is at hand")
            return None
        if find_spec("torch") is None:
            self.missing.setdefault(model.name, f"there is no torch to run its file: {INSTALL}")
            return None
        self._scripts = self._scripts or ScriptReference()
        tolerances = {
            entry["name"]: allowed(entry["data_type"].removeprefix("TYPE_"), case.rtol, case.atol)
            for entry in model.config.get("output", ())
        }
        config = {**model.config, "name": model.name}
        try:
            outputs = self._scripts.run(file, config, _arrays(case), tolerances)
        except NoReference as error:
            self.missing.setdefault(model.name, str(error))
            return None
        except ReferenceRefused as error:
            raise NotAssessed(
                Reason.NO_INPUTS,
                f"version {version}: in torch {file.name} refuses {case.provenance} inputs of "
                f"batch {case.batch} ({error.reason}): give --triton-inputs FILE",
            ) from None
        except ReferenceFailed as error:
            raise NotAssessed(
                Reason.BLOCKED, f"version {version}: {error.message}; {error.remedy}"
            ) from None
        self._count(model.name, version, f"{file.name} in torch, kept by {self._scripts.box.name}")
        self.by_file = True
        return outputs

    def _file(self, name: str, version: str, config: Mapping[str, Any]) -> Path | None:
        if self._repository is None:
            return None
        return script_file(self._repository / name, version, config)

    def _count(self, model: str, version: str, who: str) -> None:
        counts = self.used.setdefault(model, {}).setdefault(version, {})
        counts[who] = counts.get(who, 0) + 1
        self.last, self.by_file = who, False


def _arrays(case: InputCase) -> dict[str, np.ndarray[Any, Any]]:
    return {name: as_tensor(value).array for name, value in case.inputs.items()}
