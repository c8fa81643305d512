"""Command lines that keep a program apart: bubblewrap, and limits that hold inside it.

What is in it sees read-only what it needs, a /tmp of its own, the loopback interface of the
judge's network (``outside.py``), and no other process. It has no capability, and runs as a user
that nobody else is: as root a real one, for RLIMIT_NPROC never binds uid 0, else a user
namespace of its own, where the limit counts what is below it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pytest_triton.errors import ToolError

#: Read-only: programs and libraries of the system; of /etc nothing that names users.
SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/etc/ld.so.cache",
    "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/hosts", "/etc/nsswitch.conf",
    "/etc/host.conf", "/etc/ssl", "/etc/localtime", "/sys/devices/system/cpu",
    "/sys/devices/system/node", "/opt/tritonserver",
)  # fmt: skip
#: Devices of NVIDIA's driver, where there are any.
_GPU = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset",
        "/dev/nvidia-caps")  # fmt: skip
_NAMESPACES = (
    "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
    "--die-with-parent", "--new-session", "--hostname", "submission",
)  # fmt: skip
#: Users that belong to nobody: systemd's for services of the moment.
_FIRST_USER, _USERS = 61184, 4336
_NOBODY = "65534"
#: Seconds to see whether it works.
_TRY = 20.0
REMEDY = (
    "apt-get install bubblewrap, and allow user namespaces "
    "(kernel.apparmor_restrict_unprivileged_userns=0); or say --sandbox none for work that you trust"
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one sandbox may use of the machine."""

    #: Processes and threads. A server has dozens for each processor.
    processes: int = 0
    #: Bytes of memory of all its processes, and of one; whoever owns it looks on.
    memory: int = 0
    #: Bytes of one file, and of all below its /tmp.
    file_size: int = 1 << 30
    scratch: int = 1 << 30

    def filled(self) -> Bounds:
        """With what this machine suggests in the place of zeros."""
        import psutil

        return replace(
            self,
            processes=self.processes or 1024 + 64 * (os.cpu_count() or 1),
            memory=self.memory or psutil.virtual_memory().total * 3 // 4,
        )


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Bubblewrap on this machine."""

    bwrap: str
    #: Whether the caller is root, and a real user is taken.
    root: bool
    bounds: Bounds

    def command(
        self,
        program: Sequence[str],
        *,
        env: Mapping[str, str],
        reads: Iterable[str | Path] = (),
        writes: Iterable[str | Path] = (),
        mounts: Mapping[str, str] | None = None,
        directory: str = "/tmp",
        gpu: bool = False,
        seconds: int = 0,
    ) -> list[str]:
        """The command line. It needs no environment of its own: ``env`` is what is inside.

        ``reads`` and ``writes`` are paths that lie there under the same names; ``mounts``: path
        inside -> a directory to be read there; ``seconds`` of processor time for each process.
        """
        words = [self.bwrap, *_NAMESPACES, *self._user(), "--clearenv"]
        for name, value in {**env, "HOME": f"/tmp/home-{secrets.token_hex(8)}"}.items():
            words += ["--setenv", name, value]
        words += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777"]
        words += ["--size", str(self.bounds.scratch), "--tmpfs", "/tmp"]
        reads, writes, mounts = (*SYSTEM, *reads), tuple(writes), mounts or {}
        words += _parents((*reads, *writes, *mounts))
        words += _binds("--ro-bind-try", reads)
        for inside, path in mounts.items():
            words += ["--ro-bind", path, inside]
        words += _binds("--bind", writes)
        for device in (*_GPU, *_cards()) if gpu else ():
            words += ["--dev-bind-try", device, device]
        words += ["--remount-ro", "/", "--chdir", directory, "--"]
        return [*words, *self._inside(seconds), *program]

    def _user(self) -> list[str]:
        if self.root:
            # Only until setpriv has changed the user.
            capabilities = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
            return ["--cap-drop", "ALL", *(w for c in capabilities for w in ("--cap-add", c))]
        return ["--unshare-user", "--disable-userns", "--uid", _NOBODY, "--gid", _NOBODY,
                "--cap-drop", "ALL"]  # fmt: skip

    def _inside(self, seconds: int) -> list[str]:
        """Programs that the sandboxed one takes the place of, one after the other."""
        words: list[str] = []
        if self.root:
            user = str(_FIRST_USER + secrets.randbelow(_USERS))
            words += ["setpriv", "--reuid", user, "--regid", user, "--clear-groups",
                      "--no-new-privs", "--inh-caps", "-all", "--bounding-set", "-all", "--"]  # fmt: skip
        # The first that the kernel takes when the machine runs out of memory.
        words += ["choom", "-n", "1000", "--"]
        words += ["prlimit", f"--nproc={self.bounds.processes}", f"--data={self.bounds.memory}",
                  f"--fsize={self.bounds.file_size}", "--core=0"]  # fmt: skip
        if seconds:
            words.append(f"--cpu={seconds}")
        return [*words, "--"]


def _cards() -> list[str]:
    return [str(path) for path in Path("/dev").glob("nvidia[0-9]*")]


def _binds(option: str, paths: Iterable[str | Path]) -> list[str]:
    """A path and what it really is, so that links to it lead somewhere."""
    words: list[str] = []
    for path in dict.fromkeys(map(str, paths)):
        for name in dict.fromkeys((path, os.path.realpath(path))):
            if name != "/":
                words += [option, name, name]
    return words


def _parents(paths: Iterable[str | Path]) -> list[str]:
    """Directories above what is bound, open to the user inside whatever they are outside."""
    above: dict[str, None] = {}
    for path in map(str, paths):
        for name in (path, os.path.realpath(path)):
            above |= dict.fromkeys(map(str, reversed(Path(name).parents)))
    fixed = ("/", "/tmp", "/proc", "/dev")
    return [w for name in above if name not in fixed for w in ("--perms", "0755", "--dir", name)]


def python_reads() -> list[str]:
    """What Python and the packages of this environment are made of."""
    from pytest_triton.export.sandbox import packages, python_paths  # with numpy: no boot needs it

    return [*python_paths(), *packages("torch", "numpy", "torchvision")]


def readable(root: Path) -> None:
    """Let any user read a file or directory of ours, for the sandbox has another user."""
    _add(str(root))
    for base, directories, names in os.walk(root):
        for name in (*directories, *names):
            _add(os.path.join(base, name))


def _add(path: str) -> None:
    with suppress(OSError):
        seen = os.lstat(path)
        more = 0o555 if stat.S_ISDIR(seen.st_mode) else 0o444 if stat.S_ISREG(seen.st_mode) else 0
        if seen.st_uid == os.geteuid() and seen.st_mode & more != more:
            os.chmod(path, stat.S_IMODE(seen.st_mode) | more)


@cache
def find(bounds: Bounds | None = None) -> Sandbox:
    """Bubblewrap, if it can do here all that is asked of it. Raises ToolError with the remedy."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise ToolError("there is no sandbox: bubblewrap is not installed", REMEDY)
    for program in ("setpriv", "prlimit", "choom"):
        if shutil.which(program) is None:
            raise ToolError(f"there is no {program} on PATH", "apt-get install util-linux")
    made = Sandbox(bwrap, os.geteuid() == 0, (bounds or Bounds()).filled())
    env = {"PATH": "/usr/bin:/bin"}
    try:
        tried = subprocess.run(
            made.command(["true"], env=env), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=_TRY, check=False, env=env,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolError(
            f"there is no sandbox: bubblewrap does not work here: {error}", REMEDY
        ) from None
    if tried.returncode:
        said = (tried.stderr.strip().splitlines() or [f"status {tried.returncode}"])[-1]
        raise ToolError(f"there is no sandbox: bubblewrap does not work here: {said}", REMEDY)
    return made
