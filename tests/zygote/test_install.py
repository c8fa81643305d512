"""The launcher in a backend directory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pytest_triton.backends.zygote.install import STUB, install
from pytest_triton.launch.overlay import overlay
from pytest_triton.launch.store import find_server


@pytest.fixture
def server(releases: object) -> Path:
    return find_server("24.10").path / "pytriton" / "tritonserver"


@pytest.fixture
def python() -> Path:
    return overlay().bin / "python3"


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_twice_is_the_same_as_once(tmp_path: Path, server: Path, python: Path) -> None:
    assert install(tmp_path, server, python).active
    once = contents(tmp_path)
    assert install(tmp_path, server, python).active
    assert contents(tmp_path) == once
    assert set(once) == {
        f"python/{STUB}", f"python/zygote/{STUB}", "python/zygote/interpreter",
        "python/zygote/graft.json", "python/zygote/graft.py", "python/zygote/launcher.py",
        "python/zygote/zygote.py",
    }  # fmt: skip


def test_the_stub_in_its_place_is_kept(tmp_path: Path, server: Path, python: Path) -> None:
    here = tmp_path / "python" / STUB
    here.parent.mkdir()
    own = (server / "python_backend_stubs" / "3.11" / STUB).read_bytes() + b"mine"
    here.write_bytes(own)
    assert install(tmp_path, Path("/nonexistent"), python).active
    assert (tmp_path / "python" / "zygote" / STUB).read_bytes() == own


def test_nothing_refers_to_its_own_place(tmp_path: Path, server: Path, python: Path) -> None:
    install(tmp_path, server, python)
    assert not [name for name, data in contents(tmp_path).items() if os.fsencode(tmp_path) in data]


def test_an_unknown_stub_stays(tmp_path: Path, server: Path, python: Path) -> None:
    here = tmp_path / "python" / STUB
    here.parent.mkdir()
    here.write_bytes(b"\x7fELF, of another kind")
    done = install(tmp_path, server, python)
    assert not done.active
    assert "not a known one" in done.reason
    assert here.read_bytes() == b"\x7fELF, of another kind"
    assert stat.S_IMODE(here.stat().st_mode) == 0o755
    assert not (tmp_path / "python" / "zygote").exists()
