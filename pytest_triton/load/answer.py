"""What is wrong with an answer, as cheaply as a load generator needs. Standard library only."""

from __future__ import annotations

import json
import re

_OWN = re.compile(r"\[request id: [^\]]*\] ?")


def error_text(body: bytes) -> str:
    """The text under ``error``, or the body itself, on one line."""
    text = body[:400].decode("utf-8", "replace")
    try:
        document = json.loads(body)
        if isinstance(document, dict) and isinstance(document.get("error"), str):
            text = document["error"]
    except (ValueError, RecursionError):
        pass
    # every request has an id of its own, and a gateway a trace of its own: one kind of error each
    text = _OWN.sub("", " ".join(text.split()))
    return text[:200]


def length_fault(body: bytes, json_length: int) -> str | None:
    """None when the outputs fill the body exactly; ``json_length`` -1: it is all JSON."""
    size = len(body) if json_length < 0 else json_length
    try:
        document = json.loads(body[:size])
        outputs = document["outputs"]
        binary = sum(output.get("parameters", {}).get("binary_data_size", 0) for output in outputs)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        return f"the answer is no inference response ({type(error).__name__})"
    if size + binary != len(body):
        return f"the outputs take {binary} bytes, the body holds {len(body) - size}"
    return None
