"""What a served TorchScript file has to answer: run in plain torch, apart, by nobody's trust.

TorchScript is a program: it reads and writes files, and some of it runs when it is loaded. So
the process that judges never loads one. A child in a box does (``sandbox.py``), one for each
file, and whatever comes back is taken for arrays of numbers or for nothing.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from pytest_triton.errors import ToolError
from pytest_triton.export import frames
from pytest_triton.export.oracle import ReferenceRefused
from pytest_triton.export.piping import exchange
from pytest_triton.export.sandbox import (
    MAX_PROCESSES,
    Box,
    Boxed,
    find_box,
    interpreter,
    only_boxed,
    packages,
)
from pytest_triton.export.scripted import TYPES, without_reference
from pytest_triton.repository.sidecar import Tensors

_HERE = Path(__file__).resolve().parent
_BACKEND = _HERE.parent / "backends" / "pytorch"
#: Bytes of one answer, as many as are read from a server.
MAX_ANSWER = 256 << 20
#: Bytes of memory beside what torch takes: at most this and some times the file.
MAX_MEMORY, _TIMES = 8 << 30, 4
INSTALL = "pip install 'pytest-triton[torch]'"
_OTHERWISE = "give expected outputs with --triton-inputs FILE"
#: A sentence of the child -> what is told of it, and the remedy.
_FAILURES = {
    "unloadable": ("cannot be loaded in torch", "install the torch that the server has"),
    "memory": (
        "needs more memory than a reference gets",
        f"use a machine with more memory, or {_OTHERWISE}",
    ),
    "forbidden": (
        "wants a file, a process or a thread, which a reference does not get",
        f"export a module that only computes, or {_OTHERWISE}",
    ),
}


class NoReference(Exception):
    """This model has none, for a reason that is nobody's fault; the text is the reason."""


class ReferenceFailed(ToolError):
    """The file crashed, hung, took too much or wrote nonsense: nothing is known of its answers."""


