"""A box for a Python program that will run what nobody vouches for.

Bubblewrap, where it works: namespaces of its own (no network, no other process to be seen), a
file system that holds Python and its packages, read-only, and no capability. Elsewhere a plain
process without the environment, in a directory where no file can be made. What the program may
use of the machine it limits itself (``script_child.py``), before it loads anything; its owner
looks on.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.errors import ToolError

if TYPE_CHECKING:
    import psutil

#: What the loader of shared libraries reads, and what torch asks about the processor.
SYSTEM = (
    "/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib",
    "/etc/ld.so.cache", "/sys/devices/system/cpu", "/nix/store",
)  # fmt: skip
_FLAGS = (
    "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
    "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/tmp",
)  # fmt: skip
#: Seconds to see whether bubblewrap works, and for killed processes to go.
_TRY, _GONE = 20.0, 10.0
#: Processes that a program may have below it; bubblewrap's own are among them.
MAX_PROCESSES = 16


@dataclass(frozen=True)
class Box:
    """How programs are kept apart here: the path of bubblewrap, or why it is not used."""

    bwrap: str = ""
    why: str = "bubblewrap is not installed"

    @property
    def name(self) -> str:
        """For people."""
        return "bubblewrap" if self.bwrap else f"resource limits alone ({self.why})"

    def command(self, program: Sequence[str], reads: Iterable[str] = ()) -> list[str]:
        """The command line; ``reads`` are paths that the program may read."""
        if not self.bwrap:
            return list(program)
        binds = []
        for path in dict.fromkeys((*SYSTEM, *python_paths(), *reads)):
            for name in dict.fromkeys((path, os.path.realpath(path))):
                if name != "/":
                    binds += ["--ro-bind-try", name, name]
        return [self.bwrap, *_FLAGS, *binds, "--remount-ro", "/", "--", *program]


@cache
def find_box() -> Box:
    """Bubblewrap if it is on PATH and can do here what is asked of it."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return Box()
    try:
        tried = subprocess.run(
            Box(bwrap).command([interpreter(), "-I", "-S", "-c", ""]),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=_TRY, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return Box(why=f"bubblewrap does not work here: {error}")
    if tried.returncode:
        said = (tried.stderr.strip().splitlines() or [f"status {tried.returncode}"])[-1]
        return Box(why=f"bubblewrap does not work here: {said}")
    return Box(bwrap, "")


def only_boxed() -> bool:
    """Whether a program that cannot be kept apart must not run: a submission is graded."""
    return os.environ.get("PYTEST_TRITON_SANDBOX", "none") != "none"


def interpreter() -> str:
    """Python itself, not the link of a virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def packages(*names: str) -> list[str]:
    """Directories that hold these packages or others that they need; nothing is imported."""
    found = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    for name in names:
        with suppress(ImportError, ValueError):
            spec = find_spec(name)
            for place in (spec.submodule_search_locations or ()) if spec else ():
                found.append(str(Path(place).parent))
    return [entry for entry in dict.fromkeys(found) if os.path.isdir(entry)]


def python_paths() -> list[str]:
    """What Python itself is made of."""
    paths = [interpreter(), sys.base_prefix, sys.base_exec_prefix]
    paths += [sysconfig.get_path(name) or "" for name in ("stdlib", "platstdlib")]
    paths.append(str(sysconfig.get_config_var("LIBDIR") or ""))
    paths += os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return [path for path in paths if os.path.isabs(path)]


class Boxed:
    """A program in a box. Its standard streams are pipes; it gets no more than these."""

    def __init__(
        self,
        box: Box,
        program: Sequence[str],
        *,
        reads: Iterable[str] = (),
        descriptors: Sequence[int] = (),
    ) -> None:
        """``descriptors`` are open files that it inherits. Raises ToolError if it cannot start."""
        try:
            self.process = subprocess.Popen(
                box.command(program, reads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
                cwd="/proc",  # nobody can make a file there
                pass_fds=descriptors,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise ToolError(
                f"a process for the reference cannot be started: {error}",
                "see what this machine lacks: pytest-triton doctor",
            ) from None

    def usage(self) -> tuple[int, int]:
        """Bytes of memory and processes of the whole tree, now."""
        import psutil

        memory = count = 0
        for process in self._tree():
            with suppress(psutil.Error):
                memory += process.memory_info().rss
                count += 1
        return memory, count

    def ended(self) -> int | None:
        """The status of a program that has closed its output; None if it goes on without one."""
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(_GONE)
        return None

    def end(self) -> None:
        """Kill the whole tree."""
        # Stopped first, so that no new process comes while the old ones are killed.
        for last in (signal.SIGSTOP, signal.SIGKILL):
            seen: set[int] = set()
            while fresh := {each.pid for each in self._tree()} - seen:
                seen |= fresh
                for pid in fresh:
                    with suppress(OSError):
                        os.kill(pid, last)
        with suppress(subprocess.TimeoutExpired):  # what hangs in the kernel is the kernel's
            self.process.wait(_GONE)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def _tree(self) -> list[psutil.Process]:
        """The program, all below it, and orphans that are still of its session."""
        import psutil

        root = self.process.pid
        found: dict[int, psutil.Process] = {}
        with suppress(psutil.Error):
            if self.process.returncode is None:
                found[root] = psutil.Process(root)
                found |= {each.pid: each for each in found[root].children(recursive=True)}
        for pid in psutil.pids():
            with suppress(OSError, psutil.Error):
                if pid not in found and os.getsid(pid) == root:
                    found[pid] = psutil.Process(pid)
        return list(found.values())


def _environment() -> dict[str, str]:
    told = {
        "HOME": "/nonexistent", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8",
        # One thread, so that sums are made in one order; never a GPU.
        "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    if path := os.environ.get("LD_LIBRARY_PATH"):
        told["LD_LIBRARY_PATH"] = path
    return told
