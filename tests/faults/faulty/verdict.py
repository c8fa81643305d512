"""Whether a fault was noticed by its clause, and by no other that is not named."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .data import Fault
from .judge import Judged

Statuses = Mapping[str, tuple[str, str | None]]
#: What a clause may become because another one fails.
CONSEQUENCES = tuple(("not_assessed", code) for code in ("blocked", "not_applicable", "no_inputs"))


def complaints(fault: Fault, judged: Judged, healthy: Statuses) -> list[str]:
    """What is not as it should be; empty when the judge did well.

    ``healthy``: the statuses of the same kind of subject without the fault.
    """
    found = []
    status, _ = judged.status(fault.clause)
    reason = judged.clause(fault.clause)["reason"]
    if status != "fail":
        found.append(f"{fault.clause} is {status}, not fail ({fault.what}): {reason}")
    elif not re.search(fault.reason, reason, re.DOTALL):
        found.append(f"{fault.clause} fails with another reason than {fault.reason!r}: {reason}")
    blocked, companions = fault.consequences, fault.may_fail
    for name, told in judged.statuses.items():
        if name == fault.clause or told == healthy.get(name) or name in fault.run:
            continue
        if name in companions and told[0] == "fail":
            continue
        if name in blocked and told in CONSEQUENCES:
            continue
        text = judged.clause(name)["reason"].strip()[:400]
        found.append(f"{name} is {_shown(told)}, healthy is {_shown(healthy.get(name))}: {text}")
    return found


def _shown(told: tuple[str, str | None] | None) -> str:
    if told is None:
        return "nothing"
    return f"{told[0]} ({told[1]})" if told[1] else told[0]


def idle_rules(fault: Fault, told: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rules that changed nothing, or could not be applied: a fault that is none."""
    found = []
    for number, (rule, what) in enumerate(zip(fault.rule, told, strict=True)):
        if what["errors"]:
            found.append(f"rule {number} {rule}: {what['errors']}")
        elif not what["hits"]:
            alone = f", {what['alone']} had nobody to swap with" if what["alone"] else ""
            found.append(
                f"rule {number} changed nothing ({what['matched']} matches{alone}): {rule}"
            )
    return found
