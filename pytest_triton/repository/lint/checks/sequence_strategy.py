"""Rules SEQ005, SEQ014, SEQ015: how sequences share a batch, and how long they may pause."""

from __future__ import annotations

from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath

#: Microseconds. A client on another machine needs more than that between two requests.
_SHORT_IDLE = 100_000


@check("SEQ005")
def ranges(model: LintedModel) -> None:
    """Numbers that the core refuses."""
    config = model.config
    batching = config.sequence_batching
    path: FieldPath = ("sequence_batching", "oldest", "preferred_batch_size")
    for index, size in enumerate(batching.oldest.preferred_batch_size):
        if not 1 <= size <= config.max_batch_size:
            model.report(
                "SEQ005",
                f"preferred_batch_size {size} is not within 1 and max_batch_size "
                f"{config.max_batch_size}: Triton refuses the model",
                (*path, index),
                fix="remove preferred_batch_size",
            )
    used = batching.direct.minimum_slot_utilization
    if not 0.0 <= used <= 1.0:
        model.report(
            "SEQ005",
            f"minimum_slot_utilization {used:g} is not within 0 and 1: Triton refuses the model",
            ("sequence_batching", "direct", "minimum_slot_utilization"),
            fix="write a share of the slots, such as 0.5",
        )


@check("SEQ014")
def idle(model: LintedModel) -> None:
    """A sequence that ends between two of its requests."""
    batching = model.config.sequence_batching
    pause = batching.max_sequence_idle_microseconds
    if 0 < pause < _SHORT_IDLE:
        model.report(
            "SEQ014",
            f"a sequence ends when its next request is {pause / 1000:g} ms late; the unit is "
            "microseconds",
            ("sequence_batching", "max_sequence_idle_microseconds"),
            fix="write how long a client may pause in microseconds, 1000000 is Triton's default",
        )


@check("SEQ015")
def without_effect(model: LintedModel) -> None:
    """Settings of a strategy that change nothing, or not what they seem to."""
    config = model.config
    direct, oldest = config.sequence_batching.direct, config.sequence_batching.oldest
    where: FieldPath = ("sequence_batching", "direct")
    if direct.max_queue_delay_microseconds and not direct.minimum_slot_utilization:
        model.report(
            "SEQ015",
            "max_queue_delay_microseconds without minimum_slot_utilization: nothing is delayed",
            (*where, "max_queue_delay_microseconds"),
            fix="add minimum_slot_utilization, or remove the delay",
        )
    if 0 < direct.minimum_slot_utilization <= 1 and not direct.max_queue_delay_microseconds:
        model.report(
            "SEQ015",
            "minimum_slot_utilization without max_queue_delay_microseconds: nothing is delayed",
            (*where, "minimum_slot_utilization"),
            fix="add max_queue_delay_microseconds, or remove it",
        )
    candidates = oldest.max_candidate_sequences
    where = ("sequence_batching", "oldest", "max_candidate_sequences")
    if candidates < 0:
        told = f"max_candidate_sequences {candidates} counts as not set"
        model.report("SEQ015", told, where, fix="remove it, or write how many sequences may run")
    elif 0 < candidates < config.max_batch_size:
        model.report(
            "SEQ015",
            f"max_candidate_sequences {candidates} is below max_batch_size "
            f"{config.max_batch_size}: a batch never has more than {candidates} requests",
            where,
            fix=f"write {config.max_batch_size} or more",
            severity=None if candidates < max(oldest.preferred_batch_size, default=0) else "info",
        )
