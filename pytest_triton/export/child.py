"""A model in a process of its own: its owner's side, and the loop in the process itself.

Numbers and tensors travel over pipes, no code. The process ends with its owner: it reads end of
file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import IO, Any, TypeVar

import numpy as np

from pytest_triton.errors import ToolError
from pytest_triton.export import frames
from pytest_triton.export.piping import end, exchange, last_words

Arrays = dict[str, "np.ndarray[Any, Any]"]
Handle = Callable[[dict[str, Any], Arrays], "tuple[dict[str, Any], Arrays]"]
T = TypeVar("T", bound="Child")


class Child:
    """Starts ``command``, whose ``load`` order it has to answer within ``loading`` s.

    ``name`` and ``late`` are for errors: what it is, and the remedy where it is slow. Raises
    ToolError where it does not load, ends, or does not answer in time.
    """

    def __init__(
        self, command: Sequence[str], load: Mapping[str, Any], *, loading: float, name: str,
        late: str,
    ) -> None:  # fmt: skip
        self._command, self._load = tuple(command), {"do": "load", **load}
        self._loading, self._name, self._late = loading, name, late
        self._process: subprocess.Popen[bytes] | None = None
        self._noise: IO[bytes] | None = None
        #: What it told about itself: versions of torch and transformers, threads, device.
        self.told: dict[str, Any] = {}

    def __enter__(self: T) -> T:
        self._noise = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._noise, bufsize=0,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )  # fmt: skip
        try:
            self.told, _ = self.ask(self._load, {}, self._loading)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def ask(
        self, order: Mapping[str, Any], inputs: Arrays, timeout: float
    ) -> tuple[dict[str, Any], Arrays]:
        """One question and its answer, within ``timeout`` s."""
        assert self._process is not None
        question = frames.encode(order, inputs)
        try:
            header, arrays = frames.decode(
                *exchange(self._process, question, time.monotonic() + timeout)
            )
        except TimeoutError:
            raise ToolError(
                f"{self._name} did not answer within {timeout:.0f} s", self._late
            ) from None
        except (EOFError, ValueError):
            raise ToolError(
                f"the process of {self._name} ended\n{last_words(self._noise)}",
                "look whether memory is enough for the model",
            ) from None
        if "error" in header:
            raise ToolError(f"{self._name}: {header['error']}", str(header["remedy"]))
        return header, arrays

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process)
        if self._noise is not None:
            self._noise.close()
            self._noise = None


def answer_with(handle: Handle) -> None:
    """In the process: answer on standard output until standard input ends."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the frames
    for order, inputs in frames.incoming(source):
        arrays: Arrays = {}
        try:
            header, arrays = handle(order, inputs)
        except ToolError as error:
            header = {"error": error.message, "remedy": error.remedy}
        except Exception as error:
            header = {
                "error": f"{type(error).__name__}: {error}",
                "remedy": "look at the weights and at the memory that is left",
            }
        sink.write(frames.encode(header, arrays))
        sink.flush()


def told_of(torch: Any, *, gpu: bool) -> dict[str, Any]:
    """Versions, threads and device, for the owner."""
    import transformers

    name = torch.cuda.get_device_name() if gpu else "CPU"
    return {"torch": torch.__version__, "transformers": transformers.__version__,
            "threads": torch.get_num_threads(), "device": name}  # fmt: skip
