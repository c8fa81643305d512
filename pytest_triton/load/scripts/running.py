"""Run a load-test script against one server, bounded, in a copy of what was handed in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from pytest_triton.errors import ToolError
from pytest_triton.load.scripts.confined import confined, scrub
from pytest_triton.load.scripts.copying import MOST_BYTES, TooLarge, copy, size
from pytest_triton.sandbox.active import active

__all__ = ["Ended", "NoLocust", "Ran", "Target", "Told", "TooLarge", "bounded", "command_of", "ran"]

_CAGE = Path(__file__).with_name("cage.py")
#: Seconds beyond its duration that a script may take: start-up, and the end of its requests.
OVERHEAD_S = 30.0
#: Bytes of its address space.
MOST_MEMORY = 8 << 30
#: Of the judge's environment, what a script may see.
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
#: Names a script's processes, should they escape.
_MARKER = "TRITON_LOAD_TEST"


class Told(Protocol):
    """What any script is told, the seconds within which it has to end, and files that it is told
    of."""

    @property
    def ports(self) -> tuple[int, ...]: ...

    @property
    def environment(self) -> Mapping[str, str]: ...

    @property
    def arguments(self) -> Sequence[str]: ...

    @property
    def deadline_s(self) -> float: ...

    @property
    def reads(self) -> Sequence[Path]: ...


@dataclass(frozen=True, slots=True)
class Target:
    """What a load test is told: URLs, model, users, and for how many seconds."""

    url: str
    grpc_url: str
    model: str
    users: int
    duration_s: int

    @property
    def ports(self) -> tuple[int, int]:
        """Of HTTP and of gRPC; 0: none."""
        http, grpc = urlsplit(self.url), urlsplit(f"//{self.grpc_url}")
        return http.port or (443 if http.scheme == "https" else 80), grpc.port or 0

    @property
    def environment(self) -> dict[str, str]:
        return {
            "TRITON_URL": self.url,
            "TRITON_GRPC_URL": self.grpc_url,
            "MODEL": self.model,
            "USERS": str(self.users),
            "DURATION": str(self.duration_s),
        }

    @property
    def deadline_s(self) -> float:
        return self.duration_s + OVERHEAD_S

    @property
    def reads(self) -> tuple[Path, ...]:
        return ()

    @property
    def arguments(self) -> list[str]:
        return [
            "--url", self.url, "--grpc-url", self.grpc_url, "--model", self.model,
            "--users", str(self.users), "--duration", str(self.duration_s),
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a run. ``status``: the exit status, None when it was ended (``stopped`` says
    why: deadline, bytes, processes, or killed with its supervisor); ``left``: processes that ran
    on after it. ``directory`` holds what it wrote, ``given`` what lay there before.
    ``connections``: to each port of the server, opened on this machine meanwhile."""

    status: int | None
    stopped: str
    seconds: float
    left: int
    stdout: str
    stderr: str
    directory: Path
    given: frozenset[Path]
    connections: Mapping[int, int] = field(default_factory=dict)

    @property
    def fault(self) -> str:
        """Why this was no orderly end; "" for one."""
        reasons = {
            "deadline": f"it had not ended after {self.seconds:.0f} s",
            "bytes": f"it wrote over {MOST_BYTES >> 20} MiB",
            "memory": "it took too much memory",
            "processes": "it started too many processes",
            "killed": "it ended its supervisor",
        }
        if self.stopped:
            return reasons.get(self.stopped, self.stopped)
        return f"{self.left} processes ran on after it ended" if self.left else ""


class NoLocust(ToolError):
    """A locustfile, and no Locust to run it."""


def command_of(script: Path, target: Told, *, strict: bool) -> list[str]:
    """How a script is run; ``script`` is in the scratch directory. Raises NoLocust.

    ``strict``: Locust ends with status 1 on any failure, as it does by itself.
    """
    name = script.name
    text = script.read_text("utf-8", errors="replace")
    arguments = target.arguments if "--url" in text else []
    if name.endswith(".sh"):
        return ["sh" if not text.startswith("#!") or "bash" not in text[:40] else "bash", name,
                *arguments]  # fmt: skip
    if name != "locustfile.py" or not isinstance(target, Target):
        return [sys.executable, name, *arguments]
    command = [
        *_locust(), "-f", name, "--headless", "--host", target.url, "-u", str(target.users),
        "-r", str(target.users), "-t", f"{target.duration_s}s", "--stop-timeout", "10",
        "--csv", "result", "--only-summary",
    ]  # fmt: skip
    return command if strict else [*command, "--exit-code-on-error", "0"]


