"""The peer: a HuggingFace model in a process of its own, called as a program without a server does.

Its owner asks over a pipe; numbers and tensors travel, no code. It ends with its owner.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pytest_triton.export.child import Arrays, Child, answer_with, told_of

if TYPE_CHECKING:
    from pytest_triton.export.huggingface.wrappers import Pooling

#: Seconds for the import of transformers and the loading of weights.
LOADING = 600.0


class Peer(Child):
    """The model of a directory, loaded elsewhere. ``device`` is "cpu" or "gpu".

    Raises ToolError where it does not load, ends, or does not answer in time.
    """

    def __init__(
        self, directory: Path, *, task: str, choices: dict[str, str], inputs: list[str],
        dtype: str | None, device: str,
    ) -> None:  # fmt: skip
        super().__init__(
            (sys.executable, "-m", "pytest_triton.comparing.peer"),
            {"directory": str(directory.resolve()), "task": task, "choices": choices,
             "inputs": inputs, "dtype": dtype, "device": device},
            loading=LOADING, name="the model in process",
            late="try a smaller batch or fewer threads",
        )  # fmt: skip

    def answer(self, inputs: Arrays) -> np.ndarray[Any, Any]:
        """The output for one batch."""
        return self.ask({"do": "answer"}, inputs, 120.0)[1]["output"]

    def run(
        self, inputs: Arrays, *, threads: int, seconds: float, warmup: float
    ) -> tuple[np.ndarray[Any, Any], float, int]:
        """Call it from ``threads`` threads for ``seconds``: latencies in s, duration in s, and
        bytes of GPU memory at most (0 on a CPU).

        ``inputs``: name -> [distinct, batch, …]; each call takes one of the distinct batches.
        """
        order = {"do": "run", "threads": threads, "seconds": seconds, "warmup": warmup}
        told, arrays = self.ask(order, inputs, 120.0 + 10 * (seconds + warmup))
        return arrays["latency_s"], float(told["elapsed_s"]), int(told["gpu_bytes"])


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
        return told_of(self.torch, gpu=self.device.type == "cuda")


def main() -> int:
    """Answer on standard output until standard input ends."""
    loaded: list[_Model] = []

    def handle(order: dict[str, Any], inputs: Arrays) -> tuple[dict[str, Any], Arrays]:
        if order["do"] == "load":
            loaded[:] = [_Model(order)]
            return loaded[0].told(), {}
        (model,) = loaded
        if order["do"] == "answer":
            return {}, {"output": model([inputs[name] for name in model.inputs])}
        return model.run(order, inputs)

    answer_with(handle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
