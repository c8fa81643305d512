"""What becomes of forward's arguments on the way that every request takes.

Followed from statement to statement, into submodules and functions, as long as it is certain:
what is assigned in loops, or differs between branches, and the result of any operator that is not
listed here, is unknown. So little is found, and what is found happens.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_triton.repository.archive.sources import Sources

#: The record that holds a tensor: attributes of modules, or what freezing made constants.
Record = Literal["data.pkl", "constants.pkl"]

_MAX_CALLS = 500
_MAX_DEPTH = 30
_MAX_STEPS = 100_000
#: The same numbers in another shape or place.
_SHAPES = frozenset({
    "flatten", "reshape", "permute", "transpose", "t", "unsqueeze", "squeeze", "contiguous",
    "slice", "select", "narrow", "expand", "detach", "clone", "alias", "view",
})  # fmt: skip
#: A floating-point tensor stays what it is, and so does one without dimensions.
_ELEMENTWISE = frozenset({
    "relu", "relu_", "relu6", "gelu", "silu", "sigmoid", "tanh", "hardtanh", "leaky_relu", "elu",
    "neg", "abs", "exp", "dropout",
})  # fmt: skip
_WITH_NUMBER = frozenset({"add", "sub", "mul", "div"})
_POOLS = frozenset({
    "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool2d",
})  # fmt: skip
#: Operators without dimensions to reduce: the result has none.
_REDUCTIONS = frozenset({"sum", "mean", "prod", "max", "min"})
#: Where operators that want one type have the input and the weight.
_WEIGHTED = {
    "linear": (0, 1), "matmul": (0, 1), "mm": (0, 1), "bmm": (0, 1), "addmm": (1, 2),
    "conv1d": (0, 1), "conv2d": (0, 1), "conv3d": (0, 1), "_convolution": (0, 1),
    "_convolution_mode": (0, 1), "conv_transpose1d": (0, 1), "conv_transpose2d": (0, 1),
    "conv_transpose3d": (0, 1),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Meeting:
    """An argument of forward that meets a weight in an operator which wants one type of both."""

    #: Its position, without self.
    argument: int
    #: ``linear``, ``conv2d``, …
    operator: str
    record: Record
    #: Only its shape was changed before: an integer is still that integer.
    exact: bool


@dataclass(frozen=True, slots=True)
class Flow:
    """What was found."""

    meetings: tuple[Meeting, ...] = ()
    #: Elements of the result (0 where it is one tensor) that are tensors without dimensions.
    scalars: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Module:
    name: str


@dataclass(frozen=True, slots=True)
class _Weight:
    record: Record


@dataclass(frozen=True, slots=True)
class _Given:
    argument: int
    exact: bool = True


@dataclass(frozen=True, slots=True)
class _Function:
    name: str


@dataclass(frozen=True, slots=True)
class _Elements:
    items: tuple[_Value, ...]


_Value = _Module | _Weight | _Given | _Function | _Elements | Literal["scalar", "number"] | None


class _Lost(Exception):
    """From here on nothing is certain."""


def follow(sources: Sources, root: str, arguments: Sequence[bool]) -> Flow:
    """Follow forward's ``arguments``: those that are tensors, by position."""
    forward = sources.method(root, "forward")
    if forward is None:
        return Flow()
    reader = _Reader(sources)
    given: list[_Value] = [_Module(root)]
    given += [_Given(at) if tensor else None for at, tensor in enumerate(arguments)]
    try:
        result = reader.call(forward, given)
    except (_Lost, RecursionError):
        result = None
    elements = result.items if isinstance(result, _Elements) else (result,)
    scalars = tuple(at for at, value in enumerate(elements) if value == "scalar")
    return Flow(tuple(reader.meetings), scalars)


