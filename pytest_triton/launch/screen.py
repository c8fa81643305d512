"""Before the start: which models can be loaded, and which would hang Triton for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Screened:
    """The outcome for one repository."""

    #: Every model that was asked for, or is there.
    expected: tuple[str, ...]
    #: Those that are safe to load.
    models: tuple[str, ...]
    #: model -> why it is left out.
    failed: Mapping[str, str] = field(default_factory=dict)
    #: Every configuration is whole: auto-complete has nothing to do.
    complete: bool = False
    #: Seconds that the models may take to finish; 0: none of them has anything to finish.
    grace: float = 10.0


def screen(repository: Path, models: Sequence[str] | None = None) -> Screened:
    """Look at every model before anything starts."""
    there = sorted(
        entry.name
        for entry in repository.iterdir()
        if entry.is_dir() and not entry.name.startswith((".", "__pycache__"))
    )
    expected = tuple(models) if models is not None else tuple(there)
    failed = {name: "no such directory in the repository" for name in expected if name not in there}
    return Screened(expected, tuple(name for name in expected if name not in failed), failed)
