"""How far the answers of an arm are from the reference: error, and whether the first choice holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_triton.errors import ToolError

Array = np.ndarray[Any, Any]
Answers = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The worst over all requests and outputs."""

    #: Largest absolute difference; inf where a shape differs or a number is none.
    max_abs: float
    #: The same over the largest absolute value of that output in that answer.
    max_rel: float
    #: Share of rows whose largest entry is the same as the reference's; None: no such output.
    top1: float | None
    #: What ``max_rel`` may be by rounding.
    allowed: float

    @property
    def near(self) -> bool:
        """Whether rounding explains the difference."""
        return self.max_rel <= self.allowed


def accuracy(
    got: Sequence[Answers], wanted: Sequence[Answers], *, allowed: float, choice: str = ""
) -> Accuracy:
    """Compare answers with those of the reference, request by request.

    ``choice`` names the output whose last dimension holds the scores of classes ("" for none).
    Raises ToolError for an output that is missing.
    """
    worst, share = 0.0, 0.0
    same = rows = 0
    for one, two in zip(got, wanted, strict=True):
        for name, right in two.items():
            if name not in one:
                raise ToolError(f"output {name!r} is missing", "look at its config.pbtxt")
            difference, relative = _apart(one[name], right)
            worst, share = max(worst, difference), max(share, relative)
        if choice and one[choice].shape == two[choice].shape:
            agree = one[choice].argmax(-1) == two[choice].argmax(-1)
            same, rows = same + int(agree.sum()), rows + agree.size
    return Accuracy(worst, share, same / rows if rows else None, allowed)


def _apart(got: Array, wanted: Array) -> tuple[float, float]:
    """Largest absolute difference, and the same over the largest value of the reference."""
    if got.shape != wanted.shape:
        return float("inf"), float("inf")
    if got.dtype.kind not in "fiub":
        return (0.0, 0.0) if got.tolist() == wanted.tolist() else (float("inf"), float("inf"))
    if not wanted.size:
        return 0.0, 0.0
    left, right = got.astype(np.float64), wanted.astype(np.float64)
    equal = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore"):
        difference = np.where(equal, 0.0, np.abs(left - right))
    most = float(np.max(np.nan_to_num(difference, nan=np.inf, posinf=np.inf)))
    finite = np.abs(right[np.isfinite(right)])
    size = float(finite.max()) if finite.size else 0.0
    if most == 0:
        return 0.0, 0.0
    return most, most / size if size else float("inf")
