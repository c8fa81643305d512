"""Errors of the backend, with the code that Triton gives them.

A :class:`Refusal` travels inside the backend. At load time it becomes an exception whose class
name is Triton's own name of the code, because the Python backend reports a failed
``initialize`` as ``<class name>: <text>``; so the reason in the repository index contains
``Invalid argument: unable to load model ...`` exactly as the C++ backend words it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from operator import contains
from typing import Any

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


def without_traceback(function: Callable[[Any], Exception | None]) -> Callable[[Any], Any]:
    """A callable of one argument that raises the exception which ``function`` returns.

    The Python backend appends every Python frame that an exception went through to its text.
    Here it goes through none: ``operator.contains`` compares the argument with ``_Step``, which
    runs ``function``, and then asks for the next item, which is a future that has failed.
    """

    class _Step:
        __hash__ = None  # type: ignore[assignment]
        outcome: Exception | None = None

        def __eq__(self, argument: object) -> bool:
            self.outcome = function(argument)
            return self.outcome is None

    step = _Step()
    rest = chain.from_iterable(map(_failed_future, iter((step,))))
    return partial(contains, chain((step,), rest))


def _failed_future(step: Any) -> Iterator[Any]:
    from asyncio import Future

    class _NoLoop:
        def get_debug(self) -> bool:
            return False

    future: Future[Any] = Future(loop=_NoLoop())  # type: ignore[arg-type]
    future.set_exception(step.outcome)
    return iter(future)  # type: ignore[arg-type]
