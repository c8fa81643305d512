"""Where the judge runs: a network of its own with nothing but loopback, and a /dev/shm of its own.

Sandboxes below it share both, so the judge reaches the server by the loopback interface and
nobody else does. Ports are free in every one of these networks, however many run at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_triton.sandbox.bubblewrap import Sandbox

#: Of the machine's memory, what regions in /dev/shm may take.
_SHARE = 4
#: Variables of ours that a judge keeps; every other PYTEST_… and PYTHON… could change a verdict.
_OURS = ("PYTEST_TRITON_CACHE",)


def outside(sandbox: Sandbox, program: Sequence[str]) -> list[str]:
    """The command line of a judge, which sees all files: it is ours."""
    return [
        sandbox.bwrap, "--dev-bind", "/", "/", "--unshare-net", "--die-with-parent",
        "--perms", "1777", "--size", str(sandbox.bounds.memory // _SHARE), "--tmpfs", "/dev/shm",
        "--", *program,
    ]  # fmt: skip


def clean(added: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """The environment of a judge, without what would make pytest or Python do something else."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _OURS or not name.startswith(("PYTEST_", "PYTHON", "COV_"))
    }
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TMPDIR": str(scratch), **added}
