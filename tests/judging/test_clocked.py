"""last_inference against the time that passes, and against the server's clock where it is known."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_triton import clocked
from pytest_triton.clocked import flaw
from pytest_triton.probe.types import HttpAnswer, MalformedAnswer

HOUR = 3600.0


class Server:
    """One model; ``told`` makes last_inference out of the time of the last request (s)."""

    def __init__(
        self, told: Callable[[float], object], *, owned: bool = False, ahead: float = 0.0,
        date: bool = False,
    ) -> None:  # fmt: skip
        self.last, self._told, self._ahead, self._date = 0.0, told, ahead, date
        self.deployment = SimpleNamespace(owned=owned)
        self.http = SimpleNamespace(request=self._statistics)

    def answer(self, *_: object) -> None:
        self.last = time.time() + self._ahead

    def _statistics(self, *_: object) -> HttpAnswer:
        entry = {"name": "m", "version": "1", "last_inference": self._told(self.last)}
        headers = {"date": formatdate(time.time() + self._ahead, usegmt=True)} if self._date else {}
        return HttpAnswer(200, headers, json.dumps({"model_stats": [entry]}).encode(), 0.0)


def milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _flaw(server: Server) -> str:
    anything: Any = server
    return flaw(anything, "m", None) or ""  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocked, "PATIENCE", 0.1)


@pytest.mark.parametrize("owned", [True, False])
@pytest.mark.parametrize("date", [True, False])
def test_a_right_clock(owned: bool, date: bool) -> None:
    assert not _flaw(Server(milliseconds, owned=owned, date=date))


@pytest.mark.parametrize("date", [True, False])
def test_an_endpoint_may_have_another_clock_than_ours(date: bool) -> None:
    assert not _flaw(Server(milliseconds, ahead=-HOUR, date=date))


def test_another_zone_is_seen_where_the_clock_is_known() -> None:
    def local(seconds: float) -> int:
        return milliseconds(seconds + HOUR)

    assert "+3600.0 s off the server's clock" in _flaw(Server(local, owned=True))
    assert "s off its Date header" in _flaw(Server(local, date=True, ahead=HOUR))


def test_a_clock_that_does_not_tell_the_time() -> None:
    start = time.time()
    assert "stands at" in _flaw(Server(lambda _: milliseconds(start)))
    assert "no milliseconds" in _flaw(Server(lambda at: int(at)))
    assert "no milliseconds" in _flaw(Server(lambda at: int(at * 1e9)))
    assert "moved by" in _flaw(Server(lambda at: milliseconds(start + 3 * (at - start))))
    assert "moved by" in _flaw(Server(lambda at: milliseconds(start + (at - start) / 3)))


def test_no_number() -> None:
    with pytest.raises(MalformedAnswer, match="last_inference of m is"):
        _flaw(Server(lambda _: "now"))
