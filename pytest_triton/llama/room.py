"""Whether the machine has the memory, asked before anything is loaded."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from pytest_triton.errors import ToolError
from pytest_triton.llama.architecture import Llama

Form = Literal["stream", "logits"]
FORMS: tuple[Form, ...] = ("stream", "logits")
#: Bytes that a process with torch takes beside weights and cache: code, kernels' workspaces,
#: and on a GPU its context and graphs.
OVERHEAD = {"cpu": 1 << 29, "gpu": 3 << 29}
#: Seconds for nvidia-smi.
_ASK = 20.0


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that are free: where the model computes, on the host, and on the disk."""

    device: int
    host: int
    disk: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What fits. ``together``: reference and stream at once, so that they take turns."""

    need: int
    together: bool

    def told(self, room: Room) -> str:
        """For the terminal."""
        how = "in turn" if self.together else "one after the other: both do not fit"
        return (
            f"{_gib(self.need)} at most, {_gib(room.device)} are free; reference and server are "
            f"measured {how}"
        )


def room_of(device: str, work: Path) -> Room:
    """What is free now. Raises ToolError when a GPU does not answer."""
    host = _host()
    return Room(_gpu() if device == "gpu" else host, host, shutil.disk_usage(work).free)


def plan(llama: Llama, forms: Collection[Form], room: Room) -> Plan:
    """What can be done with ``room``. Raises ToolError with what is lacking, and the remedy."""
    over = OVERHEAD[llama.device]
    phases = {"the reference": llama.weight_bytes + over}
    stream = llama.weight_bytes + llama.cache_bytes + over
    if "stream" in forms:
        phases["the stream with its cache"] = stream
    if "logits" in forms:
        phases["the export to TorchScript, which proves it beside the model"] = (
            2 * llama.weight_bytes + over
        )
        if room.disk < 1.1 * llama.weight_bytes:
            raise ToolError(
                f"the disk has {_gib(room.disk)} free and the TorchScript file takes "
                f"{_gib(llama.weight_bytes)}",
                "--repository on a larger disk, or --form stream",
            )
    what, need = max(phases.items(), key=lambda phase: phase[1])
    if need > room.device:
        where = "the GPU" if llama.device == "gpu" else "memory"
        raise ToolError(
            f"{what} needs {_gib(need)} in {llama.dtype}, and {where} has {_gib(room.device)} free",
            _remedy(llama, what),
        )
    if llama.device == "gpu" and llama.weights and room.host < llama.weight_bytes:
        raise ToolError(
            f"the weights pass through memory, which has {_gib(room.host)} of "
            f"{_gib(llama.weight_bytes)} free",
            "free memory of the host",
        )
    return Plan(need, "stream" in forms and stream + phases["the reference"] <= room.device)


def _remedy(llama: Llama, what: str) -> str:
    if "export" in what:
        return "--form stream leaves TorchScript out"
    ways = ["--dtype bfloat16"] * (llama.dtype == "float32")
    if "cache" in what:
        ways.append(
            f"fewer streams or a shorter --max-length (the cache: {_gib(llama.cache_bytes)})"
        )
    return "; ".join([*ways, "a smaller model"])


def _host() -> int:
    """Available memory, within the limit of the control group."""
    free = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):  # none, or "max"
        return free
    return min(free, max(0, limit - used))


def _gpu() -> int:
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    # The first GPU that a process sees is the one that everything runs on.
    if shown := os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip():
        command.append(f"--id={shown}")
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=_ASK, check=True)
        return int(said.stdout.split()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise ToolError(f"nvidia-smi does not tell how much memory is free: {error}",
                        "mend the driver, or use --device cpu") from None  # fmt: skip


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
