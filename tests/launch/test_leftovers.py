"""What the Python backend leaves in /tmp is removed, and nothing that may be another server's."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pytest_triton.launch import leftovers


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(leftovers, "_WHERE", str(tmp_path))
    return tmp_path


def _directory(where: Path, name: str, made: float) -> Path:
    path = where / name
    path.mkdir()
    os.utime(path, (made, made))
    return path


def test_only_empty_ones_of_our_time_go(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(leftovers, "_servers", list)
    ours = _directory(where, "python_env_ours", now)
    older = _directory(where, "python_env_older", now - 60)
    other = _directory(where, "something_else", now)
    used = _directory(where, "python_env_used", now)
    (used / "file").touch()
    os.utime(used, (now, now))
    leftovers.remove_environments(now - 5)
    assert not ours.exists()
    assert older.exists() and other.exists() and used.exists()  # noqa: PT018


def test_what_another_live_server_may_have_made_stays(
    where: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(leftovers, "_servers", lambda: [now - 10])
    maybe = _directory(where, "python_env_maybe", now)
    leftovers.remove_environments(now - 5)
    assert maybe.exists()
    monkeypatch.setattr(leftovers, "_servers", lambda: [now - 4000])
    leftovers.remove_environments(now - 5)
    assert not maybe.exists()


def test_a_live_server_is_seen() -> None:
    assert all(started <= time.time() + 2 for started in leftovers._servers())
