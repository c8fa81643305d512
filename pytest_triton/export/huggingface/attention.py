"""Attention implementations: which of them are tried for a trace, and set for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_triton.export.interface import ExportRefused

#: In the order in which they are tried. Flash and flex attention are kernels that no trace holds.
TRACEABLE = ("sdpa", "eager")


def candidates(model: Any, asked: str | None) -> tuple[str, ...]:
    """What is tried: the one that was asked for, or all, or "" for a model that has no choice."""
    if asked is not None:
        if asked not in TRACEABLE:
            raise ExportRefused(
                f"attention {asked!r} cannot be traced", f"one of {', '.join(TRACEABLE)}"
            )
        if asked != in_use(model) and not _settable(model):
            raise ExportRefused(
                f"{type(model).__name__} has its attention ({in_use(model)}) built in",
                "leave attention out",
            )
        return (asked,)
    return TRACEABLE if _settable(model) else ("",)


@contextmanager
def attention(model: Any, name: str) -> Iterator[None]:
    """The model with this implementation for the block."""
    before = getattr(model.config, "_attn_implementation", None)
    if not name or name == before or not _settable(model):
        yield
        return
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def in_use(model: Any) -> str:
    """The implementation that the model has now."""
    return str(getattr(model.config, "_attn_implementation", "") or "")


def _settable(model: Any) -> bool:
    """Whether the implementation can be exchanged; a class that has it built in only warns."""
    if not hasattr(model, "set_attn_implementation"):
        return False
    can = getattr(model, "_can_set_attn_implementation", None)
    return bool(can()) if callable(can) else True