def _locust() -> list[str]:
    if find_spec("locust") is not None:
        return [sys.executable, "-m", "locust"]
    if found := shutil.which("locust"):
        return [found]
    raise NoLocust("Locust is not installed here", "pip install 'pytest-triton[locust]'")


@contextmanager
def ran(directory: Path, script: Path, target: Told, *, strict: bool = False) -> Iterator[Ran]:
    """Run ``script`` of ``directory`` in a copy of it that goes when the block ends.

    Raises NoLocust, and TooLarge for a directory that is not copied.
    """
    with tempfile.TemporaryDirectory(prefix="pytest-triton-load-test-") as scratch:
        work = Path(scratch) / "own"
        given = copy(directory, work)
        place = work / script.relative_to(directory)
        marker = uuid.uuid4().hex
        home = Path(scratch) / "home"
        home.mkdir()
        command = command_of(place, target, strict=strict)
        job: dict[str, Any] = {
            "command": command,
            "cwd": str(place.parent),
            "env": _environment(target, home, marker),
            "stdout": str(Path(scratch) / "stdout"),
            "stderr": str(Path(scratch) / "stderr"),
            "deadline_s": target.deadline_s,
            "most_bytes": MOST_BYTES + size(work),
            "ports": [port for port in target.ports if port],
            "limits": {
                "CPU": int(target.deadline_s * (os.cpu_count() or 1)),
                "FSIZE": MOST_BYTES,
                "AS": MOST_MEMORY,
                "CORE": 0,
            },
        }
        try:
            told = _supervised(confined(job, Path(scratch), target.reads))
        finally:
            _sweep(marker)
        if active() is not None:
            scrub(work)
        yield Ran(
            told["status"], told["stopped"], told["seconds"], told["left"],
            _read(job["stdout"]), _read(job["stderr"]), place.parent, given,
            Counter(told.get("connections", ())),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ended:
    """A command's end; ``status`` None: it was ended (``stopped`` says why)."""

    status: int | None
    stopped: str
    output: str


def bounded(command: Sequence[str], *, deadline_s: float, directory: Path | None = None) -> Ended:
    """Run a short command in a scratch directory (a copy of ``directory``), within bounds."""
    with tempfile.TemporaryDirectory(prefix="pytest-triton-command-") as scratch:
        work, home = Path(scratch) / "own", Path(scratch) / "home"
        home.mkdir()
        if directory is None:
            work.mkdir()
        else:
            copy(directory, work)
        marker = uuid.uuid4().hex
        job: dict[str, Any] = {
            "command": [str(work / Path(word).relative_to(directory))
                        if directory is not None and word.startswith(f"{directory}/") else word
                        for word in command],
            "cwd": str(work), "env": _kept_environment(home, marker), "ports": [],
            "stdout": str(Path(scratch) / "stdout"), "stderr": str(Path(scratch) / "stderr"),
            "deadline_s": deadline_s, "most_bytes": MOST_BYTES + size(work),
            "limits": {"CPU": int(deadline_s) + 1, "FSIZE": MOST_BYTES, "AS": MOST_MEMORY,
                       "CORE": 0},
        }  # fmt: skip
        try:
            told = _supervised(confined(job, Path(scratch)))
        finally:
            _sweep(marker)
        output = _read(job["stdout"]) + _read(job["stderr"])
        return Ended(told["status"], told["stopped"], output.strip()[-400:])


def _environment(target: Told, home: Path, marker: str) -> Mapping[str, str]:
    return {**_kept_environment(home, marker), **target.environment}


def _kept_environment(home: Path, marker: str) -> Mapping[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return {
        **kept, "PATH": path, "HOME": str(home), "TMPDIR": str(home),
        "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", _MARKER: marker,
    }  # fmt: skip


def _supervised(job: Mapping[str, Any]) -> dict[str, Any]:
    """Run a job in a cage; a cage that ends without a word was ended by the script."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_CAGE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
        # The cage keeps the deadline; the pipe to it stays open until then.
        line = process.stdout.readline()
        told: dict[str, Any] = json.loads(line) if line else {}
    except (OSError, ValueError):
        told = {}
    finally:
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    lost = {"status": None, "stopped": "killed", "seconds": time.monotonic() - started, "left": 0}
    return told or lost


def _sweep(marker: str) -> None:
    """End what escaped, told by the marker in its environment."""
    import psutil

    ended = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(_MARKER) == marker:
                process.kill()
                ended.append(process)
    psutil.wait_procs(ended, timeout=10)


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace")
    except OSError:
        return ""
