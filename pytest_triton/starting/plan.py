"""What init is going to do: the name, the export, and what its user should know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_triton.export.model import Export
from pytest_triton.repository.sidecar import ExportRecord
from pytest_triton.repository.tensors import TensorSpec
from pytest_triton.starting.looking import Request, look, request_for
from pytest_triton.starting.modules import load_module, model_name
from pytest_triton.starting.options import check_axes, parse_input, parse_limits
from pytest_triton.starting.project import check_free

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """One model, ready to be exported."""

    name: str
    export: Export
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What the command line says of a module's inputs."""

    inputs: tuple[TensorSpec, ...]
    axes: Mapping[str, tuple[int, int]]
    ranges: Mapping[str, tuple[int, int]]


def told(options: Mapping[str, Any]) -> Told:
    """``--input``, ``--axis`` and ``--range``. Raises Misused."""
    given = tuple(parse_input(text) for text in options["inputs"])
    axes = parse_limits("--axis", options["axes"])
    ranges = parse_limits("--range", options["ranges"])
    check_axes(given, axes)
    return Told(given, axes, ranges)


def request_of(module: Any, said: Told, options: Mapping[str, Any], say: Progress) -> Request:
    """A request that the module takes: as was said, or as the module shows. Raises Misused."""
    size, seed = options["max_batch_size"], options["seed"]
    if said.inputs:
        request = request_for(
            said.inputs, said.axes, said.ranges, max_batch_size=size, seed=seed
        )  # fmt: skip
    else:
        request = look(module, max_batch_size=size, seed=seed)
    for tensor in request.inputs:
        how = f" ({request.how})" if request.how else ""
        say(f"input {tensor.name}: {tensor.datatype} {list(tensor.shape)}{how}")
    return request


def plan_module(directory: Path, spec: str, options: Mapping[str, Any], say: Progress) -> Plan:
    """For ``--module``. Raises Misused, ToolError."""
    said = told(options)
    if options["name"]:
        check_free(directory, options["name"])
    say(f"importing {spec}")
    found = load_module(spec, seed=options["seed"])
    name = options["name"] or found.name
    check_free(directory, name)
    request = request_of(found.module, said, options, say)
    notes = []
    if found.fresh:
        notes.append(
            "the weights are those that the class starts with: to serve trained ones, name a "
            "function that returns the loaded module"
        )
    return Plan(name, module_export(found.module, request, options, say), tuple(notes))


def module_export(
    module: Any, request: Request, options: Mapping[str, Any], say: Progress
) -> Export:
    """The export of a module as ``options`` (method, variant, max_batch_size, seed) say."""
    from pytest_triton.export.function import export_torchscript

    def export(directory: Path) -> ExportRecord:
        return export_torchscript(
            module,
            request.examples,
            path=directory,
            inputs=request.inputs,
            axes=request.axes,
            ranges=request.ranges,
            max_batch_size=options["max_batch_size"],
            method=options["method"],
            variant=options["variant"],
            seed=options["seed"],
            progress=say,
        )

    return export


def plan_huggingface(
    directory: Path, source: str, options: Mapping[str, Any], say: Progress
) -> Plan:
    """For ``--huggingface``. Raises Misused, ToolError."""
    from pytest_triton.export.huggingface import export_huggingface
    from pytest_triton.export.huggingface.tasks import transformers

    name = options["name"] or model_name(Path(source).resolve().name)
    check_free(directory, name)
    transformers()  # before anything is written, what is missing

    def export(place: Path) -> ExportRecord:
        return export_huggingface(
            source,
            path=place,
            task=options["task"],
            pooling=options["pooling"],
            max_length=options["max_length"],
            dtype=options["dtype"],
            max_batch_size=options["max_batch_size"],
            variant=options["variant"],
            seed=options["seed"],
            progress=say,
        )

    return Plan(name, export)
