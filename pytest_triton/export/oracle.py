"""The oracle: a process of its own that says what the eager reference modules answer.

The process that judges never imports torch; it asks this one over a pipe. The oracle ends
when its owner closes it, and also when its owner dies: it reads end of file.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import IO

import numpy as np

from pytest_triton.errors import ToolError
from pytest_triton.export import frames
from pytest_triton.export.piping import end, exchange, last_words
from pytest_triton.repository.reference import DEFAULT_SEED, python_path
from pytest_triton.repository.sidecar import Tensors


class ReferenceRefused(ToolError):
    """The reference module itself has no answer for these inputs; ``reason`` is its own."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(
            f"the reference {model} refuses the inputs: {reason}",
            "send inputs that the model is made for; see its side-car",
        )
        self.reason = reason


class ReferenceProcess:
    """Evaluates seeded eager modules elsewhere. Starts at the first question; thread-safe."""

    def __init__(self, seed: int = DEFAULT_SEED, *, start_timeout: float = 60.0) -> None:
        self.seed = seed
        #: Seconds that importing torch and building a module may take on top of a question.
        self.start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._noise: IO[bytes] | None = None
        self._lock = threading.Lock()
        self._built: set[tuple[str, int]] = set()

    def run(
        self, model: str, version: int, inputs: Tensors, *, timeout: float = 30.0
    ) -> dict[str, np.ndarray]:
        """The eager outputs. Raises ReferenceRefused, or ToolError when the oracle cannot answer.

        ``timeout`` is in seconds; the first question about a model has ``start_timeout`` more.
        """
        question = frames.encode({"model": model, "version": version, "seed": self.seed}, inputs)
        with self._lock:
            process = self._started()
            extra = 0.0 if (model, version) in self._built else self.start_timeout
            try:
                header, outputs = self._exchange(process, question, timeout + extra)
            except BaseException:
                # Half an answer may be in the pipe: this process is of no further use.
                self._end()
                raise
            self._built.add((model, version))
        if "refused" in header:
            raise ReferenceRefused(model, str(header["refused"]))
        if "error" in header:
            raise ToolError(str(header["error"]), str(header["remedy"]))
        return outputs

    def start(self) -> None:
        """Start the process now, without waiting for its imports."""
        self._started()

    def close(self) -> None:
        """End the process; a later question starts a new one."""
        with self._lock:
            self._end()

    def __enter__(self) -> ReferenceProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        environment = {
            **os.environ,
            "PYTHONPATH": python_path(),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        self._noise = tempfile.TemporaryFile()  # noqa: SIM115 (closed in _end)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pytest_triton.export.oracle"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
            env=environment,
            cwd="/",
            bufsize=0,
        )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        self._built.clear()
        if process is not None:
            end(process)
        if self._noise is not None:
            self._noise.close()
            self._noise = None

    def _exchange(
        self, process: subprocess.Popen[bytes], question: bytes, timeout: float
    ) -> tuple[dict[str, object], dict[str, np.ndarray]]:
        try:
            text, payload = exchange(process, question, time.monotonic() + timeout)
        except TimeoutError:
            raise ToolError(
                f"the reference did not answer within {timeout:.0f} s",
                "try again on a machine with less load",
            ) from None
        except EOFError:
            raise self._died(process) from None
        return frames.decode(text, payload)

    def _died(self, process: subprocess.Popen[bytes]) -> ToolError:
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)
        return ToolError(
            f"the reference process ended with status {process.returncode}\n"
            f"{last_words(self._noise)}",
            f"run it by hand: {sys.executable} -m pytest_triton.export.oracle",
        )


def main() -> int:
    """Answer questions on standard input until it ends."""
    from pytest_triton.export.reference import reference_model

    source = sys.stdin.buffer
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the frames
    with suppress(ImportError):  # missed when a question needs it, and said then
        importlib.import_module("torch")
        importlib.import_module("transformers.models.bert.modeling_bert")
    for header, inputs in frames.incoming(source):
        outputs: dict[str, np.ndarray] = {}
        answer: dict[str, str] = {}
        try:
            model = reference_model(header["model"])
            if header["version"] not in model.VERSIONS:
                raise ToolError(
                    f"no version {header['version']} of {header['model']}",
                    f"one of {list(model.VERSIONS)}",
                )
            outputs = model.evaluate(header["version"], inputs, header["seed"])
        except ToolError as error:
            answer = {"error": error.message, "remedy": error.remedy}
        except ImportError as error:
            answer = {
                "error": f"the reference needs {error.name}",
                "remedy": "pip install 'pytest-triton[lab]'",
            }
        except Exception as error:
            answer = {"refused": f"{type(error).__name__}: {error}"}
        sink.write(frames.encode(answer, outputs))
        sink.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
