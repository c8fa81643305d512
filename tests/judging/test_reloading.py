"""One unload and load, seen by several clauses: on a server that does it right, and others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fake_triton import JSON, FakeTriton, fake_triton

from pytest_triton import reloading
from pytest_triton.criteria import NotAssessed, Reason
from pytest_triton.deployment import Deployment
from pytest_triton.factory import Disposable
from pytest_triton.reloading import borrowed, cycle
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject


class Repository:
    """Control of the fake: ``echo`` can be unloaded and loaded, with the faults of a test."""

    def __init__(self, fake: FakeTriton, *faults: str) -> None:
        self.faults = set(faults)
        self.loaded = True
        self.calls: list[str] = []
        self._answer = fake.answer
        fake.answer = self.answer  # type: ignore[method-assign]

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> Any:
        if path.startswith("/v2/repository/models/") and "/echo/" not in path:
            return 200, JSON, b""
        if path.startswith("/v2/repository/models/"):
            self.calls.append(path.rpartition("/")[2])
            self.loaded = self.calls[-1] == "load" and "stays away" not in self.faults
            return 200, JSON, b""
        if (
            path.startswith("/v2/models/echo")
            and not self.loaded
            and "still answers" not in self.faults
        ):
            return 400, JSON, b'{"error": "Request for unknown model: \'echo\' has no versions"}'
        if path == "/v2/repository/index" and not self.loaded:
            text = (
                b'[{"name": "echo", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}]'
            )
            return 200, JSON, b"[null, 5]" if "nonsense" in self.faults else text
        status, more, answer = self._answer(method, path, headers, body)
        if "forgets" in self.faults and self.calls.count("load"):
            # The last byte is the end of the last string.
            answer = answer[:-1] + b"!" if path.endswith("/infer") else answer
        return status, more, answer


@pytest.fixture
def fake() -> Iterator[FakeTriton]:
    with fake_triton() as fake:
        yield fake


def _cycle(fake: FakeTriton, *faults: str) -> tuple[reloading.Cycle, Repository]:
    subject = Subject(
        Deployment("endpoint", fake.url), Settings(url=fake.url, allow_load=1, boot_timeout=0.3)
    )
    repository = Repository(fake, *faults)
    disposable = Disposable(subject, "echo")
    try:
        seen = cycle(disposable)
        assert cycle(disposable) is seen
        return seen, repository
    finally:
        subject.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "UNLOAD_TIMEOUT", 0.2)


def test_a_server_that_does_it_right(fake: FakeTriton) -> None:
    seen, repository = _cycle(fake)
    assert (seen.before, seen.unloaded, seen.after) == (200, 400, 200)
    assert seen.live_when_unloaded
    assert "echo" in str(seen.refusal)
    assert seen.states_when_unloaded == {"UNAVAILABLE"}
    assert seen.changed is None
    assert repository.calls == ["unload", "load"]


def test_an_unload_that_does_nothing(fake: FakeTriton) -> None:
    seen, repository = _cycle(fake, "still answers")
    assert seen.unloaded == 200
    assert seen.refusal is None
    assert repository.calls == ["unload", "load"]


def test_an_index_of_nonsense(fake: FakeTriton) -> None:
    seen, repository = _cycle(fake, "nonsense")
    assert seen.states_when_unloaded == frozenset()
    assert repository.calls == ["unload", "load"]


def test_a_model_that_answers_otherwise_afterwards(fake: FakeTriton) -> None:
    seen, _ = _cycle(fake, "forgets")
    assert "differs" in str(seen.changed)


def test_a_model_that_stays_away(fake: FakeTriton) -> None:
    seen, _ = _cycle(fake, "stays away")
    assert seen.after == 400
    assert "inference is refused: http 400: Request for unknown model: 'echo'" in str(seen.changed)


def _subject(fake: FakeTriton, **settings: Any) -> Subject:
    settings = {"url": fake.url, "allow_load": 1, "boot_timeout": 0.3, **settings}
    return Subject(Deployment("endpoint", fake.url), Settings(**settings))


def test_an_endpoint_is_borrowed_with_permission_only(fake: FakeTriton) -> None:
    subject = _subject(fake)
    with pytest.raises(NotAssessed) as hole:
        borrowed(subject)
    assert hole.value.code is Reason.NEEDS_CONTROL
    subject.close()
    subject = _subject(fake, allow_control=True)
    Repository(fake)
    # scale is a step of chain, and tokens streams.
    assert borrowed(subject).model == "echo"
    assert borrowed(subject).subject is subject
    subject.close()


def test_a_server_that_loads_by_itself_is_not_borrowed(fake: FakeTriton) -> None:
    plain = fake.answer
    refusal = b'{"error": "explicit model load / unload is not allowed if polling is enabled"}'
    fake.answer = lambda method, path, headers, body: (  # type: ignore[method-assign]
        (503, JSON, refusal) if "/repository/models/" in path
        else plain(method, path, headers, body)
    )  # fmt: skip
    subject = _subject(fake, allow_control=True)
    with pytest.raises(NotAssessed, match="loads its models by itself") as hole:
        borrowed(subject)
    assert hole.value.code is Reason.NOT_APPLICABLE
    subject.close()


def test_an_endpoint_is_left_as_it_was_found(fake: FakeTriton) -> None:
    """A model that was loaded with an override gets it back: an unload takes it away."""
    repository = Repository(fake)
    overridden, bodies, answer = [True], [], fake.answer

    def watched(method: str, path: str, headers: Any, body: bytes) -> Any:
        if path.startswith("/v2/repository/models/"):
            bodies.append(body)
            overridden[0] = b"config" in body
        return answer(method, path, headers, body)

    fake.answer = watched  # type: ignore[method-assign]
    fake.edit = lambda kind, path, document: (
        {**document, "parameters": {"X": {"string_value": "1"}}}
        if kind == "config" and overridden[0]
        else document
    )
    subject = _subject(fake, allow_control=True)
    before = subject.http.model_config("echo")
    assert cycle(Disposable(subject, "echo")).changed is None
    assert repository.calls == ["unload", "load", "load"]
    assert b'\\"X\\"' in bodies[-1]
    assert subject.http.model_config("echo") == before
    subject.close()
