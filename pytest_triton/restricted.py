"""APIs that a server gives only to whoever sends a header (--http-restricted-api)."""

from __future__ import annotations

import re

from pytest_triton.probe.types import RESTRICTED

_REFUSAL = re.compile(rf"{RESTRICTED.pattern}'([^'\s]{{1,200}})'")


def restriction(text: str) -> str:
    """What Triton's refusal of a restricted API, in a text, means for the user; "": there is none."""
    found = _REFUSAL.search(text)
    if found is None:
        return ""
    return (
        f"the server restricts this API ({found[0]}): "
        f"give --triton-header '{found[1]}: VALUE' with its value"
    )
