"""Calling ``forward``, and the words of C++ where Python would word a failure differently.

A configuration fixes the type of every value that reaches ``forward``. So whether ``forward``
will accept them is known at load; the C++ backend says it at every request, and so do we.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torchscript_config import Config
from torchscript_refusal import INTERNAL, INVALID_ARG, Refusal
from torchscript_schema import Plan

#: Python values that ``forward`` can return inside a tuple, by the tag that C++ prints.
_TAGS = (
    (bool, "Bool"),
    (int, "Int"),
    (float, "Double"),
    (complex, "ComplexDouble"),
    (str, "String"),
    (dict, "GenericDict"),
    (tuple, "Tuple"),
    (type(None), "None"),
)


def value_count(config: Config, plan: Plan) -> int:
    """How many values one call gets: what a request brings, and one for each batch input."""
    controls = set(plan.positions) - {item.name for item in config.inputs}
    controls -= {state.input_name for state in config.states or ()}
    controls -= {name for batch_input in config.batch_inputs for name in batch_input.targets}
    return len(config.inputs) + len(controls) + len(config.states or ()) + len(config.batch_inputs)


def value_types(config: Config, plan: Plan, count: int) -> dict[int, str]:
    """Position in the call -> what arrives there: ``"Tensor"`` or ``"List[str]"``.

    Raises :class:`Refusal` for positions that the C++ backend would write past its own memory.
    """
    data_types = {item.name: item.data_type for item in config.inputs}
    data_types.update({state.input_name: state.data_type for state in config.states or ()})
    arriving: dict[int, str] = {}
    for name, index in plan.positions.items():
        if index >= count:
            raise Refusal(
                INVALID_ARG,
                f"unable to load model '{config.name}', input '{name}' refers to input index "
                f"{index} which doesn't exist. This model has {count} inputs",
            )
        string = data_types.get(name) == "TYPE_STRING"
        arriving[index] = "List[str]" if string else "Tensor"
    return arriving


def doomed(plan: Plan, schema: Any, arriving: dict[int, str], width: int) -> str | None:
    """Why ``forward`` refuses what this configuration sends it, in C++'s words; else ``None``."""
    arguments = list(schema.arguments)
    offset = 1 if arguments and arguments[0].type.kind() == "ClassType" else 0
    arguments = arguments[offset:]
    if plan.dict_input:
        for name in sorted(plan.positions):
            if arriving[plan.positions[name]] != "Tensor":
                return "Expected Tensor but got GenericList"
        return _mismatch(schema, arguments[0], offset, "Dict[str, Tensor]")
    if width > len(arguments):
        return (
            f"Expected at most {len(arguments) + offset} argument(s) for operator "
            f"'{schema.name}', but received {width + offset} argument(s). Declaration: {schema}"
        )
    for index, argument in enumerate(arguments):
        text = _mismatch(schema, argument, index + offset, arriving.get(index, "NoneType"))
        if text is not None:
            return text
    return None


def _mismatch(schema: Any, argument: Any, position: int, actual: str) -> str | None:
    wanted = argument.type.annotation_str
    if wanted == actual:
        return None
    return (
        f"{schema.name}() Expected a value of type '{wanted}' for argument '{argument.name}' but "
        f"instead found type '{actual}'.\nPosition: {position}\nDeclaration: {schema}"
    )


def make_call(
    plan: Plan, method: Any, doom: str | None, raw_strings: Callable[[list[Any]], Any]
) -> Callable[[list[Any]], Any]:
    """A function of the values by position; answers the result of ``forward``.

    ``raw_strings`` takes over when ``forward`` returned strings that are not UTF-8.
    """
    if doom is not None:
        refusal = Refusal(INTERNAL, f"PyTorch execute failure: {doom}")

        def refuse(values: list[Any]) -> Any:
            raise refusal

        return refuse
    pairs = tuple(plan.positions.items())

    def call(values: list[Any]) -> Any:
        try:
            return method(*values)
        except UnicodeDecodeError:
            return raw_strings(values)
        except Exception as error:
            raise _failure(error) from None

    def call_with_dict(values: list[Any]) -> Any:
        return call([{name: values[index] for name, index in pairs}])

    return call_with_dict if plan.dict_input else call


def _failure(error: Exception) -> Refusal:
    return Refusal(INTERNAL, f"PyTorch execute failure: {error}")


def unpack(value: Any, returned: Any, tensor: type) -> list[Any]:
    """The elements of what ``forward`` returned: tensors, and lists for ``List[str]``.

    ``returned`` is the type in the schema: an empty Python list does not tell its own.
    """
    if isinstance(value, tuple):
        kinds = returned.containedTypes() if returned.kind() == "TupleType" else ()
        for index, element in enumerate(value):
            if isinstance(element, tensor):
                continue
            if not isinstance(element, list):
                raise Refusal(
                    INTERNAL, f"PyTorch execute failure: Expected Tensor but got {_tag(element)}"
                )
            inner = _element_type(element, kinds[index] if index < len(kinds) else None, tensor)
            if inner != "str":
                raise Refusal(
                    INTERNAL,
                    f"PyTorch execute failure: output at index {index} must be of type Tensor or "
                    f"List[str], received List[{inner}]",
                )
        return list(value)
    if isinstance(value, list):
        inner = _element_type(value, returned, tensor)
        if inner != "str":
            raise Refusal(
                INTERNAL,
                "PyTorch execute failure: output must be of type Tensor or List[str], received "
                f"List[{inner}]",
            )
        return [value]
    raise Refusal(
        INTERNAL,
        "PyTorch execute failure: output must be of type Tensor, List[str] or Tuple containing "
        "one of these two types. It should not be a List / Dictionary of Tensors or a Scalar",
    )


def _element_type(value: list[Any], declared: Any, tensor: type) -> str:
    """``elementType()->str()`` of a list, as declared or else as found."""
    if declared is not None and declared.kind() == "ListType":
        text: str = declared.getElementType().str()
        return text
    if not value or isinstance(value[0], (str, bytes)):
        return "str"
    if isinstance(value[0], tensor):
        return "Tensor"
    return type(value[0]).__name__


def _tag(value: Any) -> str:
    return next((tag for kind, tag in _TAGS if isinstance(value, kind)), "Object")
