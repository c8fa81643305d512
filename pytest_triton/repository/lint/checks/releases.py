"""Rules REL001 to REL003: what a release of Triton does not have, or no longer."""

from __future__ import annotations

from pytest_triton.repository.lint import gates
from pytest_triton.repository.lint.backends import backend
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.finding import Severity
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath, Position


def _gated(model: LintedModel, first: str) -> Severity | None:
    """None: the release that was named has it."""
    release = model.options.release
    if not release:
        return "info"
    return "error" if release < first else None


@check("REL001")
def fields(model: LintedModel) -> None:
    """Fields that came with a later release."""
    for mistake in model.located.mistakes:
        if first := gates.gate_of(mistake):
            _field(model, mistake.name, first, mistake.position, mistake.path)
    known = {name: first for (_, name), first in gates.FIELDS.items()}
    for path, span in model.located.spans.items():
        # A map's key may be called like a field.
        if path[-1] in known and _at_home(path):
            _field(model, str(path[-1]), known[str(path[-1])], span.start, path)


def _at_home(path: FieldPath) -> bool:
    homes = {
        "runtime": (), "model_metrics": (), "max_inflight_requests": ("ensemble_scheduling",),
        "iterative_sequence": ("sequence_batching",),
        "use_same_buffer_for_input_output": ("sequence_batching", "state"),
        "use_growable_memory": ("sequence_batching", "state"),
    }  # fmt: skip
    around = tuple(step for step in path[:-1] if isinstance(step, str))
    if path[-1] == "is_non_linear_format_io":
        return around in (("input",), ("output",))
    return homes.get(str(path[-1])) == around


def _field(model: LintedModel, name: str, first: str, at: Position, path: FieldPath) -> None:
    severity = _gated(model, first)
    if severity is None:
        return
    release = model.options.release
    model.report(
        "REL001",
        f"{name} came with Triton {first}: {release} refuses the file"
        if release
        else f"{name} came with Triton {first}: an older one refuses the file",
        at,
        fix=f"take out {name}, or use Triton {first} or later" if release else "",
        edits=model.removing(path) if release else (),
        severity=severity,
    )


@check("REL002", "REL003")
def backends(model: LintedModel) -> None:
    """Backends that have been taken out, and platforms that are newer than the server."""
    chosen, found = str(model.config.platform), backend(model)
    release = model.options.release
    where = ("platform",) if chosen else ("backend",)
    if (first := gates.REMOVED.get(found)) and (not release or release >= first):
        model.report(
            "REL002",
            f"NVIDIA's images have no {found} backend from {first} on"
            + (f": {release} refuses the model" if release else ""),
            where,
            fix="export the model to ONNX and use onnxruntime",
            severity="error" if release else "info",
        )
    if first := gates.PLATFORMS.get(chosen):
        severity = _gated(model, first)
        if severity:
            everywhere = "pytorch_libtorch" if chosen == "libtorch" else ""
            model.report(
                "REL003",
                f'platform "{chosen}" came with Triton {first}: '
                + (f"{release} refuses the model" if release else "an older one refuses the model"),
                ("platform",),
                fix=f'write  platform: "{everywhere}"'
                if everywhere
                else f"use Triton {first} or later"
                if release
                else "",
                edits=model.replacing(("platform",), f'"{everywhere}"') if everywhere else (),
                # A name that means the same everywhere costs nothing.
                severity="warning" if everywhere and severity == "info" else severity,
            )
