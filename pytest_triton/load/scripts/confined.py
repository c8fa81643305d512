"""A script's job in the sandbox, where a submission is graded; elsewhere as it is."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_triton.sandbox.active import active
from pytest_triton.sandbox.bubblewrap import python_reads, readable


def confined(job: dict[str, Any], scratch: Path, reads: Iterable[Path] = ()) -> dict[str, Any]:
    """The same job, so that it sees ``reads`` and the packages of this Python, and may write to
    ``own`` and ``home`` of ``scratch``.

    ``cage.py`` still bounds it: its processes are below the cage, whichever user they are of.
    What it leaves running ends with the sandbox.
    """
    sandbox = active()
    if sandbox is None:
        return job
    writes = [scratch / "own", scratch / "home"]
    for path in writes:
        _writable(path)
    paths = tuple(reads)
    for path in paths:
        readable(path)
    env = {**job["env"], "LOGNAME": "submission", "USER": "submission"}
    bounds = replace(sandbox.bounds, file_size=job["limits"]["FSIZE"])
    command = replace(sandbox, bounds=bounds).command(
        job["command"],
        env=env,
        reads=[*python_reads(), sys.prefix, *paths],
        writes=writes,
        directory=job["cwd"],
        seconds=job["limits"]["CPU"],
    )
    # Its limits are set inside, and there nobody can raise them again.
    return {**job, "command": command, "env": {"PATH": os.defpath}, "limits": {},
            "memory": bounds.memory}  # fmt: skip


def scrub(root: Path) -> None:
    """Remove what is no regular file below a directory that a sandbox wrote to, before it is
    read: a link would lead out of it, a fifo would wait."""
    for base, directories, names in os.walk(root):
        for name in (*directories, *names):
            path = os.path.join(base, name)
            with suppress(OSError):
                seen = os.lstat(path)
                if not stat.S_ISDIR(seen.st_mode) and (
                    not stat.S_ISREG(seen.st_mode) or seen.st_nlink > 1
                ):
                    os.unlink(path)


def _writable(root: Path) -> None:
    """Let the sandbox's user write there; nobody else comes that far."""
    for base, _, names in os.walk(root):
        for path in (base, *(os.path.join(base, name) for name in names)):
            with suppress(OSError):
                mode = os.lstat(path).st_mode
                if stat.S_ISDIR(mode):
                    os.chmod(path, 0o777)
                elif stat.S_ISREG(mode):
                    os.chmod(path, 0o666)
