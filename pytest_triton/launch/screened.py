"""What is known of a repository before its server starts; imports nothing that costs a boot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
    grace: float = 0.0
