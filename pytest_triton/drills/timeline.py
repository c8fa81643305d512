"""What was done and seen in one drill, and when."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Timeline:
    """The course of one drill. Times are seconds since ``began`` (monotonic)."""

    drill: str
    what: str
    began: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    events: list[dict[str, Any]] = field(default_factory=list)
    #: What is wrong: with what was seen, with the repair, with the healthy model meanwhile.
    findings: list[str] = field(default_factory=list)
    #: Seconds from the fault until it showed in every place, and from the start of the repair
    #: until the model was ready and right; None: it never was.
    visible_s: float | None = None
    repaired_s: float | None = None
    #: Why nothing was drilled; "": it was.
    left_out: str = ""

    def did(self, text: str) -> float:
        """Note an act; its time (monotonic)."""
        return self._note("did", text)

    def saw(self, text: str, **places: Any) -> float:
        """Note what was seen, place by place; its time (monotonic)."""
        return self._note("saw", text, **places)

    def _note(self, kind: str, text: str, **places: Any) -> float:
        now = time.monotonic()
        self.events.append({"s": round(now - self.began, 3), kind: text, **places})
        return now

    def to_json(self) -> dict[str, Any]:
        """For a file beside the report."""
        return {
            "drill": self.drill,
            "what": self.what,
            "left_out": self.left_out,
            "seconds_to_visible": self.visible_s,
            "seconds_to_repaired": self.repaired_s,
            "findings": self.findings,
            "timeline": self.events,
        }
