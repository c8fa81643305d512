"""Which function looks for which rules."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from pytest_triton.repository.lint.context import LintedModel

Check = Callable[[LintedModel], None]
_Function = TypeVar("_Function", bound=Check)


@dataclass(frozen=True, slots=True)
class Registered:
    """A check, the rules that it reports, and whether it needs a configuration to look at."""

    function: Check
    rules: tuple[str, ...]
    needs_config: bool


_CHECKS: list[Registered] = []


def check(*rules: str, needs_config: bool = True) -> Callable[[_Function], _Function]:
    """Register a check; with ``needs_config`` it sees only models whose text parses."""

    def register(function: _Function) -> _Function:
        _CHECKS.append(Registered(function, rules, needs_config))
        return function

    return register


@lru_cache(maxsize=1)
def checks() -> tuple[Registered, ...]:
    """All checks; the modules of ``checks/`` are imported for it, in alphabetical order."""
    from pytest_triton.repository.lint import checks as package

    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(_CHECKS)
