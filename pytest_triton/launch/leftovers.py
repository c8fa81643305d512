"""Empty directories that the Python backend leaves in /tmp when its server is killed.

Loaded by the supervisor at its end only, by path: standard library, nothing of ours.
"""

from __future__ import annotations

import os

_WHERE = "/tmp"
_PREFIX = "python_env_"
#: Seconds after its start within which a server makes its own: with its first Python model.
_EARLY = 300.0


def remove_environments(since: float) -> None:
    """Remove those made since our server started (seconds since the epoch).

    Every server of the Python backend makes one, whose name says nothing about whose it is:
    what another live server may have made stays, for the supervisor that ends after it.
    """
    others = _servers()
    for name in os.listdir(_WHERE):
        path = os.path.join(_WHERE, name)
        try:
            if not name.startswith(_PREFIX):
                continue
            seen = os.stat(path, follow_symlinks=False)
            ours = seen.st_uid == os.getuid() and seen.st_mtime >= since - 1
            if ours and not any(-1 <= seen.st_mtime - other <= _EARLY for other in others):
                os.rmdir(path)  # refuses one that is in use
        except OSError:
            continue


def _servers() -> list[float]:
    """When the live tritonservers started, in seconds since the epoch."""
    boot = _boot_time()
    ticks = os.sysconf("SC_CLK_TCK")
    found: list[float] = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                head, _, tail = file.read().rpartition(b")")
        except OSError:
            continue
        fields = tail.split()
        if head.endswith(b"(tritonserver") and fields[0] not in (b"Z", b"X"):
            found.append(boot + int(fields[19]) / ticks)
    return found


def _boot_time() -> float:
    with open("/proc/stat", "rb") as file:
        for line in file:
            if line.startswith(b"btime "):
                return float(line.split()[1])
    return 0.0
