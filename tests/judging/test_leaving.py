"""A client that leaves a stream: in time or too late, seen by the model or not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_triton import streaming
from pytest_triton.criteria import Inconclusive
from pytest_triton.streaming import leaving_flaw


class Model:
    """STREAM as a subject; ``notices``: whether a client that leaves in time cancels."""

    def __init__(self, *, notices: bool, before: float = 0.0, buffers: bool = False) -> None:
        self.notices, self.before, self.buffers = notices, before, buffers
        self.cancelled, self.asked = 0, []
        self.http: Any = SimpleNamespace(
            generate=lambda *_: {"CANCELLED": self.cancelled},
            request=lambda *_: SimpleNamespace(gateway="via: 1.1 edge"),
        )

    def stream(self, count: int) -> Iterator[object]:
        self.asked.append(count)
        length = count * streaming.PAUSE_MS / 1000
        late = length if self.buffers else self.before
        time.sleep(late)
        for at in range(count):
            try:
                yield at
            except GeneratorExit:
                self.cancelled += self.notices and late < length
                raise
            if not self.buffers:
                time.sleep(streaming.PAUSE_MS / 1000)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "PAUSE_MS", 10)


def _flaw(model: Model) -> str | None:
    return leaving_flaw(model, model.stream)  # type: ignore[arg-type]


def test_a_client_that_leaves_cancels() -> None:
    assert _flaw(Model(notices=True)) is None


def test_a_model_that_goes_on() -> None:
    assert _flaw(Model(notices=False)) == "the model went on to its end"


def test_who_is_late_asks_for_a_longer_stream() -> None:
    model = Model(notices=True, before=0.45)
    assert _flaw(model) is None
    assert model.asked == [40, 120]


def test_late_each_time_shows_nothing() -> None:
    with pytest.raises(Inconclusive, match="may have been over"):
        _flaw(Model(notices=False, before=0.9))


def test_a_stream_that_is_read_to_its_end_first() -> None:
    text = str(_flaw(Model(notices=True, buffers=True)))
    assert "all 40 responses come within" in text
    assert "a gateway that buffers (via: 1.1 edge)" in text
