"""A repository that is changed under a server that polls: what its answers tell."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_triton import polling
from pytest_triton.own_models import CHANGED, GONE, GROWN, UNTOUCHED, write_polled
from pytest_triton.polling import Polled, Watched, change
from pytest_triton.probe.types import InferResult, RequestFailed
from pytest_triton.telling import parameters, states, tell


class Http:
    """Answers out of the repository as it is, every ``slow``-th time that it is asked to look."""

    def __init__(self, repository: Path, slow: int = 3) -> None:
        self.repository, self.slow, self.asked = repository, slow, 0
        self.kept: dict[str, Any] = {}
        self.frozen: set[str] = set()

    def _look(self, model: str) -> Any:
        directory = self.repository / model
        if not directory.is_dir():
            return None
        version = max(int(path.name) for path in directory.iterdir() if path.is_dir())
        value = re.search(r'string_value: "(\d+)"', (directory / "config.pbtxt").read_text())
        mark = re.search(
            r"^FILE = (\d+)", (directory / str(version) / "model.py").read_text(), re.M
        )
        assert mark
        return version, int(value[1]) if value else 0, int(mark[1])

    def infer(self, model: str, inputs: Any, *, version: str = "") -> InferResult:
        self.asked += 1
        if model not in self.kept or (self.asked > 4 * self.slow and model not in self.frozen):
            self.kept[model] = self._look(model)
        told = self.kept[model]
        if told is None:
            raise RequestFailed("http", 404, f"unknown model: '{model}'")
        answer = np.array([int(inputs["IN"][0]), *told], np.int32)
        return InferResult(
            model_name=model, id="", model_version=str(told[0]), outputs={"OUT": answer},
            datatypes={"OUT": "INT32"},
        )  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    repository = tmp_path / "repository"
    write_polled(repository)
    return repository


def _watched(http: Http) -> Watched:
    polled = Polled(SimpleNamespace(http=http), http.repository)  # type: ignore[arg-type]
    try:
        assert polled.watched() is polled.watched()  # the repository is changed once
        return polled.watched()
    finally:
        polled.close()


def test_every_change_is_seen(repository: Path) -> None:
    seen = _watched(Http(repository))
    assert seen.told[CHANGED] == [(1, 0, 0), (1, polling.VALUE, 0)]
    assert seen.told[GROWN] == [(1, 0, 0), (2, 0, polling.MARK)]
    assert seen.told[GONE] == [(1, 0, 0), f"http 404: unknown model: '{GONE}'"]
    assert seen.told[UNTOUCHED] == [(1, 0, 0)]
    assert all(0 <= (seconds or -1) < polling.TIMEOUT for seconds in seen.seconds.values())
    assert seen.config_text == (repository / CHANGED / "config.pbtxt").read_text()


def test_what_is_never_seen(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "TIMEOUT", 0.3)
    http = Http(repository)
    http.frozen = {CHANGED, GONE}
    seen = _watched(http)
    assert seen.seconds[CHANGED] is None
    assert seen.seconds[GONE] is None
    assert seen.seconds[GROWN] is not None
    assert seen.told[GONE] == [(1, 0, 0)]


def test_changes_are_made_in_one_step(repository: Path) -> None:
    from pytest_triton.repository.config import parse_config

    text = change(repository)
    assert parse_config(text).parameters["VALUE"].string_value == str(polling.VALUE)
    assert sorted(path.name for path in repository.iterdir()) == sorted([CHANGED, GROWN, UNTOUCHED])
    assert (repository / GROWN / "2" / "model.py").is_file()
    assert [path.name for path in repository.parent.iterdir()] == ["repository"]


def _telling(answer: InferResult | RequestFailed) -> Any:
    def infer(*_: Any, **__: Any) -> InferResult:
        if isinstance(answer, RequestFailed):
            raise answer
        return answer

    return SimpleNamespace(infer=infer)


@pytest.mark.parametrize(
    ("values", "version", "told"),
    [
        ([7, 3, 0, 5], "3", (3, 0, 5)),
        ([8, 3, 0, 5], "3", "answers [8, 3, 0, 5] to 7"),
        ([7, 3], "3", "answers [7, 3] to 7"),
        ([7, 3, 0, 5], "4", "version 3 answered, the answer says '4'"),
    ],
)
def test_telling(values: list[int], version: str, told: Any) -> None:
    answer = InferResult(
        model_name="m", id="", model_version=version, outputs={"OUT": np.array(values, np.int32)},
        datatypes={"OUT": "INT32"},
    )  # fmt: skip
    assert tell(_telling(answer), "m") == told


def test_telling_without_an_answer() -> None:
    refused = RequestFailed("http", 503, "not ready")
    assert tell(_telling(refused), "m") == "http 503: not ready"
    empty = InferResult(model_name="m", id="", model_version="1", outputs={}, datatypes={})
    assert tell(_telling(empty), "m") == "answers {} to 7"


def test_states_and_parameters() -> None:
    index = [{"name": "m", "version": "1", "state": "READY"}, {"name": "m"}, {"name": "n"}, None]
    assert states(SimpleNamespace(index=lambda: index), "m") == {"1": "READY"}  # type: ignore[arg-type]
    assert json.dumps(parameters(5, X="y")) == (
        '{"parameters": {"VALUE": {"string_value": "5"}, "X": {"string_value": "y"}}}'
    )
