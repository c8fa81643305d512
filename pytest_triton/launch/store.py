"""The server store: tritonserver releases, installed outside every environment.

NVIDIA publishes tritonserver for plain Linux only inside the wheels of nvidia-pytriton. One
wheel is downloaded by pip against a pinned hash; the server in it is unpacked into the cache.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.errors import Misused, ToolError
from pytest_triton.launch.cache import cache_root, locked, whole_directory
from pytest_triton.launch.fetch import download

DEFAULT_RELEASE = "24.10"
SYSTEM = "system"
_MARKER = "server.json"
_SYSTEM_ROOT = Path("/opt/tritonserver")
#: Of everything in the wheel, what tritonserver needs (and the licences).
_WANTED = ("pytriton/tritonserver/", "nvidia_pytriton.libs/")


@dataclass(frozen=True, slots=True)
class Release:
    """One release that can be installed."""

    name: str
    #: What tritonserver itself says.
    version: str
    #: Of nvidia-pytriton.
    wheel: str
    sha256: str
    #: Python versions that its wheel has a stub for, and numpy 1.26 a wheel.
    pythons: tuple[str, ...]


RELEASES: dict[str, Release] = {
    release.name: release
    for release in (
        Release(
            "24.10", "2.51.0", "0.7.0",
            "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df",
            ("3.10", "3.11", "3.12"),
        ),
        Release(
            "24.07", "2.48.0", "0.5.10",
            "0c08d905d25ad71e887864625ec9e2692e6cb4a746c32c93e332e5c8476bc669",
            ("3.10", "3.11", "3.12"),
        ),
        Release(
            "23.10", "2.39.0", "0.4.2",
            "8f79e8bda28961a49d5c64474c17664e10b1bb08018b7ee7bcbd81bcff86e266",
            ("3.10", "3.11"),
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Server:
    """A tritonserver that is there."""

    release: str
    #: What it says of itself, e.g. "2.51.0"; "" when that is known only once it runs.
    version: str
    binary: Path
    backends: Path
    caches: Path
    #: Directories for LD_LIBRARY_PATH.
    libraries: tuple[Path, ...]
    #: Stubs by Python version ("3.11"); empty when the server brings a single one.
    stubs: Path | None
    path: Path

    def stub(self, python: str) -> Path:
        """The stub for a Python version, e.g. "3.11". Raises ToolError."""
        if self.stubs is None:
            return self.backends / "python" / "triton_python_backend_stub"
        stub = self.stubs / python / "triton_python_backend_stub"
        if stub.is_file():
            return stub
        have = sorted(entry.name for entry in self.stubs.iterdir()) if self.stubs.is_dir() else []
        raise ToolError(
            f"Triton {self.release} has no Python backend for Python {python}, "
            f"only for {', '.join(have) or 'none'}",
            "name another interpreter with --triton-server-python, or another release with "
            "--triton-server-release",
        )


def servers_directory() -> Path:
    """Where installed releases live, one directory each."""
    return cache_root() / "servers"


def get_release(name: str) -> Release:
    """The release of that name; also by the version of its server. Raises ToolError."""
    for release in RELEASES.values():
        if name in (release.name, release.version, release.version.rpartition(".")[0]):
            return release
    raise Misused(
        f"there is no release {name!r}",
        f"the releases are {', '.join(RELEASES)}; a tritonserver on PATH or in {_SYSTEM_ROOT} "
        f"is used with --triton-server-release {SYSTEM}",
    )


def find_server(name: str = DEFAULT_RELEASE) -> Server:
    """The server of a release that is installed, or of this machine for "system"."""
    if name == SYSTEM:
        return _system_server()
    release = get_release(name)
    path = servers_directory() / release.name
    if not (path / _MARKER).is_file():
        raise ToolError(
            f"Triton {release.name} ({release.version}) is not installed",
            f"run  pytest-triton server install {release.name}  (about 50 MB)",
        )
    return _installed(release, path)


def _installed(release: Release, path: Path) -> Server:
    root = path / "pytriton" / "tritonserver"
    return Server(
        release=release.name,
        version=release.version,
        binary=root / "bin" / "tritonserver",
        backends=root / "backends",
        caches=root / "caches",
        libraries=(path / "nvidia_pytriton.libs",),
        stubs=root / "python_backend_stubs",
        path=path,
    )


def _system_server() -> Server:
    """A tritonserver on PATH, or NVIDIA's own installation."""
    found = shutil.which("tritonserver")
    binary = Path(found).resolve() if found else _SYSTEM_ROOT / "bin" / "tritonserver"
    if not os.access(binary, os.X_OK):
        raise ToolError(
            f"there is no tritonserver on PATH and none in {_SYSTEM_ROOT}",
            f"run  pytest-triton server install {DEFAULT_RELEASE}  and use that release",
        )
    root = binary.parent.parent
    version = ""
    if (root / "TRITON_VERSION").is_file():
        version = (root / "TRITON_VERSION").read_text().strip()
    stubs = root / "python_backend_stubs"
    return Server(
        release=SYSTEM,
        version=version,
        binary=binary,
        backends=root / "backends",
        caches=root / "caches",
        libraries=(root / "lib",) if (root / "lib").is_dir() else (),
        stubs=stubs if stubs.is_dir() else None,
        path=root,
    )


