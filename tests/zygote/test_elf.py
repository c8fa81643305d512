"""The edit of the stub: known stubs fit, everything else is refused."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_triton.backends.zygote.elf import INITIALIZERS, UnsupportedStub, graft
from pytest_triton.backends.zygote.install import STUB, install
from pytest_triton.launch.overlay import overlay
from pytest_triton.launch.store import find_server

from .conftest import RELEASES


def stub_of(release: str, python: str) -> Path:
    path = find_server(release).stubs / python / STUB
    if not path.is_file():
        pytest.skip(f"{release} has no stub for Python {python}")
    return path


@pytest.fixture
def stub(releases: tuple[str, ...]) -> bytes:
    return stub_of("24.10", "3.11").read_bytes()


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
@pytest.mark.parametrize("release", RELEASES)
def test_every_stub_that_we_ship_is_known(release: str, python: str, releases: object) -> None:
    data = stub_of(release, python).read_bytes()
    edited, plan = graft(data)
    assert plan.kind == INITIALIZERS[python == "3.10"]
    assert len(edited) == len(data)
    changed = [i for i, (a, b) in enumerate(zip(data, edited, strict=True)) if a != b]
    # One name, one opcode and its displacement: nothing else may differ.
    assert 0 < len(changed) <= len(plan.kind) + 5
    assert edited.count(b"\0Py_BytesMain\0") == 1


def test_the_copy_is_python_and_still_the_stub(tmp_path: Path, releases: object) -> None:
    backends, server = tmp_path / "backends", find_server("24.10")
    overlaid = overlay()
    done = install(backends, server.path / "pytriton" / "tritonserver", overlaid.bin / "python3")
    assert done.active
    home = backends / "python" / "zygote"
    libraries = ":".join(str(path) for path in (*server.libraries, overlaid.library))
    env = {"LD_LIBRARY_PATH": libraries, "PATH": f"{overlaid.bin}:/usr/bin:/bin"}
    code = "import sys, c_python_backend_utils as u; print(u.Tensor.__name__, sys.version_info[:2])"
    for arguments, expected in (
        (["-I", "-c", code], f"Tensor {tuple(sys.version_info[:2])}"),
        (["-I", str(home / "graft.py"), str(home / "graft.json")], "ok"),
    ):
        told = subprocess.run(
            ["python3", *arguments], executable=home / "interpreter", env=env,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert told.stdout.strip() == expected, told.stderr


def test_triton_sees_exit_status_1_without_arguments(tmp_path: Path, releases: object) -> None:
    server = find_server("24.10").path / "pytriton" / "tritonserver"
    done = install(tmp_path, server, overlay().bin / "python3")
    assert subprocess.run([done.stub], timeout=10).returncode == 1


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"#!/bin/sh\n", Path("/bin/sh").read_bytes()],
    ids=["empty", "cut", "script", "shell"],
)  # fmt: skip
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(UnsupportedStub):
        graft(data)


def test_a_stub_cut_off_is_refused(stub: bytes) -> None:
    with pytest.raises((UnsupportedStub, struct.error, ValueError)):
        graft(stub[: len(stub) // 2])


def test_another_start_is_refused(stub: bytes) -> None:
    (entry,) = struct.unpack_from("<Q", stub, 24)
    changed = bytearray(stub)
    changed[entry : entry + 48] = b"\x90" * 48  # of these stubs, text is mapped at its offset
    with pytest.raises(UnsupportedStub, match="_start"):
        graft(bytes(changed))


def test_a_stub_without_the_calls_is_refused(stub: bytes) -> None:
    with pytest.raises(UnsupportedStub, match="known way"):
        graft(stub.replace(b"\0Py_Finalize\0", b"\0Py_Finalizx\0"))


def test_an_edited_stub_is_refused(stub: bytes) -> None:
    with pytest.raises(UnsupportedStub):
        graft(graft(stub)[0])
