"""Which requests growth is judged by, what ends it, and what is kept; a bench stands in here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_triton.memory_use import analysing, growing, loading, serving
from pytest_triton.memory_use.driving import Driver, NoInputs, Ran
from pytest_triton.memory_use.headroom import NoRoom, OthersUse
from pytest_triton.memory_use.measured import MIB, Loaded, ModelMemory, UnderLoad
from pytest_triton.memory_use.reading import Reader, Reading
from pytest_triton.memory_use.sampling import Samples
from pytest_triton.memory_use.serving import ASK, Bench, UnloadFailed
from pytest_triton.memory_use.wanted import Limits, Wanted
from pytest_triton.probe.inputs import InputSource
from pytest_triton.probe.types import ConnectionFailed, MalformedAnswer, RequestFailed

WANTED = Wanted(("*",), (1, 4), (), 2.0, Limits(6, 1, 1.0, 2.0), 0.0, "cpu", "24.10", None, None, 0)
METADATA = {
    "inputs": [{"name": "IN", "datatype": "FP32", "shape": [-1, 4]}],
    "outputs": [{"name": "OUT", "datatype": "FP32", "shape": [-1, 4]}],
    "versions": ["1"],
}
CONFIG = {"name": "m", "max_batch_size": 4}


def _reading(mib: float) -> Reading:
    return Reading(round(mib * MIB), 0, 0, 0)


def _load(batch: int, rps: float = 100.0, *, made_up: bool = False, errors: int = 0) -> UnderLoad:
    samples = Samples([0.0], [1])
    return UnderLoad(
        "m",
        batch,
        1,
        50,
        errors,
        "no" * errors,
        rps,
        _reading(100),
        _reading(100),
        samples,
        made_up,
    )


class FakeBench:
    """Holds what a model is said to keep of each request, by batch size (MiB)."""

    def __init__(self, kept: dict[int, float], answers: int | None = None) -> None:
        self.held, self.kept, self.answers = 100.0, kept, answers
        self.asked: list[int] = []
        self.fails: Exception | None = None
        self.reader = SimpleNamespace(
            gpu=False, tree=lambda: (1,), settled=lambda: _reading(self.held)
        )

    def load(self, name: str) -> Any:
        return SimpleNamespace(
            instances=1, model=SimpleNamespace(name=name), made_up=lambda batch: False,
            cases=lambda batch: [batch], once=lambda batch: self._keep(batch, 1), run=self._run,
        )  # fmt: skip

    def unload(self, *names: str, processes: int) -> Reading:
        return _reading(self.held)

    def _keep(self, batch: int, count: int) -> None:
        if self.fails and len(self.asked) > 20:
            raise self.fails
        self.asked.append(batch)
        self.held += count * self.kept.get(batch, 0.0)

    def _run(self, batch: int, *, concurrency: int, count: int = 0, seconds: float = 0.0) -> Ran:
        self._keep(batch, count)
        return Ran(count if self.answers is None else self.answers, 0, "", 100.0)


def _requests(place: Any, model: ModelMemory, *loads: UnderLoad) -> None:
    growing.requests(place, model, WANTED, loads)


def test_a_leak_of_larger_batches_only() -> None:
    place: Any = FakeBench({4: 0.5})
    model = ModelMemory("m")
    _requests(place, model, _load(1), _load(4))
    growing.cycles(place, model, WANTED, [1, 4])
    assert [(g.per, g.look.verdict) for g in model.growths] == [
        ("1000 requests", "fail"), ("cycle", "pass"),
    ]  # fmt: skip
    assert set(place.asked) == {1, 4}
    assert model.growths[0].look.trend.slope / MIB == pytest.approx(250)


def test_cycles_ask_at_every_batch_size() -> None:
    place: Any = FakeBench({4: 3.0})
    model = ModelMemory("m")
    growing.cycles(place, model, WANTED, [1, 4])
    assert model.growths[0].look.verdict == "fail"


def test_a_healthy_model_passes_with_its_highest_reading() -> None:
    model = ModelMemory("m")
    place: Any = FakeBench({})
    _requests(place, model, _load(1), _load(4))
    (growth,) = model.growths
    assert growth.look.verdict == "pass"
    assert growth.most == _reading(100)


def test_as_many_requests_of_each_size() -> None:
    assert growing.each([_load(1, 100), _load(8, 25)], 1.0) == 20
    assert growing.each([_load(1, 1e6)], 1.0) == growing.MOST
    assert growing.each([_load(1, 0.1), _load(8, 0.1), _load(32, 0.1)], 1.0) == 7
    assert growing.each([_load(1, 0.0)], 1.0) == growing.LEAST


def test_a_round_without_answers() -> None:
    place: Any = FakeBench({}, answers=0)
    with pytest.raises(MalformedAnswer, match="no request of a round was answered"):
        _requests(place, ModelMemory("m"), _load(1))


def test_what_was_read_is_kept() -> None:
    place: Any = FakeBench({})
    place.fails = MalformedAnswer("garbage")
    model = ModelMemory("m")
    with pytest.raises(MalformedAnswer):
        growing.cycles(place, model, WANTED, [1, 4, 1, 4])
    (growth,) = model.growths
    assert (len(growth.x), growth.look.verdict) == (4, "inconclusive")


@pytest.mark.parametrize(
    ("error", "made_up", "verdict"),
    [
        (MalformedAnswer("bad"), True, "inconclusive"),
        (RequestFailed("http", 500, "bad"), False, "fail"),
        (ConnectionFailed("timeout", "late"), True, "fail"),
        (NoRoom("grown"), True, "fail"),
        (OthersUse("others"), False, "inconclusive"),
    ],
)
def test_what_a_failure_means(
    monkeypatch: pytest.MonkeyPatch, error: Exception, made_up: bool, verdict: str
) -> None:
    model = ModelMemory("m")
    loaded = Loaded(1, False, _reading(1), _reading(1), [_load(1, made_up=made_up)])

    def one_load(*_: object) -> bool:
        model.loads.append(loaded)
        return True

    def cycles(*_: object) -> None:
        raise error

    def unload(*_: object, processes: int) -> Reading:
        raise RequestFailed("http", 400, "not to be unloaded")

    monkeypatch.setattr(analysing, "one_load", one_load)
    monkeypatch.setattr(analysing, "cycles", cycles)
    place: Any = FakeBench({})
    place.unload = unload
    analysing._alone(place, model, WANTED, lambda _: None)
    assert (model.failed, model.failure) == (str(error), verdict)
    assert model.remedy
    assert "not to be unloaded" in model.notes[0]


def test_growth_is_judged_at_sizes_that_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    model = ModelMemory("m")
    loads = [_load(1, made_up=True, errors=1), _load(4, made_up=True)]
    model.loads.append(Loaded(1, False, _reading(1), _reading(1), loads))
    monkeypatch.setattr(analysing, "one_load", lambda *_: True)
    monkeypatch.setattr(analysing, "cycles", lambda *given: asked.append(given[3]))
    monkeypatch.setattr(analysing, "requests", lambda *given: asked.append(given[3]))
    place: Any = FakeBench({})
    analysing._alone(place, model, WANTED, lambda _: None)
    assert asked == [[4], [loads[1]]]


class FakeSampler:
    """Sees one peak."""

    samples = Samples([0.0], [1])
    peak = _reading(300)

    def __init__(self, reader: object) -> None:
        pass

    def __enter__(self) -> FakeSampler:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def test_a_model_that_breaks_off_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {name: ModelMemory(name) for name in ("one", "two", "three")}
    for model in models.values():
        model.loads.append(Loaded(1, False, _reading(1), _reading(1), [_load(4)]))

    def under_load(place: object, driver: Any, *_: object) -> UnderLoad:
        if driver.model.name == "two":
            raise ConnectionFailed("closed", "gone")
        return _load(4)

    monkeypatch.setattr(loading, "Sampler", FakeSampler)
    monkeypatch.setattr(loading, "_under_load", under_load)
    place: Any = FakeBench({})
    made = loading.together(place, models, WANTED, lambda _: None)
    assert made is not None
    assert len(made.under_load) == 2
    assert made.loading == _reading(300)
    assert [name for name, model in models.items() if model.failed] == ["two"]
    assert (models["two"].failed, models["two"].remedy) == ("beside 2 other models, gone", ASK)


class FakeHttp:
    """A model that refuses some inputs, and that stays."""

    def __init__(self, refuses: Any = None) -> None:
        self.refuses, self.sent = refuses, 0
        self.alive = True

    def model_config(self, name: str) -> dict[str, Any]:
        return CONFIG

    def model_metadata(self, name: str) -> dict[str, Any]:
        return METADATA

    def infer(self, name: str, inputs: Any, **_: object) -> None:
        self.sent += 1
        if self.refuses(np.asarray(getattr(inputs["IN"], "array", inputs["IN"])), self.sent):
            raise RequestFailed("http", 500, "index out of range")

    def unload(self, name: str, *, dependents: bool) -> None:
        pass

    def index(self) -> list[dict[str, str]]:
        if not self.alive:
            raise ConnectionFailed("refused", "nobody listens")
        return [{"name": "m", "version": "1", "state": "UNLOADING"}]


def _driver(refuses: Any, tried: dict[int, Any]) -> Driver:
    http: Any = FakeHttp(refuses)
    server: Any = None
    return Driver(server, http, InputSource(seed=0), "m", tried)


def test_made_up_inputs_that_are_refused_are_not_sent_again() -> None:
    tried: dict[int, Any] = {}
    (note,) = _driver(lambda _, sent: sent in (2, 3), tried).try_inputs([1, 4])
    assert "refuses 2 of 8 requests of batch 1 that were made up (http 500: index" in note
    again = _driver(None, tried)
    assert (len(again.cases(1)), len(again.cases(4))) == (6, 8)
    assert again.made_up(1)


def test_a_size_at_which_all_are_refused_is_told() -> None:
    tried: dict[int, Any] = {}
    (note,) = _driver(lambda given, _: len(given) > 1, tried).try_inputs([1, 4])
    assert "8 of 8 requests of batch 4" in note
    assert list(tried) == [1]
    with pytest.raises(NoInputs, match="index out of range"):
        _driver(lambda *_: True, {}).try_inputs([1, 4])


def _bench(http: FakeHttp) -> Bench:
    fake: Any = http
    server: Any = SimpleNamespace(log_tail=lambda _: "")
    reader: Any = None
    return Bench(server, fake, reader, InputSource(seed=0))


def test_a_model_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "UNLOADING", 0.1)
    http = FakeHttp()
    with pytest.raises(UnloadFailed, match=r"not unloaded after .*UNLOADING"):
        _bench(http).unload("m", processes=0)
    http.alive = False
    with pytest.raises(serving.ToolError, match="does not answer any more, at model m"):
        _bench(http).unload("m", processes=0)


def test_cards_are_numbered_as_nvidia_smi_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    specs: list[Any] = []

    @contextmanager
    def embedded(spec: Any, **_: object) -> Iterator[Any]:
        specs.append(spec)
        yield SimpleNamespace(http_url="http://127.0.0.1:1", pid=1, device="cpu")

    monkeypatch.setattr(serving, "embedded", embedded)
    screened: Any = SimpleNamespace(complete=True)
    with serving.bench(tmp_path, screened, WANTED, lambda _: None) as place:
        assert isinstance(place.reader, Reader)
    assert specs[0].environment["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