def installed_servers() -> list[Server]:
    """Every server that could be used now, the newest first; the machine's own last."""
    found = [
        _installed(release, servers_directory() / release.name)
        for release in RELEASES.values()
        if (servers_directory() / release.name / _MARKER).is_file()
    ]
    with contextlib.suppress(ToolError):
        found.append(_system_server())
    return found


def install(name: str = DEFAULT_RELEASE, *, progress: Callable[[str], None] = print) -> Server:
    """Put a release into the cache; at once when it is there. Raises ToolError."""
    release = get_release(name)
    path = servers_directory() / release.name
    if (path / _MARKER).is_file():
        return _installed(release, path)
    _require_platform()
    with locked(path, what=f"installing Triton {release.name}", progress=progress):
        if (path / _MARKER).is_file():
            return _installed(release, path)
        wheel = download(
            f"nvidia-pytriton=={release.wheel}", [release.sha256], progress=progress,
            size="about 50 MB",
        )  # fmt: skip
        progress(f"unpacking Triton {release.version}")
        with whole_directory(path) as made:
            unpack(wheel, made)
            about = {"release": release.name, "version": release.version, "wheel": release.wheel,
                     "sha256": release.sha256}  # fmt: skip
            (made / _MARKER).write_text(json.dumps(about), encoding="utf-8")
        wheel.unlink(missing_ok=True)
    return _installed(release, path)


def remove(name: str) -> bool:
    """Take a release out of the cache; False when it was not there."""
    release = get_release(name)
    path = servers_directory() / release.name
    with locked(path, what=f"removing Triton {release.name}"):
        if not path.is_dir():
            return False
        gone = path.with_name(f".partial-0-{release.name}")
        shutil.rmtree(gone, ignore_errors=True)
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    return True


def _require_platform() -> None:
    if platform.machine() != "x86_64" or sys.platform != "linux":
        raise ToolError(
            f"tritonserver comes only for x86-64 Linux, not {platform.machine()} {sys.platform}",
            "use --triton-launcher docker, or judge a running server with --triton-url",
        )
    glibc = os.confstr("CS_GNU_LIBC_VERSION") or "another C library"
    if glibc_version() < (2, 35):
        raise ToolError(
            f"tritonserver needs glibc 2.35 or later, this machine has {glibc}",
            "use Debian 12, Ubuntu 22.04 or later, or --triton-launcher docker",
        )


def glibc_version() -> tuple[int, ...]:
    """Of this machine, e.g. (2, 36); (0,) with another C library."""
    try:
        name, _, number = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        return tuple(int(part) for part in number.split(".")) if name == "glibc" else (0,)
    except (OSError, ValueError):
        return (0,)


def unpack(wheel: Path, destination: Path) -> None:
    """The server out of a wheel, with its permissions."""
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            licence = ".dist-info/" in item.filename and "LICENSE" in item.filename
            if item.is_dir() or not (item.filename.startswith(_WANTED) or licence):
                continue
            mode = item.external_attr >> 16 & 0o777
            written = Path(archive.extract(item, destination))
            runs = written.parent.name == "bin" or written.name.endswith("_stub")
            written.chmod(0o755 if runs else mode or 0o644)
