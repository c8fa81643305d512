"""Errors of the backend, with the code that Triton gives them.

A :class:`Refusal` travels inside the backend. At load time it becomes an exception whose class
name is Triton's own name of the code, because the Python backend reports a failed
``initialize`` as ``<class name>: <text>``; so the reason in the repository index contains
``Invalid argument: unable to load model ...`` exactly as the C++ backend words it.
"""

from __future__ import annotations

INVALID_ARG = "INVALID_ARG"
INTERNAL = "INTERNAL"
UNAVAILABLE = "UNAVAILABLE"
UNSUPPORTED = "UNSUPPORTED"

_STATUS_NAMES = {
    INVALID_ARG: "Invalid argument",
    INTERNAL: "Internal",
    UNAVAILABLE: "Unavailable",
    UNSUPPORTED: "Unsupported",
}


class Refusal(Exception):
    """A load or a request is refused: ``code`` names a member of ``pb_utils.TritonError``."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def load_error(refusal: Refusal) -> Exception:
    """The exception that ``initialize`` raises for a refused model."""
    kind = type(_STATUS_NAMES[refusal.code], (Exception,), {"__module__": "builtins"})
    error: Exception = kind(refusal.text)
    return error
