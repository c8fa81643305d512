"""The process that loads one TorchScript file and answers with it. Run as ``python -I -S -B``.

It imports all that it needs, then gives up what a module must not have (files, processes,
memory without end), and only then looks at the file: loading one already runs its code.
The arguments are one JSON object: ``packages`` (directories to import from), ``backend`` and
``here`` (directories of this project), ``file`` (a descriptor of the file, open for reading).
Standard input brings frames, and each gets an answer: an empty one when torch has to be there,
``{config, memory}`` when the file has to be loaded, then questions ``{allowed}``.
"""

from __future__ import annotations

import ctypes
import importlib.util
import io
import json
import os
import resource
import signal
import sys
import time
import zipfile
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
#: Seconds of processor time, in case the owner cannot end this process any more.
_CPU = 3600
#: Words by which torch says that something was not allowed, or that memory ran out.
_FORBIDDEN = ("too many open files", "unable to open file", "unable to mmap", "file too large",
              "cannot be opened", "open file failed", "permission denied",
              "read-only file system", "no such file", "resource temporarily unavailable")  # fmt: skip
_MEMORY = ("can't allocate memory", "not enough memory", "bad_alloc", "cannot allocate memory",
           "bad allocation", "unable to allocate")  # fmt: skip
#: Words by which torch says that it cannot compute this without a GPU.
_DEVICE = ("cuda", "not implemented for")
_SAMPLE = """
def inner(x):
    return x + 1
def sample(x):
    future = fork(inner, x)
    return wait(future)
"""
_CONFIG = {
    "name": "sample",
    "max_batch_size": 1,
    "input": [{"name": "X__0", "data_type": "TYPE_FP32", "dims": [2]}],
    "output": [{"name": "Y__0", "data_type": "TYPE_FP32", "dims": [2]}],
}


def main() -> int:
    """Answer until standard input ends."""
    told = json.loads(sys.argv[1])
    _bind_to_owner()
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the frames
    sys.path += told["packages"]
    frames = _module("frames", f"{told['here']}/frames.py")
    _read(source, frames)

    def answer(header: dict[str, str], outputs: dict[str, Any] | None = None) -> None:
        sink.write(frames.encode(header, outputs or {}))
        sink.flush()

    try:
        import torch
    except ImportError as error:
        answer({"missing": str(error)})
        return 0
    answer({})
    if (order := _read(source, frames)) is None:
        return 0
    sys.path.append(told["backend"])
    calling = _module("script_forward", f"{told['here']}/script_forward.py")
    try:
        forward = _load(torch, calling, told["file"], order[0])
    except Exception as error:
        answer(_failure(error, "unloadable"))
        return 0
    answer({})
    while question := _read(source, frames):
        try:
            answer({}, forward.steady(question[1], question[0]["allowed"], time.monotonic))
        except calling.Unsteady as error:
            answer({"unsteady": str(error)})
        except Exception as error:
            answer(_failure(error, "refused"))
    return 0


def _load(torch: Any, calling: Any, descriptor: int, header: dict[str, Any]) -> Any:
    with os.fdopen(descriptor, "rb") as file:
        data = file.read()
    _warm_up(torch, calling)
    _limit_memory(header["memory"])
    if _names_torchvision(data):
        # NVIDIA's backend is built with the operators of torchvision.
        import torchvision  # noqa: F401
    _give_up()
    module = torch.jit.load(io.BytesIO(data), map_location="cpu")
    del data
    return calling.Forward(module.eval(), header["config"])


def _warm_up(torch: Any, calling: Any) -> None:
    """Have torch and us open and start now what is else opened and started when first needed."""
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    for kind in (torch.float32, torch.float64):
        one = torch.ones(1, 1, 8, 8, dtype=kind)
        torch.nn.functional.conv2d(torch.mm(one[0, 0], one[0, 0])[None, None], one)
    fork, wait = torch.jit.fork, torch.jit.wait  # _SAMPLE finds them in this frame
    sample = torch.jit.CompilationUnit(_SAMPLE)
    assert fork is not wait
    for _ in range(3):  # the first calls are watched, then the code is made anew
        sample.sample(torch.ones(2))
    kept = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), kept)
    kept.seek(0)
    module = torch.jit.load(kept, map_location="cpu").eval()
    ones = {"X__0": torch.ones(1, 2).numpy()}
    calling.Forward(module, _CONFIG).steady(ones, {"Y__0": (1e-3, 1e-3)}, time.monotonic)


def _limit_memory(more: int) -> None:
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    _limit("RLIMIT_AS", used + more)


def _give_up() -> None:
    """From here on: no file is opened or grows, and no process or thread begins."""
    for name, most in (("FSIZE", 0), ("CORE", 0), ("NPROC", 0), ("CPU", _CPU), ("NOFILE", 0)):
        _limit(f"RLIMIT_{name}", most)


def _limit(name: str, most: int) -> None:
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def _names_torchvision(data: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(
                b"torchvision" in archive.read(entry)
                for entry in archive.infolist()
                if entry.filename.endswith(".py") and entry.file_size < 1 << 24
            )
    except Exception:  # torch will say what is wrong with it
        return False


def _failure(error: Exception, otherwise: str) -> dict[str, str]:
    text = str(error)
    lower = text.lower()
    if isinstance(error, MemoryError) or any(words in lower for words in _MEMORY):
        kind = "memory"
    else:
        kind = "forbidden" if any(words in lower for words in _FORBIDDEN) else otherwise
        if any(words in lower for words in _DEVICE):
            kind = "device"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # An error out of TorchScript tells the place first; any other begins with the reason.
    reasons = [line for line in lines if line.partition(":")[0].endswith("Error")]
    return {kind: (reasons[-1:] or lines[:1] or [type(error).__name__])[0][:500]}


def _read(source: Any, frames: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    prefix = source.read(frames.PREFIX.size)
    if len(prefix) < frames.PREFIX.size:
        return None
    size, payload = frames.sizes(prefix)
    question: tuple[dict[str, Any], dict[str, Any]]
    question = frames.decode(source.read(size), source.read(payload))
    return question


def _module(name: str, path: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _bind_to_owner() -> None:
    """End with the owner; keep orphans below, where the owner finds them."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # the first to go when memory is short, before a server
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main())
