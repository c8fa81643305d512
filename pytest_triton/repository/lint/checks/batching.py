"""Rules BAT001 to BAT005, BAT010, BAT011, BAT013: does anything batch, and how long does it wait?"""

from __future__ import annotations

from pytest_triton.repository.lint.backends import backend
from pytest_triton.repository.lint.completing import completes, turns_batching_on
from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath

_SCHEDULERS = ("dynamic_batching", "sequence_batching", "ensemble_scheduling")
#: Microseconds of waiting from which on a delay is worth a look, and from which on it is
#: longer than anybody waits on purpose. Triton's documents use 100.
_LONG, _TOO_LONG = 100_000, 1_000_000


@check("BAT001", "BAT013")
def cannot_batch(model: LintedModel) -> None:
    """Batching of a model that takes one request at a time."""
    config = model.config
    if not config.HasField("dynamic_batching"):
        return
    path = ("dynamic_batching",)
    if config.max_batch_size == 1:
        model.report("BAT013", "max_batch_size is 1: a batch never has a second request", path)
    if config.max_batch_size or completes(model):
        return  # a backend may find out that the model batches
    batching = config.dynamic_batching
    queues = batching.priority_levels or batching.HasField("default_queue_policy")
    model.report(
        "BAT001",
        "max_batch_size is 0: requests are never batched"
        + (", dynamic_batching only queues them" if queues else ", dynamic_batching does nothing"),
        path,
        fix="" if queues else "set max_batch_size to 1 or more, or remove dynamic_batching",
        severity="info" if queues else None,
    )


@check("BAT002")
def nothing_batches(model: LintedModel) -> None:
    """A batch dimension, and nobody who makes batches."""
    config = model.config
    if config.max_batch_size <= 1 or config.WhichOneof("scheduling_choice"):
        return
    if any(model.located.doubtful(field) for field in _SCHEDULERS):
        return
    if turns_batching_on(model):
        return
    # A model that answers as it likes mostly batches by itself, if it does.
    decoupled = config.model_transaction_policy.decoupled
    model.report(
        "BAT002",
        f"max_batch_size is {config.max_batch_size} but nothing batches: each request is "
        "executed alone",
        ("max_batch_size",),
        fix="add  dynamic_batching { }",
        edits=model.appending("dynamic_batching { }\n"),
        severity="info" if decoupled else None,
    )


@check("BAT003", "BAT004", "BAT005")
def preferred_sizes(model: LintedModel) -> None:
    """Sizes that cannot be, and sizes that keep batches small."""
    config = model.config
    if not config.HasField("dynamic_batching"):
        return
    sizes = list(config.dynamic_batching.preferred_batch_size)
    path: FieldPath = ("dynamic_batching", "preferred_batch_size")
    limit = config.max_batch_size
    for index, size in enumerate(sizes):
        if size <= 0:
            told, fix = f"preferred_batch_size {size} is not positive", "write sizes from 1 on"
        elif size > limit:
            told = f"preferred_batch_size {size} is above max_batch_size {limit}"
            fix = "remove it" if limit == 0 else f"write at most {limit}, or raise max_batch_size"
        else:
            continue
        model.report("BAT003", f"{told}: Triton refuses the model", (*path, index), fix=fix)
    if not sizes or max(sizes) > limit or min(sizes) <= 0 or backend(model) == "tensorrt":
        return
    if max(sizes) == 1 < limit:
        model.report(
            "BAT004",
            f"preferred_batch_size [ 1 ]: each request is executed alone, though max_batch_size "
            f"is {limit}",
            path,
            fix="remove preferred_batch_size",
            edits=() if len(sizes) > 1 else model.removing(path),
        )
    elif max(sizes) < limit:
        model.report(
            "BAT005",
            f"batches stop at the largest preferred size {max(sizes)}, below max_batch_size "
            f"{limit}; most models need no preferred_batch_size",
            path,
            fix="remove preferred_batch_size, unless a size was measured to be faster",
        )
    else:
        model.report("BAT005", "most models need no preferred_batch_size", path)


@check("BAT010")
def delays(model: LintedModel) -> None:
    """A wait that a caller would notice."""
    config = model.config
    for path in (
        ("dynamic_batching", "max_queue_delay_microseconds"),
        ("sequence_batching", "oldest", "max_queue_delay_microseconds"),
        ("sequence_batching", "direct", "max_queue_delay_microseconds"),
    ):
        delay = config
        for name in path:
            delay = getattr(delay, name)
        budget = model.options.latency_budget_ms
        if budget and delay >= budget * 1000:
            model.report(
                "BAT010",
                f"a request may wait {_span(delay)} for others, the whole latency budget "
                f"is {budget:g} ms",
                path,
                fix=f"write less than {budget * 1000:.0f}",
            )
        elif delay >= _TOO_LONG:
            model.report(
                "BAT010",
                f"a request may wait {_span(delay)} for others to join its batch; the unit is "
                "microseconds",
                path,
                fix=f"write {delay // 1000} if that was meant in nanoseconds",
            )
        elif delay >= _LONG:
            told = f"a lone request waits {_span(delay)} for others to join its batch"
            model.report("BAT010", told, path, severity="info")


def _span(microseconds: int) -> str:
    if microseconds >= 1_000_000:
        return f"{microseconds / 1_000_000:g} s"
    return f"{microseconds / 1000:g} ms"


@check("BAT011")
def shapes_apart(model: LintedModel) -> None:
    """Requests that cannot be in one batch although they arrive together."""
    config = model.config
    if not config.HasField("dynamic_batching") or config.max_batch_size <= 1:
        return
    for index, tensor in enumerate(config.input):
        if -1 in tensor.dims and not tensor.allow_ragged_batch:
            model.report(
                "BAT011",
                f"input {tensor.name!r} has a variable size: only requests of equal shape are "
                "batched",
                ("input", index, "dims"),
            )
        if tensor.optional:
            model.report(
                "BAT011",
                f"input {tensor.name!r} is optional: requests with it and requests without it "
                "are not batched",
                ("input", index, "optional"),
            )
