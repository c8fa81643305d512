"""Broken requests: always drawn, the same for a seed, and never too large for a machine."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import NoSuchExample
from tritonclient.grpc import service_pb2 as pb

from pytest_triton.fuzzing import hunt
from pytest_triton.fuzzing.documents import HttpAttempt, http_attempts
from pytest_triton.fuzzing.garbage import for_grpc, for_http
from pytest_triton.fuzzing.messages import GrpcAttempt, grpc_attempts
from pytest_triton.fuzzing.pools import spared, too_large
from pytest_triton.probe.codec import decode_bytes_elements
from pytest_triton.probe.types import HttpAnswer, RequestFailed
from pytest_triton.probe_set import ADDSUB


def _drawn(strategy: Any, count: int, seed: int = 3) -> list[Any]:
    seen: list[Any] = []
    budget = settings(
        max_examples=count, database=None, deadline=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    with hunt._nothing_kept(), pytest.raises(NoSuchExample):
        find(strategy, seen.append, settings=budget, random=random.Random(seed))
    return seen


def _shapes(body: bytes) -> list[Any]:
    try:
        entries = json.loads(body)["inputs"]
        return [entry.get("shape") for entry in entries if isinstance(entry, dict)]
    except (ValueError, KeyError, TypeError):
        return []


def test_http_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    drawn = _drawn(http_attempts(), 400)
    assert len(set(drawn)) > 250
    assert not [one for one in drawn for shape in _shapes(one.body) if too_large(shape)]
    assert drawn == _drawn(http_attempts(), 400)
    assert drawn != _drawn(http_attempts(), 400, seed=4)
    assert isinstance(drawn[0], HttpAttempt)
    assert bytes.fromhex(drawn[9].told()["hex"]) == drawn[9].body
    assert not list(tmp_path.iterdir()), "hypothesis left files in the working directory"


def test_grpc_attempts() -> None:
    drawn = _drawn(grpc_attempts(), 300)
    assert len(set(drawn)) > 150
    parsed = 0
    for one in drawn:
        try:
            message = pb.ModelInferRequest.FromString(one.body)
        except Exception:  # cut off
            assert one.told()["message"] == "no message"
            continue
        parsed += 1
        assert not [entry for entry in message.inputs if too_large(list(entry.shape))]
    assert parsed > 150
    assert isinstance(drawn[0], GrpcAttempt)


def test_a_release_is_spared() -> None:
    assert [spared(name) for name in (None, "23.10", "24.07", "24.10")] == [
        False,
        False,
        True,
        False,
    ]
    for one in _drawn(grpc_attempts(True), 300):
        try:
            message = pb.ModelInferRequest.FromString(one.body)
        except Exception:  # cut off
            continue
        for tensor, raw in zip(message.inputs, message.raw_input_contents, strict=False):
            if tensor.datatype == "BYTES":
                decode_bytes_elements(raw)


def test_garbage_is_the_same_for_a_seed() -> None:
    for make in (for_http, for_grpc):
        assert make(1) == make(1)
        assert make(1) != make(2)


class _Server:
    """Refuses everything; wordless, not at all, or dead, where a request has the mark."""

    def __init__(self, mark: bytes, then: str) -> None:
        self.mark, self.then, self.dead, self.asked = mark, then, False, Counter[str]()

    def request(self, method: str, path: str, *, body: bytes, **_: Any) -> HttpAnswer:
        self.asked["infer"] += 1
        if self.mark in body:
            if self.then == "die":
                self.dead = True
                raise hunt.ConnectionFailed("closed", "it closes the connection")
            return HttpAnswer(400, {}, b'{"error":""}' if self.then == "empty" else b"no", 0.0)
        return HttpAnswer(400, {}, b'{"error":"no"}', 0.0)

    def infer(self, *_: Any, **__: Any) -> None:
        if self.dead:
            raise RequestFailed("http", 503, "gone")


@pytest.mark.parametrize(
    ("then", "complaint"), [("empty", "without a reason"), ("page", "400 without a JSON 'error'")]
)
def test_the_smallest_is_told(then: str, complaint: str) -> None:
    server: Any = _Server(b'"parameters"', then)
    caught = hunt.hunt(server, None, "http", seed=5)
    assert complaint in caught.complaint
    assert caught.attempt is not None
    body = bytes.fromhex(caught.attempt["hex"])
    assert b'"parameters"' in body
    assert len(body) < 400, "it was not made smaller"
    assert not caught.died
    assert caught.asked == server.asked["infer"]


def test_the_last_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    server: Any = _Server(b'"parameters"', "die")
    caught = hunt.hunt(server, None, "http", seed=5)
    assert caught.died
    assert caught.attempt is not None
    assert b'"parameters"' in bytes.fromhex(caught.attempt["hex"])
    assert caught.asked == server.asked["infer"] < hunt.EXAMPLES


def test_nothing_to_tell() -> None:
    server: Any = _Server(b"\0never\0", "die")
    caught = hunt.hunt(server, None, "http", seed=5)
    assert (caught.complaint, caught.attempt, caught.died) == ("", None, False)
    assert caught.refused == caught.asked > 100
    assert caught.answered[ADDSUB] == 0
