"""``requires`` of a clause: a Boolean expression over capabilities, e.g. ``owned and not gpu``."""

from __future__ import annotations

import ast
from collections.abc import Callable


class ExpressionError(ValueError):
    """The expression is not made of names, ``and``, ``or``, ``not`` and parentheses."""


def parse(text: str) -> ast.expr:
    """Parse; raises ExpressionError for anything that is not a Boolean expression of names."""
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(f"cannot read {text!r}: {error.msg}") from None
    for node in ast.walk(tree):
        if not isinstance(
            node, (ast.Name, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.Load)
        ):
            raise ExpressionError(f"{type(node).__name__} has no place in {text!r}")
    return tree


def names(text: str) -> frozenset[str]:
    """The capabilities that the expression names."""
    return frozenset(node.id for node in ast.walk(parse(text)) if isinstance(node, ast.Name))


def holds(text: str, capability: Callable[[str], bool]) -> bool:
    """Evaluate; capabilities are asked for only as far as the answer needs them."""
    return not text or _evaluate(parse(text), capability)


def _evaluate(node: ast.expr, capability: Callable[[str], bool]) -> bool:
    if isinstance(node, ast.Name):
        return capability(node.id)
    if isinstance(node, ast.UnaryOp):
        return not _evaluate(node.operand, capability)
    assert isinstance(node, ast.BoolOp)
    values = (_evaluate(value, capability) for value in node.values)
    return all(values) if isinstance(node.op, ast.And) else any(values)
