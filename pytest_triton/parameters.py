"""Request parameters as a model got them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pytest_triton.probe.types import InferResult, MalformedAnswer


def reported(answer: InferResult) -> dict[str, Any]:
    """The parameters that the probe model ECHO was given. Raises MalformedAnswer."""
    told = answer.outputs.get("PARAMETERS")
    if told is None or told.shape != (1,) or not isinstance(told[0], bytes):
        raise MalformedAnswer("the answer has no PARAMETERS of shape [1]")
    try:
        found = json.loads(told[0])
    except (ValueError, RecursionError) as error:
        raise MalformedAnswer(f"PARAMETERS are no JSON ({error}): {told[0]!r:.80}") from None
    if not isinstance(found, dict):
        raise MalformedAnswer(f"PARAMETERS are {found!r:.80}, not an object")
    return found


def same_values(got: Mapping[str, Any], sent: Mapping[str, Any]) -> str:
    """The first parameter that did not arrive with its value and its type; "" for none.

    What else the model was given is no matter: a server may forward headers.
    """
    for name, value in sent.items():
        if name not in got:
            return f"parameter {name} does not reach the model, which got {sorted(got)}"
        if type(got[name]) is not type(value) or got[name] != value:
            return f"parameter {name} reaches the model as {got[name]!r:.60}, sent was {value!r}"
    return ""
