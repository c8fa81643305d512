"""Everything that the embedded server needs, looked at before anything fails for want of it."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_triton.errors import ToolError
from pytest_triton.launch.cache import CACHE_VARIABLE, cache_root
from pytest_triton.launch.checks import Check, ask, gigabytes, numbers
from pytest_triton.launch.overlay import (
    NUMPY,
    Interpreter,
    describe,
    libpython_directory,
    overlay,
)
from pytest_triton.launch.store import (
    DEFAULT_RELEASE,
    find_server,
    glibc_version,
    installed_servers,
)
from pytest_triton.repository.names import unsafe

GROUP = "embedded server"
PYTHONS = ("3.10", "3.11", "3.12")
#: Bytes. Each instance of a Python-based model maps 1 MB and grows with its tensors.
_SHM_NEEDED, _SHM_GOOD = 16 * 2**20, 256 * 2**20
_DISK_NEEDED, _MEMORY_GOOD = 2**30, 4 * 2**30

Progress = Callable[[str], None]


def preflight(*, release: str = DEFAULT_RELEASE, python: Path | None = None) -> Iterator[Check]:
    """Every requirement of the embedded server, one after the other; installs no server.

    The overlay (numpy 1.26) is made if it is not there: that is the only way to know.
    """
    yield _platform()
    yield _glibc()
    yield _bash()
    yield from _python(python)
    yield _server(release, python)
    yield _shm()
    yield _ports()
    yield _disk()
    yield _memory()
    yield _pip()


def _check(name: str, good: bool, needed: str, found: str, remedy: str = "") -> Check:
    return Check(GROUP, name, "ok" if good else "missing", needed, found, "" if good else remedy)


def _platform() -> Check:
    found = f"{platform.system()} {platform.machine()}"
    good = sys.platform == "linux" and platform.machine() == "x86_64"
    return _check("platform", good, "Linux x86_64", found, "use --triton-url or a Linux machine")


def _glibc() -> Check:
    version = glibc_version()
    remedy = "use Debian 12, Ubuntu 22.04 or later, or --triton-launcher docker"
    return _check("glibc", version >= (2, 35), "2.35", ".".join(map(str, version)), remedy)


def _bash() -> Check:
    found = shutil.which("bash")
    remedy = "install bash: Triton starts its Python processes with it"
    return _check("bash", bool(found), "on PATH", found or "none", remedy)


def _python(python: Path | None) -> Iterator[Check]:
    remedy = "name a Python 3.10 to 3.12 with --triton-server-python"
    try:
        interpreter = describe(python or Path(sys.executable))
    except ToolError as error:
        yield _check("Python", False, "3.10 to 3.12", error.message, error.remedy)
        return
    found = f"{interpreter.full} ({interpreter.executable})"
    yield _check("Python", interpreter.version in PYTHONS, "3.10 to 3.12", found, remedy)
    yield _libpython(interpreter)
    if interpreter.version in PYTHONS:
        yield from _overlay(python)


def _libpython(interpreter: Interpreter) -> Check:
    name = f"libpython{interpreter.version}.so"
    try:
        return _check(name, True, "shared", str(libpython_directory(interpreter)))
    except ToolError as error:
        return _check(name, False, "shared", "none", error.remedy)


def _overlay(python: Path | None) -> Iterator[Check]:
    try:
        made = overlay(python)
    except ToolError as error:
        yield _check("numpy in the server", False, NUMPY, error.message, error.remedy)
        return
    code = "import numpy; print(numpy.__version__)"
    status, said = ask(str(made.bin / "python3"), "-c", code, timeout=60.0)
    last = said.splitlines()[-1] if said else "nothing"
    remedy = f"remove {made.bin.parent} and run this again"
    yield _check("numpy in the server", not status and last.startswith("1."), NUMPY, last, remedy)
    code = "import importlib.metadata as m; print(m.version('torch'))"
    status, said = ask(str(made.bin / "python3"), "-c", code, timeout=60.0)
    yield Check(
        GROUP, "torch", "absent" if status else "ok", "2.2", "none" if status else said,
        "pip install 'pytest-triton[torch]'" if status else "", "TorchScript models",
    )  # fmt: skip


def _server(release: str, python: Path | None) -> Check:
    have = ", ".join(
        f"{server.version or '?'} ({server.release})" for server in installed_servers()
    )
    name = f"Triton {release}"
    try:
        server = find_server(release)
        interpreter = describe(python or Path(sys.executable))
        server.stub(interpreter.version)
    except ToolError as error:
        return _check(name, False, "installed", have or "none", error.remedy)
    libraries = ":".join(map(str, server.libraries))
    command = ("env", f"LD_LIBRARY_PATH={libraries}", str(server.binary), "--help")
    status, said = ask(*command, timeout=60.0)
    if "Usage" not in said:
        remedy = f"remove it (pytest-triton server remove {release}) and install it again"
        first = said.splitlines()[0] if said else f"status {status}"
        return _check(name, False, "runs", first, remedy)
    return _check(name, True, "installed", have)


def _shm() -> Check:
    try:
        room = os.statvfs("/dev/shm")
    except OSError:
        return _check("/dev/shm", False, "256 MB", "none", "mount a tmpfs at /dev/shm")
    free = room.f_bavail * room.f_frsize
    found = f"{gigabytes(free)} free"
    remedy = "remount it larger (docker: --shm-size=1g; mount -o remount,size=1g /dev/shm)"
    if _SHM_NEEDED <= free < _SHM_GOOD:
        return Check(GROUP, "/dev/shm", "absent", "256 MB", found, remedy, "large tensors")
    return _check("/dev/shm", free >= _SHM_GOOD, "256 MB", found, remedy)


def _ports() -> Check:
    try:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
    except OSError as error:
        remedy = "bring the loopback interface up (ip link set lo up)"
        return _check("loopback ports", False, "free ones", str(error), remedy)
    used = [port for port in (8000, 8001, 8002) if not _free(port)]
    found = f"yes; in use: {', '.join(map(str, used))}" if used else "yes; 8000 to 8002 free"
    return _check("loopback ports", True, "free ones", found)


def _free(port: int) -> bool:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _disk() -> Check:
    root = cache_root()
    parent = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(parent).free
    found = f"{gigabytes(free)} free in {root}"
    if trap := unsafe(root):
        remedy = f"name another directory with {CACHE_VARIABLE}"
        return _check("cache", False, "a plain path", f"{root} (has {trap!r})", remedy)
    if not os.access(parent, os.W_OK):
        remedy = f"make it writable, or name another one with {CACHE_VARIABLE}"
        return _check("cache", False, "writable", f"{root} is not", remedy)
    temporary = shutil.disk_usage(tempfile.gettempdir()).free
    good = min(free, temporary) >= _DISK_NEEDED
    return _check("cache", good, "1 GB", found, f"free some, or set {CACHE_VARIABLE} and TMPDIR")


def _memory() -> Check:
    import psutil

    free = psutil.virtual_memory().available
    found = f"{gigabytes(free)} available, {os.cpu_count()} CPU cores"
    if free < _MEMORY_GOOD:
        remedy = "end other programs"
        return Check(GROUP, "memory", "absent", "4 GB", found, remedy, "several models")
    return _check("memory", True, "4 GB", found)


def _pip() -> Check:
    status, said = ask(sys.executable, "-m", "pip", "--version")
    found = ".".join(map(str, numbers(said))) if not status else "none"
    remedy = f"{sys.executable} -m ensurepip, or uv pip install pip"
    return Check(
        GROUP, "pip", "absent" if status else "ok", "any", found, remedy if status else "",
        "pytest-triton server install",
    )  # fmt: skip
