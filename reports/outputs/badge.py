"""An endpoint badge of shields.io (schemaVersion 1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import common

_COLOURS = {"expert": "brightgreen", "advanced": "green", "basic": "yellowgreen", "none": "red"}


def text(report: Mapping[str, Any], user: str = "") -> str:
    """The document; an incomplete run is grey, whatever its points."""
    verdict = report["verdict"]
    message = f"{verdict['level']} · {verdict['points']:g}/{verdict['max_points']:g}"
    colour = _COLOURS.get(verdict["level"], "lightgrey")
    if not report["complete"]:
        message, colour = "incomplete", "lightgrey"
    document = {"schemaVersion": 1, "label": "triton lab", "message": message, "color": colour}
    return common.document(document)
