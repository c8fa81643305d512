"""What a diagnosis calls a fault, and how it is read out of what a script prints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

#: What is printed when nothing is wrong.
NONE = "none"
_NOTHING = r"(?:none|no|no faults?|nothing|ok|okay|healthy|no errors?|no problems?)"
#: Kind -> words that say it.
WORDS: Mapping[str, str] = {
    "dims": r"dims?|dimensions?|shapes?|ranks?",
    "datatype": r"data ?types?|dtypes?",
    "version": r"versions?",
    "file": r"files?|filenames?",
    "corrupt": r"corrupt(?:ed|ion)?|damaged|truncated|incomplete|unreadable",
    "config": r"config|configuration|pbtxt|syntax|parse",
    "stub": r"stub|process(?:es)?|dead|killed|died|crashed",
}
#: A kind whose words may stand beside those of others, which say more.
_WITHIN: Mapping[str, frozenset[str]] = {
    "file": frozenset({"corrupt", "config", "version"}),
    "config": frozenset({"dims", "datatype"}),
}
_LINE = r"^\s*{}\s*[:=]\s*(.*?)\s*$"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a script says. ``faults`` are the kinds that it names; one is a diagnosis."""

    models: tuple[str, ...]
    faults: tuple[str, ...]

    def wrong(self, model: str, kind: str) -> str:
        """What is wrong with it; "": it names this fault of this model, and nothing else."""
        if not self.faults:
            return "it prints no line  fault: KIND"
        if len(self.faults) > 1:
            return f"it says {len(self.faults)} faults: {', '.join(self.faults)}"
        if self.faults[0] != kind:
            return f"it says {self.faults[0]}"
        if kind != NONE and self.models != (model,):
            return f"it says {kind} of {', '.join(self.models) or 'no model'}, not of {model}"
        return ""


def read(text: str) -> Diagnosis:
    """The lines ``model: NAME`` and ``fault: KIND`` of an output, in any case."""

    def lines(name: str) -> list[str]:
        return re.findall(_LINE.format(name), text, re.MULTILINE | re.IGNORECASE)

    models = [name.strip("'\"` ") for name in lines("model")]
    faults = [kind for said in lines("fault") for kind in kinds(said)]
    return Diagnosis(tuple(dict.fromkeys(models)), tuple(dict.fromkeys(faults)))


def kinds(said: str) -> tuple[str, ...]:
    """The kinds that a phrase names; the phrase itself when it names none that is known."""
    plain = " ".join(re.findall(r"[a-z]+", said.lower()))
    if re.fullmatch(_NOTHING, plain):
        return (NONE,)
    named = {kind for kind, words in WORDS.items() if re.search(rf"\b(?:{words})\b", plain)}
    more = {kind for kind in named if not _WITHIN.get(kind, frozenset()) & named}
    return tuple(kind for kind in WORDS if kind in more) or (plain[:60] or "nothing",)