class ScriptReference:
    """Evaluates TorchScript files, one at a time. Starts at the first question."""

    def __init__(
        self,
        box: Box | None = None,
        *,
        start_timeout: float = 120.0,
        timeout: float = 60.0,
        memory: int = 0,
    ) -> None:
        """Timeouts in seconds: for torch and the file, and for each question; ``memory`` in bytes
        (0: what the machine can spare).
        """
        self._box = box
        self._start_timeout, self._timeout, self._memory = start_timeout, timeout, memory
        self._boxed: Boxed | None = None
        self._file: Path | None = None
        self._noise = bytearray()
        self._most = 0
        #: What is known of files that are not asked again.
        self._given_up: dict[Path, Callable[[], Exception]] = {}

    @property
    def box(self) -> Box:
        """How files are kept apart here."""
        self._box = self._box or find_box()
        if not self._box.bwrap and only_boxed():
            raise ReferenceFailed(
                f"no file is run here without a sandbox: {self._box.why}", INSTALL
            )
        return self._box

    def run(
        self,
        file: Path,
        config: Mapping[str, Any],
        inputs: Tensors,
        allowed: Mapping[str, Sequence[float]],
    ) -> dict[str, np.ndarray]:
        """The outputs of a version by name, as the server would send them.

        ``allowed``: relative and absolute tolerance of each output, to tell whether two calls
        agree. Raises NoReference, ReferenceRefused (for these inputs), ReferenceFailed, and
        ToolError for what is missing here. Whoever failed once is not asked again.
        """
        name = str(config.get("name", file.parent.parent.name))
        if file in self._given_up:
            raise self._given_up[file]()
        if reason := without_reference(config):
            raise NoReference(reason)
        try:
            self._start(file, config, name)
            header, outputs = self._ask(name, {"allowed": allowed}, inputs, self._timeout)
            self._judge(name, header)
            self._check(name, config, outputs)
        except (NoReference, ReferenceFailed) as error:
            kind, told = type(error), error.args
            if isinstance(error, ReferenceFailed):
                told = (error.message, error.remedy)
            self._given_up[file] = lambda: kind(*told)
            self.close()
            raise
        except BaseException as error:
            if not isinstance(error, ReferenceRefused):
                self.close()
            raise
        return outputs

    def close(self) -> None:
        """End the child and all below it."""
        boxed, self._boxed = self._boxed, None
        self._file = None
        if boxed is not None:
            boxed.end()

    def __enter__(self) -> ScriptReference:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def program(self, descriptor: int) -> list[str]:
        """The command line of the child, for an open file."""
        told = {
            "packages": packages("torch", "numpy", "torchvision"),
            "here": str(_HERE),
            "backend": str(_BACKEND),
            "file": descriptor,
        }
        child = str(_HERE / "script_child.py")
        return [interpreter(), "-I", "-S", "-B", child, json.dumps(told)]

    def _start(self, file: Path, config: Mapping[str, Any], name: str) -> None:
        if self._boxed is not None and self._file == file:
            return
        self.close()
        self._noise.clear()
        descriptor, size = _opened(file)
        try:
            self._most = self._memory or _spare(size)
            header = self._open_box(descriptor, name)
            if "missing" in header and self.box.bwrap and not only_boxed():
                # Links may lead out of what the box shows. The file was not yet looked at.
                self.close()
                self._box = Box(why="torch cannot be imported in bubblewrap")
                header = self._open_box(descriptor, name)
        finally:
            os.close(descriptor)
        self._judge(name, header)
        self._file = file
        told = {"config": {"max_batch_size": 0, **config, "name": name}, "memory": self._most}
        self._judge(name, self._ask(name, told, {}, self._start_timeout)[0])

    def _open_box(self, descriptor: int, name: str) -> dict[str, Any]:
        """Start a child and have it import torch; what it says to that."""
        reads = [str(_HERE), str(_BACKEND), *packages("torch", "numpy", "torchvision")]
        program = self.program(descriptor)
        self._boxed = Boxed(self.box, program, reads=reads, descriptors=(descriptor,))
        return self._ask(name, {}, {}, self._start_timeout)[0]

    def _ask(
        self, name: str, header: Mapping[str, Any], tensors: Tensors, seconds: float
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        assert self._boxed is not None
        boxed, what = self._boxed, f"the reference of {name} (its file in torch)"

        def watch() -> None:
            memory, processes = boxed.usage()
            # The child's own limit is of addresses; torch itself takes its part of this.
            if memory > self._most + (2 << 30) or processes > MAX_PROCESSES:
                raise ReferenceFailed(
                    f"{what} grew to {memory >> 20} MiB in {processes} processes and was ended",
                    f"export a module that only computes, or {_OTHERWISE}",
                )

        try:
            text, payload = exchange(
                boxed.process,
                frames.encode(header, tensors),
                time.monotonic() + seconds,
                limit=MAX_ANSWER,
                watch=watch,
                noise=self._noise,
            )
            return frames.decode_strictly(text, payload)
        except TimeoutError:
            raise ReferenceFailed(
                f"{what} did not answer within {seconds:.0f} s",
                f"send smaller requests or {_OTHERWISE}; a machine with less load may do too",
            ) from None
        except EOFError:
            status = boxed.ended()
            raise ReferenceFailed(
                f"{what} ended{_told(status)}{_tail(self._noise)}",
                f"see whether it runs in torch at all, or {_OTHERWISE}",
            ) from None
        except ValueError as error:
            raise ReferenceFailed(
                f"{what} wrote no answer: {error}", f"export it again, or {_OTHERWISE}"
            ) from None

    def _judge(self, name: str, header: Mapping[str, Any]) -> None:
        """Raise what the child told instead of an answer."""
        for kind, text in header.items():
            said = _plain(text)
            if kind == "missing":
                raise NoReference(f"torch cannot be imported ({said}): {INSTALL}")
            if kind == "unsteady":
                raise NoReference(f"answers are random or have a state: {said}")
            if kind == "device":
                raise NoReference(f"torch cannot compute it on the CPU: {said}")
            if kind == "refused":
                raise ReferenceRefused(name, said)
            if kind in _FAILURES:
                what, remedy = _FAILURES[kind]
                raise ReferenceFailed(f"the file of {name} {what}: {said}", remedy)
            raise ReferenceFailed(
                f"the reference of {name} speaks of {kind!r:.60}",
                f"export it again, or {_OTHERWISE}",
            )

    def _check(
        self, name: str, config: Mapping[str, Any], outputs: Mapping[str, np.ndarray]
    ) -> None:
        wanted = {e["name"]: np.dtype(TYPES[e["data_type"]]) for e in config.get("output", ())}
        found = {key: value.dtype for key, value in outputs.items()}
        if found != wanted:
            raise ReferenceFailed(
                f"the reference of {name} answers with {_plain(found)}, not {_plain(wanted)}",
                f"export it again, or {_OTHERWISE}",
            )


def _opened(file: Path) -> tuple[int, int]:
    """A descriptor and the size of a plain file. Raises ReferenceFailed; never waits for a FIFO."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ReferenceFailed(f"{file} cannot be read: {error.strerror}", "mend the file") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ReferenceFailed(f"{file} is no plain file", "mend the file")
    return descriptor, status.st_size


def _spare(size: int) -> int:
    """Bytes that a reference may take on this machine, for a file of ``size`` bytes."""
    import psutil

    least = (1 << 30) + _TIMES * size
    most = MAX_MEMORY + _TIMES * size
    free = psutil.virtual_memory().available
    if least > free:
        raise NoReference(
            f"its file of {size >> 20} MiB needs {least >> 20} MiB beside the server, and "
            f"{free >> 20} MiB are free"
        )
    return max(least, min(most, free // 2))


def _plain(text: object) -> str:
    """Words of a stranger, fit for a report: one line, not long, nothing that moves a cursor."""
    return "".join(c if c.isprintable() else " " for c in str(text)[:500]).strip()


def _tail(noise: bytearray) -> str:
    lines = [line for line in noise.decode("utf-8", "replace").splitlines() if line.strip()]
    return f": {_plain(lines[-1])}" if lines else ""


def _told(status: int | None) -> str:
    if status is None:
        return " without a status"
    # Bubblewrap tells a signal as a shell does.
    number = -status if status < 0 else status - 128 if status > 128 else 0
    return f" by signal {number}" if number else f" with status {status}"
