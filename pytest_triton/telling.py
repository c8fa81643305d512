"""Asking the models of ours that tell what they are (own_models), and putting them back."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from pytest_triton.own_models import CONTROLLED, VERSIONS
from pytest_triton.probe.http import HttpProbe, wait_until
from pytest_triton.probe.types import RequestFailed

#: Version that answered, parameter VALUE, mark of its file; or the text of a refusal.
Told: TypeAlias = "tuple[int, int, int] | str"

#: Seconds for an unload, which Triton answers before it is done.
UNLOAD_TIMEOUT = 20.0
_ASKED = 7


def tell(http: HttpProbe, model: str, version: str = "") -> Told:
    """What a telling model says of itself; a refusal as text; an answer that is not whole too."""
    try:
        answer = http.infer(model, {"IN": np.array([_ASKED], np.int32)}, version=version)
    except RequestFailed as error:
        return str(error)
    values = answer.outputs.get("OUT")
    told = values.tolist() if values is not None else answer.outputs
    if not isinstance(told, list) or len(told) != 4 or told[0] != _ASKED:
        return f"answers {told!r:.200} to {_ASKED}"
    if answer.model_version != str(told[1]):
        return f"version {told[1]} answered, the answer says {answer.model_version!r:.40}"
    return told[1], told[2], told[3]


def parameters(value: int | None = None, **more: str) -> dict[str, Any]:
    """``parameters`` of a configuration as JSON."""
    texts = more if value is None else {"VALUE": str(value), **more}
    return {"parameters": {key: {"string_value": text} for key, text in texts.items()}}


def states(http: HttpProbe, model: str) -> dict[str, str]:
    """Version -> state in the index; versions that were never loaded are left out."""
    return {
        str(entry.get("version")): str(entry.get("state"))
        for entry in http.index()
        if isinstance(entry, dict) and entry.get("name") == model and "state" in entry
    }


def reload_plainly(http: HttpProbe, model: str, *, timeout: float) -> None:
    """Unload and load: what undoes every override (a load alone does not, on 24.10)."""
    http.unload(model)
    wait_until(lambda: not http.model_ready(model), timeout=UNLOAD_TIMEOUT)
    http.load(model, timeout=timeout)


def plain(version: int = max(VERSIONS)) -> Told:
    """What :data:`CONTROLLED` tells when nothing overrides its files."""
    return version, 0, 0


__all__ = [
    "CONTROLLED", "UNLOAD_TIMEOUT", "Told", "parameters", "plain", "reload_plainly", "states", "tell",
]  # fmt: skip
