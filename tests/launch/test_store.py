"""Servers in the cache: found, named, unpacked; what is missing is said with its remedy."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pytest_triton.errors import ToolError
from pytest_triton.launch import store
from pytest_triton.launch.backends import backend_directory
from pytest_triton.launch.cache import CACHE_VARIABLE, locked, sweep_partial, whole_directory
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.fetch import require_pip
from pytest_triton.launch.overlay import overlay


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", ["24.07", "2.48.0", "2.48"])
def test_a_release_by_its_name_or_its_servers_version(name: str) -> None:
    assert store.get_release(name).name == "24.07"


def test_a_release_that_is_none() -> None:
    with pytest.raises(ToolError, match=r"no release '1\.0'") as caught:
        store.get_release("1.0")
    assert "24.10, 24.07, 23.10" in caught.value.remedy


def test_a_release_that_is_not_installed(empty_cache: Path) -> None:
    with pytest.raises(ToolError, match=r"24\.07") as caught:
        store.find_server("24.07")
    assert "pytest-triton server install 24.07" in caught.value.remedy


def test_a_wheel_with_another_checksum_is_refused(
    empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    name = "nvidia_pytriton-0.7.0-py3-none-any.whl"
    with zipfile.ZipFile(wheels / name, "w") as archive:
        archive.writestr(
            "nvidia_pytriton-0.7.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: nvidia-pytriton\nVersion: 0.7.0\n",
        )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    with pytest.raises(ToolError, match=r"(?i)hash"):
        store.install("24.10", progress=lambda _: None)
    assert not (store.servers_directory() / "24.10").exists()


def test_without_pip(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    with pytest.raises(ToolError, match="pip is not in this environment") as caught:
        require_pip(bare / "bin" / "python")
    assert "ensurepip" in caught.value.remedy


def test_unpacks_the_server_and_nothing_else(tmp_path: Path) -> None:
    wheel = tmp_path / "w.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pytriton/tritonserver/bin/tritonserver", "x")
        archive.writestr("pytriton/triton.py", "x")
        archive.writestr("nvidia_pytriton.libs/libx.so", "x")
        archive.writestr("nvidia_pytriton-1.dist-info/licenses/LICENSE", "x")
    store.unpack(wheel, tmp_path / "out")
    found = sorted(str(path.relative_to(tmp_path / "out"))
                   for path in (tmp_path / "out").rglob("*") if path.is_file())  # fmt: skip
    assert found == [
        "nvidia_pytriton-1.dist-info/licenses/LICENSE",
        "nvidia_pytriton.libs/libx.so",
        "pytriton/tritonserver/bin/tritonserver",
    ]
    assert os.access(tmp_path / "out/pytriton/tritonserver/bin/tritonserver", os.X_OK)


def test_a_directory_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "made"
    with contextlib.suppress(KeyboardInterrupt), whole_directory(path) as made:
        (made / "half").touch()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with whole_directory(path) as made:
        (made / "all").touch()
    assert (path / "all").exists()


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".partial-999999999-x").mkdir()
    (tmp_path / f".partial-{os.getpid()}-x").mkdir()
    sweep_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f".partial-{os.getpid()}-x"]


def test_a_lock_that_somebody_holds(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from pytest_triton.launch.cache import locked\n"
        "with locked(Path(sys.argv[1]), what='x'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "thing")], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ToolError, match="has been testing"):
            with locked(tmp_path / "thing", what="testing", timeout=0.2):
                pass
    finally:
        holder.kill()
        holder.wait(10)
    with locked(tmp_path / "thing", what="testing", timeout=5):
        pass


def test_a_cache_that_cannot_be_used_for_stubs(
    tmp_path: Path, repository: Path, model, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, python = store.find_server(), overlay()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "my cache"))
    with pytest.raises(ToolError, match="' ' in its path") as caught:
        backend_directory(server, python)
    assert CACHE_VARIABLE in caught.value.remedy


def test_the_machines_own_server(
    tmp_path: Path, repository: Path, model, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = store.find_server()
    root = tmp_path / "opt" / "tritonserver"
    (root / "bin").mkdir(parents=True)
    shutil.copy2(installed.binary, root / "bin" / "tritonserver")
    for name, target in (("backends", installed.backends), ("caches", installed.caches),
                         ("lib", installed.libraries[0]),
                         ("python_backend_stubs", installed.stubs)):  # fmt: skip
        assert target is not None
        shutil.copytree(target, root / name)
    (root / "TRITON_VERSION").write_text("2.51.0\n")
    monkeypatch.setenv("PATH", f"{root / 'bin'}:{os.environ['PATH']}")
    server = store.find_server("system")
    assert (server.version, server.path) == ("2.51.0", root)
    assert "system" in [have.release for have in store.installed_servers()]
    model()
    try:
        with embedded(ServerSpec(repository, release="system", device="cpu")) as deployment:
            assert Path(f"/proc/{deployment.pid}/exe").resolve() == root / "bin" / "tritonserver"
    finally:
        shutil.rmtree(backend_directory(server, overlay()))


def test_no_server_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(store, "_SYSTEM_ROOT", tmp_path)
    with pytest.raises(ToolError, match="no tritonserver on PATH"):
        store.find_server("system")
