"""Puts the launcher in the place of the stub of a private backend directory."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_triton.backends.zygote.elf import Graft, UnsupportedStub, graft

STUB = "triton_python_backend_stub"
#: Files that have to lie beside the stub: they run without this package.
SCRIPTS = ("launcher.py", "zygote.py", "graft.py")
_VERSION_TIMEOUT = 30.0
# Triton first runs the stub without arguments and wants to see exit status 1. The last argument
# is the directory of the Python-based backend, or DEFAULT for a model with its own model.py.
_SCRIPT = """\
#!/bin/sh
# Stands in the place of Triton's Python stub: see pytest_triton/backends/zygote.
[ $# -gt 0 ] || exit 1
here=${{0%/*}}/zygote
for last; do :; done
case $PYTEST_TRITON_ZYGOTE:$last in
    0:*) ;;
    *:*/pytorch) [ -x {python} ] && exec {python} -I -S "$here/launcher.py" "$@" ;;
esac
exec "$here/{stub}" "$@"
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """active: the launcher is in place; reason: why not, for the log. stub: what Triton runs."""

    active: bool
    stub: Path
    reason: str = ""


def install(backend_dir: Path, server_root: Path, python: Path) -> Installed:
    """Prepare ``backend_dir`` so that stubs of the ``pytorch`` backend come from a zygote.

    backend_dir: private, with Triton's ``python`` backend copied into ``python/``; may be renamed
    afterwards (nothing in it refers to its own place), and may be installed into twice.
    server_root: the server's ``tritonserver`` directory, whose ``python_backend_stubs/3.x`` is
    used where ``backend_dir`` has no stub yet. python: the ``python3`` that will be first on PATH
    when the server runs. The files are some 4 MB; nothing is run but ``python`` for its version.

    Never raises for a stub that it does not know: the ordinary stub then stays, and the result
    says why. OSError if the files cannot be written.
    """
    folder = backend_dir / "python"
    stub, home = folder / STUB, folder / "zygote"
    ordinary = _ordinary_stub(stub, home, server_root, python)
    data = ordinary.read_bytes()
    try:
        interpreter, plan = graft(data)
    except UnsupportedStub as error:
        _write(stub, data)
        shutil.rmtree(home, ignore_errors=True)
        return Installed(False, stub, f"the Python stub {ordinary} is not a known one: {error}")
    home.mkdir(parents=True, exist_ok=True)
    _write(home / STUB, data)
    _write(home / "interpreter", interpreter)
    _write(home / "graft.json", _manifest(plan), mode=0o644)
    for name in SCRIPTS:
        _write(home / name, (Path(__file__).parent / name).read_bytes(), mode=0o644)
    script = _SCRIPT.format(python=shlex.quote(str(python)), stub=STUB)
    _write(stub, script.encode())
    return Installed(True, stub)


def _ordinary_stub(stub: Path, home: Path, server_root: Path, python: Path) -> Path:
    """Triton's own stub: in its place, moved away by an earlier call, or in the server."""
    if stub.is_file() and _is_elf(stub):
        return stub
    if (home / STUB).is_file():
        return home / STUB
    told = subprocess.run(
        [str(python), "-I", "-S", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True, text=True, timeout=_VERSION_TIMEOUT, check=True,
    )  # fmt: skip
    return server_root / "python_backend_stubs" / told.stdout.strip() / STUB


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _manifest(plan: Graft) -> bytes:
    return json.dumps(asdict(plan), indent=1).encode()


def _write(path: Path, data: bytes, *, mode: int = 0o755) -> None:
    """Whole or not at all: a server may be running out of this directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.chmod(mode)
    temporary.replace(path)