@dataclass(slots=True)
class _Reader:
    sources: Sources
    #: In the order of the code, each once.
    meetings: dict[Meeting, None] = field(default_factory=dict)
    calls: int = 0
    depth: int = 0
    steps: int = 0

    def call(self, function: ast.FunctionDef | None, given: Sequence[_Value]) -> _Value:
        """The value of a call."""
        if function is None or self.depth >= _MAX_DEPTH:
            return None
        self.calls += 1
        if self.calls > _MAX_CALLS:
            raise _Lost
        names = [argument.arg for argument in function.args.args]
        values = dict(zip(names, given, strict=False))
        self.depth += 1
        try:
            for statement in function.body:
                if isinstance(statement, ast.Return):
                    return self._value(statement.value, values)
                self._run(statement, values)
        finally:
            self.depth -= 1
        return None

    def _run(self, statement: ast.stmt, values: dict[str, _Value]) -> None:
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            value = self._value(statement.value, values)
            target = statement.targets[0]
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            parts: Sequence[_Value] = [value] if names[0] is target else [None] * len(names)
            if names[0] is not target and isinstance(value, _Elements):
                parts = value.items if len(value.items) == len(names) else parts
            for name, part in zip(names, parts, strict=True):
                if not isinstance(name, ast.Name):
                    raise _Lost  # an attribute: a weight may be another one from here on
                values[name.id] = part
        elif isinstance(statement, ast.Expr):
            self._value(statement.value, values)
        elif isinstance(statement, ast.If):
            self._branch(statement, values)
        else:
            for node in ast.walk(statement):
                self._step()
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    values[node.id] = None
                elif isinstance(node, (ast.Return, ast.AnnAssign)) or (
                    isinstance(node, (ast.Attribute, ast.Subscript))
                    and isinstance(node.ctx, ast.Store)
                ):
                    raise _Lost

    def _branch(self, statement: ast.If, values: dict[str, _Value]) -> None:
        """Known is what is the same in both ways; what only one meets may never happen."""
        self._value(statement.test, values)
        met = dict(self.meetings)
        ways = []
        for body in (statement.body, statement.orelse):
            way = dict(values)
            for inner in body:
                if isinstance(inner, ast.Return):
                    raise _Lost
                self._run(inner, way)
            ways.append(way)
        self.meetings = met
        for name in ways[0].keys() | ways[1].keys():
            self._step()
            same = ways[0].get(name) == ways[1].get(name)
            values[name] = ways[0].get(name) if same else None

    def _step(self) -> None:
        self.steps += 1
        if self.steps > _MAX_STEPS:
            raise _Lost

    def _value(self, node: ast.expr | None, values: dict[str, _Value]) -> _Value:
        self._step()
        if isinstance(node, ast.Name):
            return values.get(node.id)
        if isinstance(node, ast.Tuple):
            return _Elements(tuple(self._value(item, values) for item in node.elts))
        if isinstance(node, ast.Constant):
            number = isinstance(node.value, (int, float)) and not isinstance(node.value, bool)
            return "number" if number else None
        if isinstance(node, ast.UnaryOp):
            value = self._value(node.operand, values)
            return value if value == "number" else None
        if isinstance(node, ast.Attribute):
            name = _dotted(node)
            if name.startswith("CONSTANTS."):
                return _Weight("constants.pkl")
            if name.startswith("__torch__."):
                return _Function(name)
            return self._attribute(self._value(node.value, values), node.attr)
        if isinstance(node, ast.Call):
            return self._called(node, values)
        return None

    def _attribute(self, owner: _Value, name: str) -> _Value:
        if not isinstance(owner, _Module):
            return None
        kind = self.sources.attributes(owner.name).get(name, "")
        if kind.startswith("__torch__."):
            return _Module(kind)
        return _Weight("data.pkl") if kind == "Tensor" else None

    def _called(self, node: ast.Call, values: dict[str, _Value]) -> _Value:
        given = [self._value(item, values) for item in node.args]
        for keyword in node.keywords:
            self._value(keyword.value, values)
        target = node.func
        if isinstance(target, ast.Name):
            if target.id == "getattr" and len(node.args) == 2:
                name = node.args[1]
                text = name.value if isinstance(name, ast.Constant) else ""
                return self._attribute(given[0], str(text))
            if target.id in ("unchecked_cast", "annotate") and len(given) == 2:
                return given[1]
        if isinstance(target, ast.Attribute) and _dotted(target) == f"torch.{target.attr}":
            return self._operator(node, target.attr, given)
        if node.keywords:
            return None
        if isinstance(target, ast.Attribute):
            owner = self._value(target.value, values)
            if isinstance(owner, _Module):
                return self.call(self.sources.method(owner.name, target.attr), [owner, *given])
        called = self._value(target, values)
        if isinstance(called, _Function):
            return self.call(self.sources.function(called.name), given)
        return None

    def _operator(self, node: ast.Call, name: str, given: Sequence[_Value]) -> _Value:
        first = given[0] if given else None
        keywords = {keyword.arg for keyword in node.keywords}
        if name in _WEIGHTED:
            self._meet(name, given)
        elif name in _REDUCTIONS and len(given) == 1 and keywords <= {"dtype"}:
            return "scalar"
        elif name in _SHAPES:
            # torch.view(x, 5) is another type of the same bytes.
            kept = name != "view" or (len(node.args) == 2 and isinstance(node.args[1], ast.List))
            return first if kept and isinstance(first, (_Given, _Weight)) else None
        elif not keywords and (
            name in _ELEMENTWISE or (name in _WITH_NUMBER and given[1:2] == ["number"])
        ):
            return first if first == "scalar" else _rounded(first)
        elif not keywords and name in _POOLS:
            return _rounded(first)
        return None

    def _meet(self, name: str, given: Sequence[_Value]) -> None:
        """Either operand of a product may be the weight; a layer has it behind the input."""
        left, right = _WEIGHTED[name]
        if len(given) <= right:
            return
        pair = [given[left], given[right]]
        if isinstance(pair[0], _Weight) and name in ("matmul", "mm", "bmm", "addmm"):
            pair.reverse()
        if isinstance(pair[0], _Given) and isinstance(pair[1], _Weight):
            meeting = Meeting(pair[0].argument, name, pair[1].record, pair[0].exact)
            self.meetings[meeting] = None


def _rounded(value: _Value) -> _Value:
    """An argument after an operator that makes floating-point numbers of integers."""
    return _Given(value.argument, False) if isinstance(value, _Given) else None


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id])) if isinstance(node, ast.Name) else ""
