"""Which function looks for which rules."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from pytest_triton.repository.lint.context import LintedModel, LintedRepository

Check = Callable[[LintedModel], None]
RepositoryCheck = Callable[[LintedRepository], None]
_Function = TypeVar("_Function", bound=Check)
_RepositoryFunction = TypeVar("_RepositoryFunction", bound=RepositoryCheck)


@dataclass(frozen=True, slots=True)
class Registered:
    """A check, the rules that it reports, and whether it needs a configuration to look at."""

    function: Check | RepositoryCheck
    rules: tuple[str, ...]
    needs_config: bool

    def run(self, repository: LintedRepository) -> None:
        """Look at every model that it is for."""
        for model in repository.models.values():
            if model.readable or not self.needs_config:
                self.function(model)  # type: ignore[arg-type]


class RegisteredForAll(Registered):
    """A check that looks at the repository as a whole, once."""

    def run(self, repository: LintedRepository) -> None:
        """Look at the repository."""
        self.function(repository)  # type: ignore[arg-type]


_CHECKS: list[Registered] = []


def check(*rules: str, needs_config: bool = True) -> Callable[[_Function], _Function]:
    """Register a check; with ``needs_config`` it sees only models whose text parses."""

    def register(function: _Function) -> _Function:
        _CHECKS.append(Registered(function, rules, needs_config))
        return function

    return register


def check_repository(*rules: str) -> Callable[[_RepositoryFunction], _RepositoryFunction]:
    """Register a check of the repository as a whole: its own files, or several models at once."""

    def register(function: _RepositoryFunction) -> _RepositoryFunction:
        _CHECKS.append(RegisteredForAll(function, rules, False))
        return function

    return register


@lru_cache(maxsize=1)
def checks() -> tuple[Registered, ...]:
    """All checks; the modules of ``checks/`` are imported for it, in alphabetical order."""
    from pytest_triton.repository.lint import checks as package

    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda found: found.name):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(_CHECKS)
