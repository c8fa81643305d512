"""What a boot has to know of the machine, without starting any program."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any, Literal

from pytest_triton.errors import ToolError

Device = Literal["cpu", "gpu"]
#: Bytes. An instance of a Python-based model maps 1 MB, and grows with its tensors.
_SHM_PER_MODEL, _SHM_LEAST = 2 * 2**20, 4 * 2**20


def gpu_count() -> int:
    """NVIDIA GPUs that the driver shows to this machine (or container)."""
    try:
        found = [name for name in os.listdir("/dev") if name.removeprefix("nvidia").isdigit()]
    except OSError:
        return 0
    return len(found) if Path("/dev/nvidiactl").exists() else 0


def require_device(device: str) -> Device:
    """Where models will run. Raises ToolError when a GPU was asked for and there is none."""
    if device == "cpu":
        return "cpu"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if gpu_count() and not hidden:
        return "gpu"
    if device == "gpu":
        raise ToolError(
            "a GPU was asked for and "
            + ("CUDA_VISIBLE_DEVICES hides every one" if hidden else "no NVIDIA GPU is visible"),
            "look at nvidia-smi, or use --triton-device cpu",
        )
    return "cpu"


def require_shm(models: int) -> None:
    """Raise ToolError when /dev/shm has no room for the regions of so many models."""
    needed = max(_SHM_LEAST, models * _SHM_PER_MODEL)
    try:
        room = os.statvfs("/dev/shm")
        free = room.f_bavail * room.f_frsize
    except OSError:
        free = 0
    if free < needed:
        raise ToolError(
            f"/dev/shm has {free / 2**20:.1f} MB free, and {models} models in Triton's Python "
            f"backend need {needed / 2**20:.0f} MB at least",
            "remount it larger (docker: --shm-size=1g; mount -o remount,size=1g /dev/shm), or "
            "remove old regions from it",
        )


def cpu() -> dict[str, Any]:
    """Model and count of the processors that this process may use."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            model = next(
                (line.split(":", 1)[1].strip() for line in file if line.startswith("model name")),
                model,
            )
    except OSError:
        pass
    return {"model": model, "count": len(os.sched_getaffinity(0))}
