"""Whether a call is refused as it has to be: the kind of error, and a reason that names the thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_triton.observed import Observed
from pytest_triton.probe.types import RequestFailed

#: Kinds of errors by their gRPC names, and the HTTP status of each (server/docs, error mapping).
STATUSES = {
    "INVALID_ARGUMENT": 400,
    "ALREADY_EXISTS": 400,
    "NOT_FOUND": 404,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}


def complaint(
    subject: Observed, call: Callable[[], Any], kinds: tuple[str, ...], *words: str
) -> str | None:
    """What is wrong with the refusal of a call; None: one of ``kinds``, and it says ``words``.

    A word may be alternatives, "one|other". The call raises RequestFailed when it is refused;
    anything else that it raises passes through.
    """
    try:
        answer = call()
    except RequestFailed as error:
        allowed: tuple[int | str, ...] = kinds
        if error.protocol == "http":
            allowed = tuple(subject.error_status(STATUSES[kind]) for kind in kinds)
        if error.status not in allowed:
            wanted = " or ".join(str(status) for status in dict.fromkeys(allowed))
            return f"is refused with {error}, expected {wanted}"
        if not error.readable:
            return f"is refused without JSON 'error': {error!s:.400}"
        missing = [
            word for word in words if not any(one in error.message for one in word.split("|"))
        ]
        if missing:
            return f"the reason does not say {missing[0]!r}: {error.message!r:.200}"
        return None
    return f"is answered and not refused ({str(answer)[:120]!r})"
