"""Strings that are not UTF-8, out of a ``forward`` that returns ``List[str]``.

Strings of TorchScript are bytes, but torch hands them to Python decoded. A method added to the
loaded module spells every such string in ASCII first: ``x`` and its bytes as three digits each.
It runs only after the normal way failed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_SPELL = """
def triton_spell_strings(self, strings: List[str]) -> List[str]:
    spelled: List[str] = []
    for text in strings:
        parts: List[str] = []
        for char in text:
            parts.append(str(1000 + ord(char)))
        spelled.append("".join(parts))
    return spelled
"""


def make_raw_strings(module: Any, schema: Any) -> Callable[[list[Any]], Any]:
    """A function of the arguments of ``forward`` that answers its result with bytes objects."""
    arguments = [item for item in schema.arguments if item.type.kind() != "ClassType"]
    returned = schema.returns[0].type
    spelled: list[Any] = []

    def define() -> Any:
        names = [f"value{index}" for index in range(len(arguments))]
        typed = ", ".join(
            f"{name}: {item.type.annotation_str}"
            for name, item in zip(names, arguments, strict=True)
        )
        if returned.kind() == "TupleType":
            kinds = [kind.annotation_str for kind in returned.containedTypes()]
            parts = [_spelled(f"result[{index}]", kind) for index, kind in enumerate(kinds)]
            body = f"({', '.join(parts)},)"
        else:
            body = _spelled("result", returned.annotation_str)
        module.define(_SPELL)
        module.define(
            f"def triton_spelled_forward(self, {typed}):\n"
            f"    result = self.forward({', '.join(names)})\n"
            f"    return {body}\n"
        )
        return module._c._get_method("triton_spelled_forward")

    def raw_strings(values: list[Any]) -> Any:
        if not spelled:
            spelled.append(define())
        result = spelled[0](*values)
        if isinstance(result, tuple):
            return tuple(_decode(item) for item in result)
        return _decode(result)

    return raw_strings


def _spelled(expression: str, kind: str) -> str:
    return f"self.triton_spell_strings({expression})" if kind == "List[str]" else expression


def _decode(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [
        bytes(int(text[at + 1 : at + 4]) for at in range(0, len(text), 4))
        if isinstance(text, str)
        else text
        for text in value
    ]
