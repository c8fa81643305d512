"""A server of ours in the sandbox: the same program, with the same paths, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_triton.launch.overlay import Overlay, describe
from pytest_triton.launch.store import Server
from pytest_triton.sandbox.bubblewrap import Sandbox, python_reads, readable

#: Of the judge's environment, what a server may see; the rest may hold anybody's secrets.
_KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES",
         "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NVIDIA_VISIBLE_DEVICES", "PYTEST_TRITON_ZYGOTE",
         "TRITON_SERVER_CPU_ONLY")  # fmt: skip


def boxed(
    sandbox: Sandbox,
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    server: Server,
    overlay: Overlay,
    backends: Path,
    repository: Path,
    alias: Path | None,
    python: Path | None,
    device: str,
    added: Mapping[str, str],
    flags: Sequence[str],
) -> list[str]:
    """The command line of a server that may read ``repository`` and write nothing but its /tmp.

    /dev/shm is the judge's (which has its own, see ``sandbox/outside.py``): the shared-memory
    clauses are about that. ``added``: variables that the judge asked for, and ``flags``, which may
    name files (certificates).
    """
    kept = {name: env[name] for name in _KEPT if name in env}
    inside = {**kept, **added, "TMPDIR": "/tmp", "LOGNAME": "submission", "USER": "submission"}
    reads: list[str | Path] = [
        server.path, backends, overlay.bin.parent, overlay.library, server.caches,
        overlay.numpy, *server.libraries, *python_reads(),
    ]  # fmt: skip
    if python is not None:
        other = describe(python)
        reads += [Path(other.executable), Path(other.base), *map(Path, other.site)]
    # Links of the overlay lead to the interpreter itself.
    reads += [(overlay.bin / "python3").resolve().parent]
    named = [path for flag in flags if (path := _named(flag)) is not None]
    for path in (repository, *named):
        readable(path)
    return sandbox.command(
        argv,
        env=inside,
        reads=[*reads, repository, *named],
        mounts={str(alias): str(repository)} if alias else None,
        writes=["/dev/shm"],
        gpu=device == "gpu",
    )


def _named(flag: str) -> Path | None:
    """The file or directory that a flag of the judge's names, if it is there."""
    path = Path(flag.partition("=")[2])
    return path if path.is_absolute() and path.exists() else None
