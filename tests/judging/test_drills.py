"""The drills: how a diagnosis is read, what counts as seen, and files that are broken in copies."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_triton.drills import injecting
from pytest_triton.drills.bystander import Known
from pytest_triton.drills.carrying import carry_out
from pytest_triton.drills.diagnosing import INJECTIONS, RIGHT, STUB
from pytest_triton.drills.injecting import LeftOut, deploy
from pytest_triton.drills.looking import Place, Shows, Sight
from pytest_triton.drills.serving import SERVING_DRILLS
from pytest_triton.drills.table import FILE_DRILLS
from pytest_triton.drills.vocabulary import NONE, WORDS, kinds, read
from pytest_triton.errors import SubjectFault
from pytest_triton.probe.cases import InputCase
from pytest_triton.probe.types import InferResult
from pytest_triton.repository.config import read_config

CONFIG = """name: "m"
platform: "pytorch_libtorch"
max_batch_size: 4
input [ { name: "IDS" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "X" data_type: TYPE_FP32 dims: [ 3, 5 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] } ]
response_cache { enable: true }
model_warmup [ { name: "one" batch_size: 1
  inputs { key: "X" value: { data_type: TYPE_FP32 dims: [ 3, 5 ] zero_data: true } } } ]
"""


class TestVocabulary:
    @pytest.mark.parametrize(
        ("said", "kind"),
        [
            ("dims", "dims"), ("shape mismatch of INPUT__0", "dims"), ("wrong dimensions", "dims"),
            ("config: dims do not match", "dims"), ("data_type", "datatype"), ("dtype", "datatype"),
            ("datatype in config.pbtxt", "datatype"), ("no version directory", "version"),
            ("Wrong file name", "file"), ("missing model file", "file"), ("filename", "file"),
            ("corrupt model file", "corrupt"), ("truncated file", "corrupt"),
            ("config file: syntax", "config"), ("config.pbtxt", "config"),
            ("dead stub process", "stub"), ("killed", "stub"),
            ("none", NONE), ("OK", NONE), ("no fault", NONE), ("healthy.", NONE), ("no faults", NONE),
        ],
    )  # fmt: skip
    def test_phrases(self, said: str, kind: str) -> None:
        assert kinds(said) == (kind,)

    def test_no_phrase_is_every_kind(self) -> None:
        assert len(kinds(" ".join(WORDS))) >= 4
        assert kinds("dims or stub") == ("dims", "stub")
        assert kinds("it is cold in here") == ("it is cold in here",)

    def test_every_kind_is_its_own_word(self) -> None:
        assert {*INJECTIONS, STUB} == {*WORDS}
        assert all(kinds(kind) == (kind,) for kind in WORDS)

    def test_lines_among_others(self) -> None:
        found = read("looking …\n  Model = 'm1'\r\nFAULT: file\nfaults are bad\nfault: file\n")
        assert (found.models, found.faults) == (("m1",), ("file",))
        assert found.wrong("m1", "file") == ""
        assert found.wrong("m2", "file") == "it says file of m1, not of m2"
        assert found.wrong("m1", "dims") == "it says file"

    def test_what_is_no_diagnosis(self) -> None:
        assert "prints no line" in read("it is broken").wrong("m", "file")
        both = read("model: m\nfault: file\nfault: none")
        assert both.wrong("m", "file") == "it says 2 faults: file, none"
        assert both.wrong("", NONE) == "it says 2 faults: file, none"
        assert read("fault: none\nmodel: -").wrong("x", NONE) == ""
        assert "of no model" in read("fault: file").wrong("m", "file")

    def test_four_in_five(self) -> None:
        assert math.ceil(RIGHT * len(WORDS)) == 6


def place(**fields: Any) -> Place:
    server = SimpleNamespace(error_status=lambda status: status)
    known = Known(case(), answer(), 0, 0)
    made = Place(server, Path("r"), "m", Path("o"), known)  # type: ignore[arg-type]
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def case() -> InputCase:
    inputs = {"IDS": np.zeros((1, 7), np.int64), "X": np.zeros((1, 3, 5), np.float32)}
    return InputCase("one", inputs, None, "generated", 1)


def answer() -> InferResult:
    return InferResult("m", "1", {"Y": np.zeros((1, 1), np.float32)}, {"Y": "FP32"})


def sight(**fields: Any) -> Sight:
    said = {"live": 200, "server_ready": 200, "model_ready": 200, "state": "READY", "reason": "",
            "log": (), "failures": 0.0}  # fmt: skip
    return Sight(**{**said, **fields})


TOLD: dict[str, Any] = {
    "load": "http 400: load failed for model 'm': unable to find 'x'",
    "told": [(404, "Request for unknown model: 'm' has no available versions")],
}


class TestShows:
    FILE = next(drill for drill in FILE_DRILLS if drill.kind == "file").shows
    SEEN = sight(
        server_ready=400, model_ready=400, state="UNAVAILABLE",
        reason="unable to find 'r/m/1/model.pt'",
        log=("E1 failed to load 'm' version 1: unable to find 'r/m/1/model.pt'",),
    )  # fmt: skip

    def test_everything_is_seen(self) -> None:
        assert self.FILE.missing(place(**TOLD), self.SEEN) == []

    @pytest.mark.parametrize(
        ("fields", "text"),
        [
            ({"reason": ""}, "reason ''"),
            ({"state": ""}, "the index says nothing, not UNAVAILABLE"),
            ({"log": ()}, "no line of the log"),
            ({"model_ready": 200}, "the model's readiness answers 200"),
            ({"server_ready": 200}, "the server's readiness answers 200"),
            ({"live": 500}, "liveness answers 500"),
        ],
    )
    def test_one_place_is_silent(self, fields: dict[str, Any], text: str) -> None:
        told = {name: getattr(self.SEEN, name) for name in Sight.__slots__} | fields
        (found,) = self.FILE.missing(place(**TOLD), Sight(**told))
        assert text in found

    @pytest.mark.parametrize(
        "fields",
        [{"load": ""}, {"load": "http 400: no"}, {"told": []}, {"told": [(500, "no versions")]}],
    )
    def test_a_client_is_told_something_else(self, fields: dict[str, Any]) -> None:
        (found,) = self.FILE.missing(place(**{**TOLD, **fields}), self.SEEN)
        assert "the load" in found or "clients are told" in found

    def test_counters(self) -> None:
        shows = Shows(failures=True, pending=True)
        assert len(shows.missing(place(), sight())) == 2
        assert shows.missing(place(pending=1.0), sight(failures=1.0)) == []

    def test_no_answer_counts_on_releases_that_hang_only(self) -> None:
        stub = next(drill for drill in SERVING_DRILLS if drill.kind == "stub")
        silent = place(told=[(0, "no whole answer within 3 s")])
        assert stub.on("24.07").shows.missing(silent, sight()) == []
        for release in ("23.10", "24.10"):
            assert len(stub.on(release).shows.missing(silent, sight())) == 2

    def test_time_outs_are_counted_from_24_07_on(self) -> None:
        slow = next(drill for drill in SERVING_DRILLS if drill.kind == "slow")
        assert not slow.on("23.10").shows.failures
        assert slow.on("24.07").shows.failures


class TestInjections:
    @pytest.fixture
    def original(self, tmp_path: Path) -> Path:
        directory = tmp_path / "m"
        (directory / "1").mkdir(parents=True)
        (directory / "1" / "model.pt").write_bytes(b"x" * 100)
        (directory / "config.pbtxt").write_text(CONFIG)
        return directory

    @pytest.fixture
    def copy(self, original: Path, tmp_path: Path) -> Path:
        deploy(original, tmp_path / "copy")
        return tmp_path / "copy"

    KNOWN = Known(case(), answer(), 0, 0)

    def test_a_copy_is_whole(self, copy: Path) -> None:
        config = read_config(copy)
        assert (config.name, config.HasField("response_cache")) == ("copy", False)
        assert len(config.model_warmup) == 1

    def test_dims(self, copy: Path) -> None:
        injecting.wrong_dims(copy, self.KNOWN)
        config = read_config(copy)
        assert [list(entry.dims) for entry in config.input] == [[-1, 7], [3, 5]]
        (sample,) = config.model_warmup
        assert {name: list(told.dims) for name, told in sample.inputs.items()} == {
            "IDS": [7], "X": [3, 5]
        }  # fmt: skip

    def test_datatype(self, copy: Path) -> None:
        injecting.wrong_datatype(copy, self.KNOWN)
        config = read_config(copy)
        assert config.input[0].data_type != read_config(copy.parent / "m").input[0].data_type
        assert not config.model_warmup

    def test_text_has_no_other_datatype(self, copy: Path) -> None:
        path = copy / "config.pbtxt"
        path.write_text(
            path.read_text()
            .replace("TYPE_INT64", "TYPE_STRING")
            .replace("TYPE_FP32", "TYPE_STRING")
        )
        with pytest.raises(LeftOut, match="text"):
            injecting.wrong_datatype(copy, self.KNOWN)

    def test_a_large_file_is_linked_and_safe(
        self, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(injecting, "LINKED", 50)
        deploy(original, tmp_path / "linked")
        assert (tmp_path / "linked" / "1" / "model.pt").is_symlink()
        for inject in (injecting.corrupt_file, injecting.wrong_file_name, injecting.no_version):
            inject(tmp_path / "linked", self.KNOWN)
        assert (original / "1" / "model.pt").read_bytes() == b"x" * 100

    def test_a_corrupt_file_is_shorter(self, copy: Path) -> None:
        injecting.corrupt_file(copy, self.KNOWN)
        assert (copy / "1" / "model.pt").read_bytes() == b"x" * 50


def test_what_is_left_out_is_no_finding() -> None:
    def left_out(line: object) -> None:
        raise LeftOut("there is no /dev/shm")

    def broken(line: object) -> None:
        raise SubjectFault("it hung up")

    assert carry_out("k", "w", left_out).left_out == "there is no /dev/shm"
    assert carry_out("k", "w", left_out).findings == []
    assert carry_out("k", "w", broken).findings == ["it hung up"]
