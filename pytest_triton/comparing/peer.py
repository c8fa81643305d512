"""The peer: a HuggingFace model in a process of its own, called as a program without a server does.

Its owner asks over a pipe; numbers and tensors travel, no code. It ends with its owner.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from pytest_triton.errors import ToolError
from pytest_triton.export import frames
from pytest_triton.export.piping import end, exchange, last_words

if TYPE_CHECKING:
    from pytest_triton.export.huggingface.wrappers import Pooling

Arrays = dict[str, "np.ndarray[Any, Any]"]
#: Seconds for the import of transformers and the loading of weights.
LOADING = 600.0


class Peer:
    """The model of a directory, loaded elsewhere. ``device`` is "cpu" or "gpu".

    Raises ToolError where it does not load, ends, or does not answer in time.
    """

    def __init__(
        self, directory: Path, *, task: str, choices: dict[str, str], inputs: list[str],
        dtype: str | None, device: str,
    ) -> None:  # fmt: skip
        self._load = {
            "do": "load", "directory": str(directory.resolve()), "task": task, "choices": choices,
            "inputs": inputs, "dtype": dtype, "device": device,
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._noise: IO[bytes] | None = None
        #: What it told about itself: versions of torch and transformers, threads, device.
        self.told: dict[str, Any] = {}

    def __enter__(self) -> Peer:
        self._noise = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pytest_triton.comparing.peer"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._noise, bufsize=0,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
        )  # fmt: skip
        try:
            self.told, _ = self._ask(self._load, {}, LOADING)
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

    def answer(self, inputs: Arrays) -> np.ndarray[Any, Any]:
        """The output for one batch."""
        return self._ask({"do": "answer"}, inputs, 120.0)[1]["output"]

    def run(
        self, inputs: Arrays, *, threads: int, seconds: float, warmup: float
    ) -> tuple[np.ndarray[Any, Any], float, int]:
        """Call it from ``threads`` threads for ``seconds``: latencies in s, duration in s, and
        bytes of GPU memory at most (0 on a CPU).

        ``inputs``: name -> [distinct, batch, …]; each call takes one of the distinct batches.
        """
        order = {"do": "run", "threads": threads, "seconds": seconds, "warmup": warmup}
        told, arrays = self._ask(order, inputs, 120.0 + 10 * (seconds + warmup))
        return arrays["latency_s"], float(told["elapsed_s"]), int(told["gpu_bytes"])

    def _ask(
        self, order: dict[str, Any], inputs: Arrays, timeout: float
    ) -> tuple[dict[str, Any], Arrays]:
        assert self._process is not None
        question = frames.encode(order, inputs)
        try:
            header, arrays = frames.decode(
                *exchange(self._process, question, time.monotonic() + timeout)
            )
        except TimeoutError:
            raise ToolError(
                f"the model in process did not answer within {timeout:.0f} s",
                "try a smaller batch or fewer threads",
            ) from None
        except (EOFError, ValueError):
            raise ToolError(
                f"the process of the model ended\n{last_words(self._noise)}",
                "look whether memory is enough for the model",
            ) from None
        if "error" in header:
            raise ToolError(str(header["error"]), str(header.get("remedy", "mend the directory")))
        return header, arrays

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process)
        if self._noise is not None:
            self._noise.close()
            self._noise = None


class _Model:
    """The loaded model, in the peer itself."""

    def __init__(self, order: dict[str, Any]) -> None:
        import torch

        from pytest_triton.export.huggingface.loading import load
        from pytest_triton.export.huggingface.wrappers import wrap

        choices = order["choices"]
        pooling = choices.get("pooling")
        loaded = load(Path(order["directory"]), order["task"], order["dtype"], pooling)
        self.torch, self.inputs = torch, order["inputs"]
        self.device = torch.device("cuda" if order["device"] == "gpu" else "cpu")
        pooled = cast("Pooling", pooling or loaded.pooling or "mean")
        self.module = wrap(
            loaded.model, loaded.task, self.inputs, pooling=pooled,
            normalize=loaded.normalize, positions=choices.get("positions", "all"),
        ).to(self.device)  # fmt: skip

    def __call__(self, batch: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        """From arrays to an array, as a program has them: the way to a GPU and back included."""
        torch = self.torch
        with torch.inference_mode():
            given = [torch.from_numpy(array).to(self.device) for array in batch]
            output: np.ndarray[Any, Any] = self.module(*given).cpu().numpy()
            return output

    def run(self, order: dict[str, Any], inputs: Arrays) -> tuple[dict[str, Any], Arrays]:
        """Threads in a closed loop; what began before the end counts."""
        batches = [inputs[name] for name in self.inputs]
        distinct = len(batches[0])
        opens = time.perf_counter() + order["warmup"]
        closes = opens + order["seconds"]
        taken: list[list[float]] = [[] for _ in range(order["threads"])]
        ends: list[float] = []
        failed: list[Exception] = []

        def loop(number: int) -> None:
            try:
                ask(number)
            except Exception as error:  # a thread's own end would only look like a slow side
                failed.append(error)

        def ask(number: int) -> None:
            at = number
            while not failed and (started := time.perf_counter()) < closes:
                self([array[at % distinct] for array in batches])
                at += 1
                ended = time.perf_counter()
                if started >= opens:
                    taken[number].append(ended - started)
                    ends.append(ended)

        threads = [threading.Thread(target=loop, args=(n,)) for n in range(order["threads"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        used = self.torch.cuda.max_memory_reserved() if self.device.type == "cuda" else 0
        latency = np.array([one for each in taken for one in each])
        elapsed = max(ends, default=closes) - opens
        return {"elapsed_s": elapsed, "gpu_bytes": used}, {"latency_s": latency}

    def told(self) -> dict[str, Any]:
        """Versions and threads."""
        import transformers

        torch = self.torch
        name = torch.cuda.get_device_name() if self.device.type == "cuda" else "CPU"
        return {"torch": torch.__version__, "transformers": transformers.__version__,
                "threads": torch.get_num_threads(), "device": name}  # fmt: skip


def main() -> int:
    """Answer on standard output until standard input ends."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the frames
    model: _Model | None = None
    for order, inputs in frames.incoming(source):
        header: dict[str, Any] = {}
        arrays: Arrays = {}
        try:
            if order["do"] == "load":
                model = _Model(order)
                header = model.told()
            elif order["do"] == "answer" and model is not None:
                arrays = {"output": model([inputs[name] for name in model.inputs])}
            elif model is not None:
                header, arrays = model.run(order, inputs)
        except ToolError as error:
            header = {"error": error.message, "remedy": error.remedy}
        except Exception as error:
            header = {"error": f"{type(error).__name__}: {error}"}
        sink.write(frames.encode(header, arrays))
        sink.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
