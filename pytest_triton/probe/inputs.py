"""What to send to a model: cases from the best source that there is, each with its origin.

In this order: the file of ``--triton-inputs``, the exporter's side-car, the model's warm-up,
values generated from metadata. An error answer to *generated* inputs says nothing about the
model: it may be that the values make no sense to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_triton.probe import generate
from pytest_triton.probe.cases import (
    ATOL,
    RTOL,
    InputCase,
    Provenance,
    lift,
    rebatch,
    rows,
    shapes,
    stack,
    tensor_specs,
    unlike,
)
from pytest_triton.probe.codec import as_tensor
from pytest_triton.probe.generate import Rule
from pytest_triton.probe.input_file import read_input_file
from pytest_triton.probe.types import Tensor, TensorSpec
from pytest_triton.probe.warmup import warmup_cases
from pytest_triton.repository.sidecar import ExportRecord, read_golden, read_sidecar

__all__ = ["InputCase", "InputSource", "Provenance", "tensor_specs"]


class InputSource:
    """Chooses inputs. ``repository`` is where side-cars and warm-up files lie, if anywhere."""

    def __init__(
        self, *, repository: Path | None = None, inputs_file: Path | None = None, seed: int = 0,
        rules: Mapping[str, Rule] | None = None, trusted: bool = True,
    ) -> None:  # fmt: skip
        """``rules``: what is known about tensors that nothing but metadata describes.

        ``trusted``: what the repository's side-cars expect, and how exactly, counts.
        """
        self._trusted = trusted
        self._repository = repository
        self._file = inputs_file
        self._seed = seed
        self._rules = dict(rules or {})

    def cases(
        self,
        model: str,
        metadata: Mapping[str, Any],
        config: Mapping[str, Any],
        *,
        batch: int | None = None,
        version: str = "",
    ) -> list[InputCase]:
        """The cases of the best source that has some; never empty.

        ``metadata`` and ``config`` as the probes give them. ``batch`` asks for that many rows
        in every case (it is ignored for a model that does not batch); None takes the batches
        of the source.
        """
        inputs = tensor_specs(metadata.get("inputs", []))
        outputs = tensor_specs(metadata.get("outputs", []))
        batches = int(config.get("max_batch_size") or 0) > 0
        versions = [version] if version else [str(v) for v in metadata.get("versions", [])]
        found = self._from_file(model, inputs, outputs, batches, batch)
        if not found:
            found = self._from_sidecar(model, versions, inputs, batches)
        if not found:
            directory = self._repository / model if self._repository else None
            found = warmup_cases(
                model, inputs, config, batches=batches, seed=self._seed, directory=directory
            )
        if not found:
            found = self._generated(model, inputs, self._rules, "generated", batches, batch)
        if not self._trusted:
            found = [
                replace(case, expected=None, rtol=RTOL, atol=ATOL)
                if case.provenance == "sidecar"
                else case
                for case in found
            ]
        return found if batch is None or not batches else [rebatch(case, batch) for case in found]

    def distinct(
        self,
        model: str,
        metadata: Mapping[str, Any],
        config: Mapping[str, Any],
        *,
        count: int,
        batch: int = 1,
        version: str = "",
    ) -> list[InputCase]:
        """Up to ``count`` different requests of equal shapes, as load wants them.

        Rows of the best cases, taken apart and put together in batches of ``batch``, so that
        what is expected stays known; filled up with generated values where a side-car or a
        file says what makes sense, or where nothing better exists.
        """
        cases = self.cases(model, metadata, config, version=version)
        batches = int(config.get("max_batch_size") or 0) > 0
        if not batches:
            same = unlike([case for case in cases if shapes(case) == shapes(cases[0])])
            return self._filled(same, model, metadata, count, None, version)[:count]
        groups: dict[Any, list[InputCase]] = {}
        for row in (row for case in cases for row in rows(case)):
            groups.setdefault(shapes(row), []).append(row)
        best = max((unlike(group) for group in groups.values()), key=len)
        best = self._filled(best, model, metadata, count * batch, 1, version)
        made = []
        for number in range(min(count, len(best))):
            picked = [best[(number * batch + at) % len(best)] for at in range(batch)]
            made.append(stack(picked, f"load-{number}") if batch > 1 else picked[0])
        return made

    def _filled(
        self,
        known: list[InputCase],
        model: str,
        metadata: Mapping[str, Any],
        count: int,
        batch: int | None,
        version: str,
    ) -> list[InputCase]:
        """``known`` and generated cases of the same shapes, ``count`` in all."""
        first = known[0]
        inputs = [
            spec for spec in tensor_specs(metadata.get("inputs", [])) if spec.name in first.inputs
        ]
        rules = self._rules if first.provenance == "generated" else {}
        if first.provenance == "sidecar":
            record = self._record(model, [version] if version else metadata.get("versions", []))
            rules = _ranges(record[1]) if record else {}
        if first.provenance == "file" and self._file is not None:
            entry = read_input_file(self._file, model, inputs, (), batches=batch is not None)
            rules = entry.rules if entry else {}
        # any float will do where nothing is said; an integer may be out of a vocabulary
        unknown = any(
            spec.name not in rules and not spec.datatype.endswith(("FP16", "FP32", "FP64"))
            for spec in inputs
        )
        if first.provenance != "generated" and unknown:
            return known
        filled = list(known)
        for number in range(len(known), count):
            rng = generate.generator(self._seed, model, 1, number)
            made = {
                spec.name: generate.value(
                    spec,
                    as_tensor(first.inputs[spec.name]).array.shape,
                    rng,
                    rules.get(spec.name),
                )
                for spec in inputs
            }
            name = f"{first.provenance}-{number}"
            filled.append(replace(first, name=name, inputs=made, expected=None))
        return filled

    # -- the four sources

    def _from_file(
        self,
        model: str,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        batches: bool,
        batch: int | None,
    ) -> list[InputCase]:
        if self._file is None:
            return []
        entry = read_input_file(self._file, model, inputs, outputs, batches=batches)
        if entry is None:
            return []
        if not entry.rows:
            return self._generated(model, inputs, entry.rules, "file", batches, batch)
        found = []
        for number, (sent, told) in enumerate(entry.rows):
            expected = told and {
                name: as_tensor(lift(value, batches)).array for name, value in told.items()
            }
            found.append(
                InputCase(
                    f"file-{number}",
                    {name: lift(value, batches) for name, value in sent.items()},
                    {name: as_tensor(v).array for name, v in expected.items()}
                    if expected
                    else None,
                    "file",
                    1 if batches else 0,
                )
            )
        return found

    def _record(self, model: str, versions: Sequence[Any]) -> tuple[Path, ExportRecord] | None:
        if self._repository is None:
            return None
        numbers = sorted((int(v) for v in versions if str(v).isdigit()), reverse=True)
        for number in numbers:
            directory = self._repository / model / str(number)
            record = read_sidecar(directory)
            if record is not None:
                return directory, record
        return None

    def _from_sidecar(
        self, model: str, versions: Sequence[str], inputs: tuple[TensorSpec, ...], batches: bool
    ) -> list[InputCase]:
        found = self._record(model, versions)
        if found is None:
            return []
        directory, record = found
        names = {spec.name for spec in inputs}
        bf16 = {spec.name for spec in inputs if spec.datatype == "BF16"}
        cases = []
        for golden in read_golden(directory):
            if not set(golden.inputs) <= names:
                continue  # the configuration was changed after the export
            first = next(iter(golden.inputs.values()), None)
            cases.append(
                InputCase(
                    golden.name,
                    {
                        name: Tensor(value, "BF16") if name in bf16 else value
                        for name, value in golden.inputs.items()
                    },
                    dict(golden.outputs),
                    "sidecar",
                    int(first.shape[0]) if batches and first is not None else 0,
                    record.rtol,
                    record.atol,
                    record.decoupled,
                )
            )
        return cases

    def _generated(
        self,
        model: str,
        inputs: tuple[TensorSpec, ...],
        rules: Mapping[str, Rule],
        provenance: Provenance,
        batches: bool,
        batch: int | None,
    ) -> list[InputCase]:
        told = [rule.lengths for rule in rules.values() if rule.lengths]
        variable = any(dim < 0 for spec in inputs for dim in spec.shape[1 if batches else 0 :])
        sizes: Sequence[int] = max(told, key=len) if told else generate.SIZES if variable else (1,)
        rows_each = (batch or 1) if batches else None
        found = []
        for turn, size in enumerate(sizes):
            rng = generate.generator(self._seed, model, 0, turn)
            made = generate.values(inputs, rng, batch=rows_each, size=size, rules=rules, turn=turn)
            name = f"{provenance}-{size}" if variable else provenance
            found.append(InputCase(name, made, None, provenance, rows_each or 0))
        return found


def _ranges(record: ExportRecord) -> dict[str, Rule]:
    return {name: Rule(low, high) for name, (low, high) in record.ranges.items()}
