"""Which tensor of the configuration is which argument or result of ``forward``.

Three conventions, decided once for all inputs and once for all outputs: the names are arguments
of ``forward``; the names end in ``__<index>``; the order of the configuration. One name out of
line sends all of them to the next convention.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from torchscript_config import Config
from torchscript_refusal import INVALID_ARG, Refusal

FORWARD_ARGUMENT = "forward argument"
NAMED_INDEX = "named index"
CONFIG_ORDER = "order of the configuration"

_LEADING_INTEGER = re.compile(r"\s*([+-]?[0-9]+)")


def leading_integer(text: str) -> int:
    """C's ``atoi``: the integer at the beginning, 0 where there is none."""
    match = _LEADING_INTEGER.match(text)
    return int(match.group(1)) if match else 0


def index_of(name: str) -> int:
    """The index behind the first ``__``; an empty suffix means 0."""
    # Without "__" the C++ backend cuts off one character and reads what follows.
    start = name.find("__")
    return leading_integer(name[start + 2 :] if start >= 0 else name[1:])


def has_index(name: str) -> bool:
    """True for ``<name>__<digits>``; only the first ``__`` counts, no digits pass too."""
    start = name.find("__")
    return start >= 0 and all(char in "0123456789" for char in name[start + 2 :])


def decide(config: Config, arguments: Sequence[str], warn: Callable[[str], None]) -> str:
    """The convention of the inputs, or of the outputs when ``arguments`` is empty.

    A model without tensor arguments (or with a dict) has its inputs judged by the names of the
    outputs: so does the C++ backend. Raises :class:`Refusal` when states need ``__index`` names.
    """
    kind = "input" if arguments else "output"
    names = [item.name for item in (config.inputs if arguments else config.outputs)]
    if arguments and all(name in arguments for name in names):
        convention = FORWARD_ARGUMENT
    else:
        convention = NAMED_INDEX
        for name in names:
            if has_index(name):
                continue
            convention = CONFIG_ORDER
            if "__" in name:  # a name without any "__" falls back silently
                warn(_fallback(kind, name, config.name))
            break
    _check_states(config, kind, convention)
    return convention


def position(convention: str, name: str, order: int, arguments: Sequence[str]) -> int | None:
    """The index of one tensor; ``None`` when the convention has no place for it."""
    if convention == FORWARD_ARGUMENT:
        return arguments.index(name) if name in arguments else None
    return index_of(name) if convention == NAMED_INDEX else order


def _fallback(kind: str, name: str, model: str) -> str:
    if kind == "input":
        who = (
            f"input '{name}' or previous input(s) are neither an input argument to the model "
            f"'{model}' nor do they follow"
        )
    else:
        who = f"output '{name}' or previous output(s) of the model '{model}' do not follow"
    return (
        f"{who} the <name>__<index> naming convention. Falling back to enforcing strict "
        "ordering from model configuration."
    )


def _check_states(config: Config, kind: str, convention: str) -> None:
    if config.states is None:
        return
    model = f"PyTorch model '{config.name}' is using sequence batching with state but"
    if convention != NAMED_INDEX:
        raise Refusal(
            INVALID_ARG,
            f"{model} not all inputs and outputs follow the <name>__<index> naming convention. ",
        )
    for state in config.states:
        name = state.input_name if kind == "input" else state.output_name
        if not has_index(name):
            raise Refusal(
                INVALID_ARG,
                f"{model} state '{name}' does not follow the <name>__<index> naming convention. ",
            )
