"""The reference repository: its source, its cache, and what is exported into it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pytest_triton
from pytest_triton.errors import ToolError
from pytest_triton.repository.config import (
    inputs_of,
    is_complete,
    model_file_of,
    outputs_of,
    read_config,
    selected_versions,
)
from pytest_triton.repository.layout import list_models, repository_sha256
from pytest_triton.repository.reference import (
    build_reference,
    reference_models,
    reference_repository,
    reference_source,
)
from pytest_triton.repository.sidecar import read_golden, read_sidecar

MODELS = (
    "generator", "image_classifier", "mlp", "pipeline", "preprocess", "text_classifier",
    "versioned",
)  # fmt: skip


@pytest.fixture(scope="module")
def built() -> Path:
    """Out of the user's cache, like everybody else's."""
    pytest.importorskip("transformers")
    return reference_repository()


def test_the_source_is_data_only() -> None:
    source = reference_source()
    assert reference_models() == MODELS
    kept = [path for path in source.rglob("*") if "__pycache__" not in path.parts]
    assert not [
        path for path in kept if path.suffix in (".pt", ".npz") or path.name == "__init__.py"
    ]
    assert not [path for path in kept if path.is_file() and path.stat().st_size > 20_000]


@pytest.mark.parametrize("name", MODELS)
def test_every_configuration_is_complete_and_named(name: str) -> None:
    config = read_config(reference_source() / name)
    assert config.name == name
    assert is_complete(config)
    for output in config.output:
        if output.label_filename:
            labels = (reference_source() / name / output.label_filename).read_text().split()
            assert len(labels) == output.dims[-1]


@pytest.mark.parametrize("name", MODELS)
def test_side_car_and_configuration_agree(built: Path, name: str) -> None:
    model = next(model for model in list_models(built) if model.name == name)
    config = read_config(model.path)
    assert model.ignored == ()
    for version in model.versions:
        directory = model.version_path(version)
        file = model_file_of(config)
        assert not file or (directory / file).stat().st_size > 0
        record = read_sidecar(directory)
        assert record is not None
        assert (record.model, record.version) == (name, version)
        assert record.max_batch_size == config.max_batch_size
        assert record.device_constants == ()
        shapes = json.loads((directory / "export.json").read_text())
        for kind, tensors in (("inputs", inputs_of(config)), ("outputs", outputs_of(config))):
            assert [(t["name"], t["datatype"], tuple(t["shape"])) for t in shapes[kind]] == [
                (t.name, t.datatype, t.shape) for t in tensors
            ]
        cases = read_golden(directory)
        assert len(cases) >= 4
        assert all(np.ptp(v) > 0 for c in cases for v in c.outputs.values() if v.dtype != object)
        if record.format == "torchscript":
            assert len({proof.batch for proof in record.parity if not proof.traced}) >= 3
            assert all(proof.max_abs < 1e-4 for proof in record.parity)


def test_the_text_classifier_is_proven_at_lengths_that_were_not_traced(built: Path) -> None:
    record = read_sidecar(built / "text_classifier" / "1")
    assert record is not None
    traced = {proof.axes["length"] for proof in record.parity if proof.traced}
    assert len({proof.axes["length"] for proof in record.parity} - traced) >= 5
    padded = [case for case in read_golden(built / "text_classifier" / "1")
              if not case.inputs["attention_mask"].all()]  # fmt: skip
    assert padded


def test_versions_differ_and_one_is_kept_back(built: Path) -> None:
    config = read_config(built / "versioned")
    assert selected_versions(config, [1, 2, 3]) == (1, 3)
    records = [read_sidecar(built / "versioned" / str(version)) for version in (1, 2, 3)]
    assert len({record.golden_sha256 for record in records if record}) == 3


def test_a_second_copy_is_fast_and_needs_no_torch(built: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    started = time.monotonic()
    records = build_reference(tmp_path / "copy", progress=heard.append)
    elapsed = time.monotonic() - started
    assert heard == []
    assert elapsed < 1.0
    assert [record.model for record in records] == sorted(record.model for record in records)
    assert repository_sha256(tmp_path / "copy") == repository_sha256(built)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    with pytest.raises(ToolError, match="not empty"):
        build_reference(tmp_path / "copy")


def test_two_processes_export_once_and_to_the_same_bits(built: Path, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from pytest_triton.repository.reference import build_reference\n"
        "cache, target = map(pathlib.Path, sys.argv[1:])\n"
        "build_reference(target, cache=cache, progress=print)\n"
        "assert 'torch' not in sys.modules\n"
    )
    # Another checkout: where an export is made must not show in its bytes.
    elsewhere = tmp_path / "elsewhere"
    without_caches = shutil.ignore_patterns("__pycache__")
    package = Path(pytest_triton.__file__).parent
    shutil.copytree(package, elsewhere / "pytest_triton", ignore=without_caches)
    shutil.copytree(reference_source(), elsewhere / "model_repository", ignore=without_caches)
    environment = {**os.environ, "PYTHONPATH": str(elsewhere)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "cache"), str(tmp_path / name)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b")
    ]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(bool(text) for text in said) == [False, True]
    lines = "".join(said).splitlines()
    assert lines[0] == "exporting 1/9 mlp"
    assert lines[-1] == "exporting 9/9 generator"
    assert repository_sha256(tmp_path / "a") == repository_sha256(tmp_path / "b")
    for model in list_models(built):
        for version in model.versions:
            old = read_sidecar(model.version_path(version))
            new = read_sidecar(tmp_path / "a" / model.name / str(version))
            assert old is not None
            assert new is not None
            assert (old.golden_sha256, old.sha256) == (new.golden_sha256, new.sha256)
    # Somebody writes into the cache: it is built anew and not handed on.
    (cached,) = (path for path in (tmp_path / "cache" / "reference").iterdir() if path.is_dir())
    (cached / "repository" / "mlp" / "config.pbtxt").write_text("broken")
    heard: list[str] = []
    build_reference(tmp_path / "c", cache=tmp_path / "cache", progress=heard.append)
    assert heard
    assert read_config(tmp_path / "c" / "mlp").name == "mlp"


def test_an_export_that_takes_too_long_leaves_no_entry(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="did not end within"):
        build_reference(tmp_path / "r", cache=tmp_path / "cache", timeout=0.3)
    assert not (tmp_path / "r").exists()
    assert not [path for path in (tmp_path / "cache" / "reference").iterdir() if path.is_dir()]
