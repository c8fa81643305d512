"""What the builder does not write: what lint calls an error, and what lint could not see."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pytest_triton.errors import ToolError
from pytest_triton.repository.lint import Finding
from pytest_triton.repository.options import Options, WarmupInput
from pytest_triton.repository.tensors import NUMPY_OF, TensorSpec, datatype_of

#: Warnings of lint that are refused too: what is asked for would not happen.
_REFUSED_TOO = frozenset({"BAT001"})


class BuildRefused(ToolError):
    """What was asked for is no model that Triton could serve."""

    def __init__(self, message: str, remedy: str = "", findings: Sequence[Finding] = ()) -> None:
        super().__init__(message, remedy)
        #: What lint has against it; empty when the builder itself refused.
        self.findings = tuple(findings)


def refuse_errors(name: str, findings: Sequence[Finding]) -> None:
    """Raise BuildRefused with the rules and fixes, if lint found what Triton refuses."""
    wrong = [
        one
        for one in findings
        if one.severity == "error" or (one.severity == "warning" and one.rule in _REFUSED_TOO)
    ]
    if not wrong:
        return
    lines = [f"{name!r} is no model to serve:"]
    for one in wrong:
        lines.append(f"  {one.rule} {one.message} ({one.file}:{one.line})")
        lines += [f"         {one.fix}"] if one.fix else []
    raise BuildRefused(
        "\n".join(lines),
        f"put it right (pytest-triton lint --explain {wrong[0].rule} tells more), or write it all "
        "the same with checked=False",
        wrong,
    )


def check(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    options: Options,
    versions: Collection[int],
) -> None:
    """What would not be in the configuration at all, so that lint could not see it."""
    for kind, tensors in (("input", inputs), ("output", outputs)):
        if not tensors and options.config is None:
            raise BuildRefused(f"no {kind}", f"give at least one {kind}")
    if not versions or any(version < 1 for version in versions):
        raise BuildRefused(f"versions {sorted(versions)}", "at least one, from 1 on")
    into, out = {tensor.name for tensor in inputs}, {tensor.name for tensor in outputs}
    sampled = {name for sample in options.model_warmup for name in sample.inputs}
    for field, given, known in (
        ("labels", options.labels, out),
        ("reshape", options.reshape, into | out),
        ("optional_inputs", options.optional_inputs, into),
        ("allow_ragged_batch", options.allow_ragged_batch, into),
        ("model_warmup", sampled, into),
    ):
        if unknown := sorted({*given} - known):
            raise BuildRefused(f"{field}: no tensor is called {unknown}", f"correct {field}")
    _check_scheduling(options)
    _check_values(inputs, options)


def _check_scheduling(options: Options) -> None:
    if options.dynamic_batching and options.sequence_batching is not None:
        raise BuildRefused(
            "dynamic_batching beside sequence_batching: Triton knows one scheduler for a model",
            "leave one of them out",
        )
    if isinstance(options.version_policy, str) and options.version_policy not in ("latest", "all"):
        raise BuildRefused(
            f"version_policy {options.version_policy!r}",
            '"latest", "all", Latest(2), or a list of versions',
        )


def _check_values(inputs: Sequence[TensorSpec], options: Options) -> None:
    """Values that are written as bytes, where nobody would see that they are others."""
    for name, labels in options.labels.items():
        if broken := [label for label in labels if len(str(label).splitlines()) > 1]:
            raise BuildRefused(
                f"label {broken[0]!r} of {name!r} has several lines, and a line is one label",
                "write it without line breaks",
            )
    for sample in options.model_warmup:
        for tensor in inputs:
            given = sample.inputs.get(tensor.name)
            if given is None or isinstance(given, WarmupInput) or tensor.datatype == "BF16":
                continue
            if (datatype := datatype_of(given)) != tensor.datatype:
                raise BuildRefused(
                    f"the warm-up sample {sample.name!r} has {datatype} for {tensor.name!r}, which "
                    f"is {tensor.datatype}",
                    f"convert the array to {NUMPY_OF[tensor.datatype]}",
                )
