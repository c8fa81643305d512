"""Rules CFG009, CFG010 and CFG016 to CFG023: fields that belong to no other family."""

from __future__ import annotations

import os
import re

from pytest_triton.repository.lint.backends import FRAMEWORKS, backend
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*|")


@check("CFG009")
def name(model: LintedModel) -> None:
    """The name in the file against the directory's."""
    written = str(model.config.name)
    if not written or written == model.name:
        return
    if model.directory is None and model.config_name != "config.pbtxt":
        return  # one of several configurations of a model: its directory tells nothing
    model.report(
        "CFG009",
        f'name is "{written}" and the directory is "{model.name}": Triton refuses the model'
        if model.directory
        else f'name is "{written}" and the file lies in "{model.name}": Triton refuses a model '
        "whose directory has another name",
        ("name",),
        fix=f'write  name: "{model.name}"  or take the line out',
        edits=model.replacing(("name",), f'"{model.name}"') if _plain(model.name) else (),
        severity="error" if model.directory else "warning",
    )


def _plain(text: str) -> bool:
    return text.isprintable() and '"' not in text and "\\" not in text


@check("CFG010")
def max_batch_size(model: LintedModel) -> None:
    """A largest batch below zero."""
    size = int(model.config.max_batch_size)
    if size < 0:
        model.report(
            "CFG010",
            f"max_batch_size is {size}: Triton refuses the model",
            ("max_batch_size",),
            fix="write 0 for a model without batching",
            edits=model.replacing(("max_batch_size",), "0"),
        )


@check("CFG016")
def parameters(model: LintedModel) -> None:
    """Entries of a map that have no effect."""
    for path, span in model.located.overwritten:
        if path[0] == "parameters":
            model.report(
                "CFG016",
                f'parameter "{path[1]}" comes again: Triton takes the last one and says nothing',
                span.start,
                fix="keep one of them",
            )
    for key, parameter in model.config.parameters.items():
        path = ("parameters", key)
        if not key:
            model.report("CFG016", "a parameter without a key", path, fix='add  key: "…"')
        elif not (
            parameter.string_value
            or model.span(*path, "value", "string_value")
            or model.located.doubtful("parameters")
        ):
            model.report(
                "CFG016",
                f'parameter "{key}" has no value: the model gets an empty string',
                path,
                fix='write  value { string_value: "…" }',
            )


@check("CFG022")
def environment(model: LintedModel) -> None:
    """The packed environment of a Python model, where its path is inside the model."""
    if backend(model) != "python" or model.directory is None:
        return
    key = "EXECUTION_ENV_PATH"
    written = str(model.config.parameters[key].string_value) if (
        key in model.config.parameters
    ) else ""  # fmt: skip
    root = "$$TRITON_MODEL_DIRECTORY"
    if not written.startswith(root) or "\0" in written:
        return  # a path of the machine that serves
    if not os.path.exists(f"{model.path}{written.removeprefix(root)}"):
        model.report(
            "CFG022",
            f"{written.removeprefix(root).lstrip('/')} is not in the model's directory: Triton "
            "refuses the model (Failed to get the canonical path)",
            ("parameters", key, "value", "string_value"),
            fix="add the packed environment, or take the parameter out",
        )


@check("CFG023")
def forced_to_cpu(model: LintedModel) -> None:
    """The one parameter whose value the Python backend compares, letter by letter."""
    key = "FORCE_CPU_ONLY_INPUT_TENSORS"
    if backend(model) != "python" or key not in model.config.parameters:
        return
    written = str(model.config.parameters[key].string_value)
    if written in ("yes", "no"):
        return
    right = "no" if written.lower() in ("no", "n", "off", "false", "0") else "yes"
    where = ("parameters", key, "value", "string_value")
    model.report(
        "CFG023",
        f'{key} is "{written}", and the Python backend knows "yes" and "no": Triton refuses the '
        "model",
        where if model.span(*where) else where[:2],
        fix=f'write  string_value: "{right}"',
        edits=model.replacing(where, f'"{right}"'),
    )


@check("CFG017")
def metric_tags(model: LintedModel) -> None:
    """Keys that Prometheus does not take as a label."""
    for key in model.config.metric_tags:
        if not _LABEL.fullmatch(key):
            right = re.sub(r"[^A-Za-z0-9_]", "_", key).lstrip("_") or "tag"
            model.report(
                "CFG017",
                f'metric tag "{key}" is no label of Prometheus: loading the model ends the whole '
                "server (std::invalid_argument, Invalid label name)",
                ("metric_tags", key),
                fix=f'write  key: "{right}"',
                edits=model.replacing(("metric_tags", key, "key"), f'"{right}"'),
            )


@check("CFG018")
def optimization(model: LintedModel) -> None:
    """Optimizations that the backend does not know."""
    found = backend(model)
    if found not in ("python", "pytorch"):
        return
    policy = model.config.optimization
    ignored = {
        "cuda": policy.cuda.graphs,
        "execution_accelerators": policy.HasField("execution_accelerators"),
        "graph": policy.HasField("graph"),
    }
    for field, given in ignored.items():
        if given:
            model.report(
                "CFG018",
                f"optimization.{field} does nothing: the {found} backend does not read it",
                ("optimization", field),
                fix=f"take out {field}",
                edits=model.removing(("optimization", field)),
            )


@check("CFG019")
def decoupled(model: LintedModel) -> None:
    """A decoupled model that a client cannot get at in the usual way."""
    if not model.config.model_transaction_policy.decoupled:
        return
    found = backend(model)
    if found in FRAMEWORKS:
        model.report(
            "CFG019",
            f"decoupled is set, and the {found} backend answers each request once: clients lose "
            "HTTP infer and plain gRPC infer, and gain nothing",
            ("model_transaction_policy", "decoupled"),
            fix="take out model_transaction_policy",
            edits=model.removing(("model_transaction_policy",)),
        )


@check("CFG020")
def operations(model: LintedModel) -> None:
    """Libraries of operations, which only TensorFlow and TensorRT load."""
    found = backend(model)
    if model.config.model_operations.op_library_filename and found in (
        "pytorch", "python", "onnxruntime", "openvino",
    ):  # fmt: skip
        model.report(
            "CFG020",
            f"model_operations is for TensorFlow: the {found} backend does not load the library",
            ("model_operations",),
            fix="take out model_operations",
            edits=model.removing(("model_operations",)),
        )


@check("CFG021")
def metrics(model: LintedModel) -> None:
    """model_metrics without what it needs."""
    for index, control in enumerate(getattr(model.config, "model_metrics", _None).metric_control):
        path = ("model_metrics", "metric_control", index)
        if model.located.doubtful(*path):
            continue
        if not control.metric_identifier.family:
            model.report(
                "CFG021", "metric_control names no family of metrics: Triton refuses the model",
                path, fix='write  metric_identifier { family: "…" }',
            )  # fmt: skip
        elif not control.histogram_options.buckets:
            model.report(
                "CFG021", "metric_control has no buckets: Triton refuses the model",
                path, fix="write  histogram_options { buckets: [ … ] }",
            )  # fmt: skip


class _None:
    """For a tritonclient that is older than the field."""

    metric_control: tuple[()] = ()
