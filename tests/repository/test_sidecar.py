"""export.json and golden.npz: written, read back, and refused when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pytest_triton.errors import ToolError
from pytest_triton.repository.sidecar import (
    GOLDEN_NAME,
    SIDECAR_NAME,
    ExportRecord,
    GoldenCase,
    Parity,
    golden_sha256,
    read_golden,
    read_sidecar,
    write_sidecar,
)
from pytest_triton.repository.tensors import TensorSpec

RECORD = ExportRecord(
    format="torchscript",
    inputs=(TensorSpec("ids", "INT64", ("length", 2)),),
    outputs=(TensorSpec("y", "FP32", (-1,)),),
    max_batch_size=4,
    seed=3,
    axes={"length": (1, 9)},
    ranges={"ids": (0, 50)},
    parity=(Parity("batch2", 2, {"length": 5}, 1e-7, 1e-6),),
    model="m",
    version=2,
)


def case(name: str = "a", scale: float = 1.0) -> GoldenCase:
    inputs = {"ids": np.arange(6).reshape(1, 3, 2)}
    strings = np.array([b"one", b"", "zwölf".encode()], np.object_)
    return GoldenCase(name, inputs, {"y": np.ones((1, 2), np.float32) * scale, "s": strings})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = write_sidecar(tmp_path, RECORD, [case("a"), case("b")])
    assert read_sidecar(tmp_path) == written
    first, second = read_golden(tmp_path)
    assert (first.name, second.name) == ("a", "b")
    np.testing.assert_array_equal(first.inputs["ids"], case().inputs["ids"])
    assert list(first.outputs["s"]) == [b"one", b"", "zwölf".encode()]
    assert first.outputs["y"].dtype == np.float32
    assert sorted(path.name for path in tmp_path.iterdir()) == [SIDECAR_NAME, GOLDEN_NAME]


def test_shapes_are_those_of_metadata_with_the_axes_beside_them(tmp_path: Path) -> None:
    write_sidecar(tmp_path, RECORD, [case()])
    data = json.loads((tmp_path / SIDECAR_NAME).read_text())
    assert data["inputs"] == [
        {
            "name": "ids",
            "datatype": "INT64",
            "shape": [-1, -1, 2],
            "axes": {"0": "batch", "1": "length"},
        }
    ]
    assert data["outputs"][0]["shape"] == [-1, -1]
    assert data["axes"] == {"length": {"low": 1, "high": 9}}


def test_the_golden_checksum_follows_values_and_types() -> None:
    same = golden_sha256([case()])
    assert golden_sha256([case()]) == same
    assert golden_sha256([case(scale=1 + 1e-6)]) != same
    assert golden_sha256([case("b")]) != same


def test_no_side_car_is_none_and_a_damaged_one_says_so(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path) is None
    assert read_golden(tmp_path) == ()
    for text in ("", "[]", '{"format": "torchscript"}', '{"a": 1'):
        (tmp_path / SIDECAR_NAME).write_text(text)
        with pytest.raises(ToolError, match="is not a side-car"):
            read_sidecar(tmp_path)
    for data in (b"", b"PK\3\4 cut off", b"nonsense"):
        (tmp_path / GOLDEN_NAME).write_bytes(data)
        with pytest.raises(ToolError, match="cannot be read"):
            read_golden(tmp_path)


def test_a_pickle_in_the_golden_file_is_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / GOLDEN_NAME, **{"in/a/x": np.array([{"k": 1}], dtype=object)})
    with pytest.raises(ToolError, match="cannot be read"):
        read_golden(tmp_path)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_triton.repository.sidecar.MAX_GOLDEN_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / GOLDEN_NAME, **{"in/a/x": np.zeros(1 << 20, np.uint8)})
    with pytest.raises(ToolError, match="more than 1 MiB"):
        read_golden(tmp_path)


def test_what_a_later_version_adds_is_left_out(tmp_path: Path) -> None:
    written = write_sidecar(tmp_path, RECORD, [case()])
    data = json.loads((tmp_path / SIDECAR_NAME).read_text())
    (tmp_path / SIDECAR_NAME).write_text(json.dumps({**data, "new": {"key": 1}}))
    assert read_sidecar(tmp_path) == written


def test_an_older_side_car_is_read(tmp_path: Path) -> None:
    written = write_sidecar(tmp_path, RECORD, [case()])
    data = json.loads((tmp_path / SIDECAR_NAME).read_text())
    for key in ("variant", "variants", "measured_on", "platform", "naming", "adapted", "labels",
                "task", "choices", "architecture", "transformers_version"):  # fmt: skip
        del data[key]
    (tmp_path / SIDECAR_NAME).write_text(json.dumps(data))
    assert read_sidecar(tmp_path) == written


def test_large_cases_stay_out_of_the_golden_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_triton.repository.sidecar.MAX_WRITTEN_BYTES", 1000)
    large = GoldenCase("large", {}, {"y": np.zeros(1000, np.float32)})
    small = [GoldenCase(name, {}, {"y": np.zeros(10, np.float32)}) for name in "ab"]
    record = write_sidecar(tmp_path, RECORD, [large, *small])
    assert [one.name for one in read_golden(tmp_path)] == ["large"]
    record = write_sidecar(tmp_path, RECORD, [small[0], large, small[1]])
    kept = read_golden(tmp_path)
    assert [one.name for one in kept] == ["a", "b"]
    assert record.golden_sha256 == golden_sha256(kept)
