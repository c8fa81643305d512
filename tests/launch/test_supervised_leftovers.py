"""A supervisor that was killed: what is left of its server is removed, and nothing of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.launch import supervised
from pytest_triton.launch.supervised import Supervised


@pytest.mark.parametrize(
    ("prefix", "removed"), [("triton_own_", ["/dev/shm/triton_own_1"]), ("", [])]
)
def test_only_its_own_regions_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, removed: list[str]
) -> None:
    """A server without a prefix of its own (old releases) has regions that look like anybody's."""
    gone: list[str] = []
    made = Supervised()
    made.process.kill()
    made.process.wait()
    made._region, made._directory = prefix, tmp_path / "pytest-triton-x"
    monkeypatch.setattr(supervised.os, "listdir", lambda _: ["triton_own_1", "of_somebody_else"])
    monkeypatch.setattr(supervised.os, "unlink", lambda path: gone.append(str(path)))
    monkeypatch.setattr(supervised, "remove_tree", lambda _: None)
    made.stop("kill")
    assert gone == removed
