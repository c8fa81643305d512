"""How a server refuses: with which status, and in words that name what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_triton.errors import SubjectFault
from pytest_triton.probe.types import HttpAnswer, RequestFailed


def declined(status: int | str, call: Callable[..., object], *args: Any, **keywords: Any) -> str:
    """The text with which a call is refused, with a status of its protocol.

    Raises SubjectFault when it is answered, refused with another status, or without a text.
    """
    try:
        call(*args, **keywords)
    except RequestFailed as error:
        _check(error.status, error.message, (status,))
        if not error.readable:
            raise SubjectFault(
                f"the body is no JSON with 'error': {error.message!r:.400}"
            ) from None
        return error.message
    raise SubjectFault(f"the request is answered, expected {status}")


def reason(answer: HttpAnswer, *statuses: int) -> str:
    """The error text of an HTTP answer that has to have one of the statuses.

    Raises SubjectFault when it has another one, or no JSON with ``error``.
    """
    _check(answer.status, answer.text, statuses, answer.speaker)
    if not answer.error:
        raise SubjectFault(
            f"the body is no JSON with 'error': {answer.text[:200]!r}{answer.speaker}"
        )
    return answer.error


def says(text: str, *words: object) -> None:
    """SubjectFault when an error text leaves one of the words out; upper and lower case count."""
    for word in words:
        if str(word) not in text:
            raise SubjectFault(f"the error does not say {word!r}: {text[:300]!r}")


def _check(
    status: int | str, text: str, statuses: tuple[int | str, ...], speaker: str = ""
) -> None:
    if status not in statuses:
        raise SubjectFault(
            f"answers {status} ({text[:200]!r}), expected {_either(statuses)}{speaker}"
        )
    if not text:
        raise SubjectFault(f"answers {status} without a reason{speaker}")


def _either(statuses: tuple[int | str, ...]) -> str:
    return " or ".join(map(str, statuses))
