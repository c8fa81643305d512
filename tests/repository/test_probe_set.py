"""The probe models: what is written, and that it is as we tell others to write."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pytest_triton.cli import cli
from pytest_triton.probe_set import DATA, PREFIX, PROBE_MODELS, is_probe, write_probes
from pytest_triton.repository.lint.engine import lint


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_probes(tmp_path_factory.mktemp("probes"))


def test_the_list_is_complete(written: Path) -> None:
    assert {path.name for path in DATA.iterdir() if path.name.startswith(PREFIX)} == set(
        PROBE_MODELS
    )
    assert {path.name for path in written.iterdir()} == set(PROBE_MODELS)
    assert all(map(is_probe, PROBE_MODELS))
    assert all((written / name / "1").is_dir() for name in PROBE_MODELS)


def test_lint_finds_nothing_to_mend(written: Path) -> None:
    found = [finding for finding in lint(written).findings if finding.severity != "info"]
    assert not found


def test_the_command_leaves_other_models_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "config.pbtxt"
    mine.parent.mkdir()
    mine.write_text('backend: "python"\n')
    stale = tmp_path / PROBE_MODELS[0] / "2" / "model.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    run = CliRunner().invoke(cli, ["probes", str(tmp_path)])
    assert run.exit_code == 0, run.output
    assert f"{len(PROBE_MODELS)} probe models" in run.output
    assert mine.read_text() == 'backend: "python"\n'
    assert not stale.exists()
