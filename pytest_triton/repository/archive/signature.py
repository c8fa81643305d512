"""The header of ``forward`` as TorchScript's code has it: names, types, defaults, result.

    def forward(self: __torch__.Net,
        x: Tensor,
        mask: Optional[Tensor]=None) -> Tuple[Tensor, Tensor]:

Only the header is parsed, and only after its end was found within a bound.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

#: Characters of a header that are parsed.
MAX_HEADER = 64 * 1024
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|[()\[\]{}]|:|\n')


class BadHeader(Exception):
    """A header that is not one, or that has no end."""


@dataclass(frozen=True, slots=True)
class Type:
    """A type: ``Tensor``, ``List[str]``, ``Dict[str, Tensor]``, ``__torch__.module.Class``."""

    name: str
    items: tuple[Type, ...] = ()

    def __str__(self) -> str:
        if not self.items:
            return "Tuple[()]" if self.name == "Tuple" else self.name
        return f"{self.name}[{', '.join(map(str, self.items))}]"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of ``forward``, without ``self``."""

    name: str
    type: Type
    #: Its source text; None when a caller has to give a value.
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """What ``forward`` takes and gives."""

    arguments: tuple[Argument, ...]
    returns: Type
    #: Elements of the result where it is a tuple (a named one too), else the result alone.
    results: tuple[Type, ...] = ()

    def __str__(self) -> str:
        return f"forward({', '.join(argument.name for argument in self.arguments)})"


def header_end(text: str, start: int) -> int:
    """Where the header that begins at ``start`` ends: behind its colon. Raises BadHeader."""
    depth = 0
    for token in _TOKEN.finditer(text, start, start + MAX_HEADER):
        found = token[0]
        if found in "([{":
            depth += 1
        elif found in ")]}":
            depth -= 1
        elif found == ":" and depth == 0:
            return token.end()
        elif found == "\n" and depth == 0:
            break
        if not 0 <= depth < 50:
            break
    raise BadHeader("the header of forward has no end")


def parse_header(text: str) -> Signature:
    """``def forward(self: …, x: Tensor) -> Tensor:`` -> Signature. Raises BadHeader."""
    try:
        tree = ast.parse(f"{text.strip()} pass\n")
        function = tree.body[0]
        if not isinstance(function, ast.FunctionDef):
            raise BadHeader("not a function")
        given = function.args
        if given.vararg or given.kwarg or given.posonlyargs:
            raise BadHeader("arguments of a kind that TorchScript does not have")
        positional = [*given.args, *given.kwonlyargs]
        defaults = [None] * (len(given.args) - len(given.defaults)) + [
            *given.defaults,
            *given.kw_defaults,
        ]
        arguments = [
            Argument(item.arg, _type(item.annotation), ast.unparse(default) if default else None)
            for item, default in zip(positional, defaults, strict=True)
        ]
        returns = _type(function.returns)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadHeader(f"the header of forward cannot be read: {error}") from None
    # Whoever wrote the module may have called it otherwise; its type is the module's.
    if not arguments or not (
        arguments[0].name == "self" or arguments[0].type.name.startswith("__torch__.")
    ):
        raise BadHeader("forward has no self")
    return Signature(tuple(arguments[1:]), returns, (returns,))


def _type(node: ast.expr | None) -> Type:
    if node is None:
        return Type("Tensor")  # what TorchScript takes an unannotated one for
    if isinstance(node, ast.Constant):
        return Type(str(node.value))
    if isinstance(node, ast.Subscript):
        inner = node.slice
        items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        return Type(_type(node.value).name, tuple(_type(item) for item in items))
    if isinstance(node, (ast.Name, ast.Attribute)):
        return Type(ast.unparse(node))
    if isinstance(node, ast.Tuple):
        return Type("Tuple", tuple(_type(item) for item in node.elts))
    raise BadHeader(f"no type: {ast.unparse(node)[:80]}")
