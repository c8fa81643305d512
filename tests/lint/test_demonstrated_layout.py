"""What stops a whole server with Triton's defaults, and what comes back as something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lint_corpus import IDENTITY

from pytest_triton.errors import ToolError
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.ready import request
from pytest_triton.repository.lint import lint

CONFIG = """\
backend: "python"
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
#: Triton's own defaults; ours are explicit control and exit-on-error=false.
DEFAULTS = ("--model-control-mode=none", "--exit-on-error=true")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    (path / "net" / "1").mkdir(parents=True)
    (path / "net" / "config.pbtxt").write_text(CONFIG)
    (path / "net" / "1" / "model.py").write_text(IDENTITY)
    return path


def starts(repository: Path) -> str:
    """Empty when a Triton with its defaults starts on this; else what it says."""
    spec = ServerSpec(repository, ("net",), device="cpu", auto_complete=True, server_args=DEFAULTS,
                      boot_timeout=60)  # fmt: skip
    try:
        with embedded(spec):
            return ""
    except ToolError as error:
        return str(error)


def test_a_directory_that_is_no_model_stops_the_server(repository: Path) -> None:
    """LAY010."""
    assert starts(repository) == ""
    (repository / "__pycache__").mkdir()
    assert "Could not determine backend" in starts(repository)
    assert [one.rule for one in lint(repository).errors] == ["LAY010"]


def test_a_dead_link_stops_the_server(repository: Path) -> None:
    """LAY014."""
    (repository / "old").symlink_to("/nowhere")
    assert "failed to poll model repository" in starts(repository)
    assert [one.rule for one in lint(repository).errors] == ["LAY014"]


def test_a_name_that_is_not_utf_8_spoils_the_index(repository: Path) -> None:
    """LAY013: of the whole repository, not of this model alone."""
    (repository / os.fsdecode(b"other\xff")).mkdir()
    with embedded(ServerSpec(repository, ("net",), device="cpu")) as deployment:
        port = int(deployment.http_url.rpartition(":")[2])
        status, body = request(port, "POST", "/v2/repository/index")
    assert status == 200
    with pytest.raises(UnicodeDecodeError):
        body.decode("utf-8")
    assert "LAY013" in [one.rule for one in lint(repository).errors]
