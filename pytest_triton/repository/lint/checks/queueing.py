"""Rules BAT006 to BAT009: priorities, order and queue policies of the dynamic batcher."""

from __future__ import annotations

from typing import Any

from pytest_triton.repository.lint.context import LintedModel
from pytest_triton.repository.lint.registry import check
from pytest_triton.repository.positions import FieldPath

_BATCHING: FieldPath = ("dynamic_batching",)
_DEFAULT: FieldPath = ("dynamic_batching", "default_queue_policy")
#: ModelQueuePolicy.DELAY; REJECT is 0.
_DELAY = 1


def _policies(batching: Any) -> list[tuple[FieldPath, Any]]:
    """Every queue policy that is written, with its place."""
    found: list[tuple[FieldPath, Any]] = []
    if batching.HasField("default_queue_policy"):
        found.append((_DEFAULT, batching.default_queue_policy))
    for level in sorted(batching.priority_queue_policy):
        path: FieldPath = ("dynamic_batching", "priority_queue_policy", level, "value")
        found.append((path, batching.priority_queue_policy[level]))
    return found


@check("BAT006")
def levels(model: LintedModel) -> None:
    """Levels are counted from 1, and requests without one need a default."""
    batching = model.config.dynamic_batching
    count, default = batching.priority_levels, batching.default_priority_level
    if not count:
        return
    if not 1 <= default <= count:
        told = f"is {default}" if default else "is not set"
        model.report(
            "BAT006",
            f"default_priority_level {told}, the levels are 1 to {count}: Triton refuses the model",
            (*_BATCHING, "default_priority_level" if default else "priority_levels"),
            fix=f"write default_priority_level: {count}",
            edits=model.replacing((*_BATCHING, "default_priority_level"), str(count)),
        )
    for level in sorted(batching.priority_queue_policy):
        if not 1 <= level <= count:
            model.report(
                "BAT006",
                f"priority_queue_policy for level {level}, the levels are 1 to {count}: Triton "
                "refuses the model",
                (*_BATCHING, "priority_queue_policy", level),
                fix="correct the key, or raise priority_levels",
            )


@check("BAT007")
def order(model: LintedModel) -> None:
    """Answers in the order of the requests, and something that changes that order."""
    batching = model.config.dynamic_batching
    if not batching.preserve_ordering:
        return
    if batching.priority_levels > 1:
        model.report(
            "BAT007",
            f"preserve_ordering with {batching.priority_levels} priority levels: Triton refuses "
            "the model",
            (*_BATCHING, "preserve_ordering"),
            fix="remove preserve_ordering, or write priority_levels: 1",
        )
    for path, policy in _policies(batching):
        if policy.timeout_action == _DELAY and policy.default_timeout_microseconds:
            model.report(
                "BAT007",
                "preserve_ordering with timeout_action DELAY, which moves a request behind "
                "others: Triton refuses the model",
                (*path, "timeout_action"),
                fix="write timeout_action: REJECT, or remove preserve_ordering",
                edits=model.replacing((*path, "timeout_action"), "REJECT"),
            )


@check("BAT008")
def without_effect(model: LintedModel) -> None:
    """Settings that the batcher reads and that change nothing."""
    batching = model.config.dynamic_batching
    if not batching.priority_levels:
        if batching.default_priority_level:
            _useless(
                model,
                "default_priority_level without priority_levels: all requests are equal",
                (*_BATCHING, "default_priority_level"),
                "set priority_levels, or remove it",
            )
        for level in sorted(batching.priority_queue_policy):
            _useless(
                model,
                f"priority_queue_policy for level {level} without priority_levels",
                (*_BATCHING, "priority_queue_policy", level),
                "set priority_levels, or write it as default_queue_policy",
            )
    elif batching.HasField("default_queue_policy"):
        missing = set(range(1, min(batching.priority_levels, 1000) + 1))
        if not missing - set(batching.priority_queue_policy):
            _useless(
                model,
                "default_queue_policy, though each priority level has a policy of its own",
                _DEFAULT,
                "remove it",
            )
    for path, policy in _policies(batching):
        if policy.default_timeout_microseconds:
            continue
        if policy.timeout_action == _DELAY:
            _useless(
                model,
                "timeout_action DELAY without default_timeout_microseconds: nothing times out",
                (*path, "timeout_action"),
                "set default_timeout_microseconds, or remove timeout_action",
            )
        if policy.allow_timeout_override:
            _useless(
                model,
                "allow_timeout_override without default_timeout_microseconds: a request can only "
                "shorten that, so its own timeout is ignored",
                (*path, "allow_timeout_override"),
                "set default_timeout_microseconds to the longest timeout that you allow",
            )


def _useless(model: LintedModel, told: str, path: FieldPath, fix: str) -> None:
    model.report("BAT008", told, path, fix=fix)


@check("BAT009")
def rejected_while_waiting(model: LintedModel) -> None:
    """A request that waits for others longer than it is kept."""
    config = model.config
    batching = config.dynamic_batching
    delay = batching.max_queue_delay_microseconds
    if config.max_batch_size <= 1 or 1 in batching.preferred_batch_size:
        return  # nobody waits
    for path, policy in _policies(batching):
        timeout = policy.default_timeout_microseconds
        if 0 < timeout < delay and policy.timeout_action != _DELAY:
            model.report(
                "BAT009",
                f"a lone request waits {delay} us for others but is rejected after {timeout} us: "
                "503 Request timeout expired",
                (*path, "default_timeout_microseconds"),
                fix="make max_queue_delay_microseconds much shorter than the timeout",
            )
