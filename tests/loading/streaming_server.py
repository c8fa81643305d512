"""Decoupled models whose times are known, what is wrong with some of them, and how they are
loaded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result

from pytest_triton.cli import cli
from pytest_triton.deployment import Deployment
from pytest_triton.own_models import write_python_model

#: Milliseconds to the first token, and between two tokens.
FIRST_MS, EACH_MS = 50, 10
#: Of the prompts of a file, and tokens of each stream.
PROMPTS, TOKENS = 4, 6
CONFIG = """
backend: "python"
max_batch_size: 0
model_transaction_policy { decoupled: true }
input [
  { name: "input_ids" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "max_tokens" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "ignore_eos" data_type: TYPE_BOOL dims: [ 1 ] optional: true }
]
output [ { name: "token_ids" data_type: TYPE_INT64 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
#: A thread for each request; its stamps go to a file that the test reads.
SOURCE = """
import json
import threading
import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    def initialize(self, args):
        self.lock, self.busy, self.asked = threading.Lock(), 0, 0
        place = Path(args["model_repository"]) / "stamps.jsonl"
        self.stamps = place.open("a", buffering=1)

    def execute(self, requests):
        for request in requests:
            ids = pb_utils.get_input_tensor_by_name(request, "input_ids").as_numpy().tolist()
            count = int(pb_utils.get_input_tensor_by_name(request, "max_tokens").as_numpy()[0])
            self.start(request.get_response_sender(), ids, count)

    def start(self, sender, ids, count):
        threading.Thread(
            target=self.stream, args=(sender, ids, count, time.monotonic()), daemon=True
        ).start()

    def stream(self, sender, ids, count, began):
        with self.lock:
            self.busy, self.asked = self.busy + 1, self.asked + 1
            number = self.asked
        sent = []
        for at in range(count):
            due = began + (FIRST_MS + at * EACH_MS) / 1000
            time.sleep(max(0.0, due - time.monotonic()))
            token = (sum(ids) * 31 + at * at) % 1000
            sent.append(time.monotonic())
            sender.send(pb_utils.InferenceResponse(
                [pb_utils.Tensor("token_ids", np.array([token], np.int64))]))
        with self.lock:
            self.busy -= 1
            self.stamps.write(json.dumps([began, sent]) + "\\n")
        sender.send(flags=FINAL)
"""
_SEND = "            sent.append(time.monotonic())\n"
#: Name -> what stands in the source, and what stands there instead.
FAULTS = {
    "steady": ("", ""),
    # Under load alone: another token in every stream that is not by itself.
    "wrong": (_SEND, "            token ^= self.busy > 1 and at == 3\n" + _SEND),
    # The streams of two requests are mixed up.
    "mixed": ("            token = (", "            if self.busy > 1: ids = [3] * len(ids)\n"
              "            token = ("),
    "sampled": (_SEND, "            token += time.monotonic_ns() % 1000\n" + _SEND),
    "error": (_SEND, "            if at == 3:\n"
              "                sender.send(pb_utils.InferenceResponse(\n"
              "                    error=pb_utils.TritonError('out of memory')))\n"
              "                break\n" + _SEND),
    "silent": ("for at in range(count)", "for at in range(0)"),
    "stalled": (_SEND, "            if at == 3: time.sleep(3)\n" + _SEND),
    "refusing": ("    def execute(self, requests):\n",
                 "    def execute(self, requests):\n        raise RuntimeError('on purpose')\n"),
    # One stream after the other.
    "single": (".start()\n\n    def stream", ".run()\n\n    def stream"),
}  # fmt: skip


def write_models(repository: Path, names: Iterable[str] = tuple(FAULTS)) -> None:
    """Every one of them, or some."""
    for name in names:
        before, after = FAULTS[name]
        assert before in SOURCE, f"fault {name} spoils nothing"
        source = SOURCE.replace(before, after) if before else SOURCE
        source = source.replace("FIRST_MS", str(FIRST_MS)).replace("EACH_MS", str(EACH_MS))
        compile(source, name, "exec")
        write_python_model(repository / name, source, CONFIG)


@dataclass(frozen=True)
class Streaming:
    """The server, and where its models are."""

    deployment: Deployment
    repository: Path

    def arguments(self, model: str, *more: str) -> list[str]:
        """Of pytest-triton; ``more`` comes last. A few prompts of a file: asked alone soon."""
        there, inputs = self.deployment, self.repository.parent / "inputs.json"
        rows = [{"input_ids": [at + 3, 7, 9], "max_tokens": [TOKENS]} for at in range(PROMPTS)]
        inputs.write_text(json.dumps({"data": rows}))
        return [
            "load", model, "--url", there.http_url, "--grpc-url", str(there.grpc_url),
            "--warmup", "0.2", "--duration", "1",
            *(() if "--prompt-tokens" in more or "--inputs" in more else ("--inputs", str(inputs))),
            *more,
        ]  # fmt: skip

    def load(self, model: str, *more: str) -> Result:
        """Of the whole command."""
        return CliRunner().invoke(cli, self.arguments(model, *more))

    def stamps(self, model: str) -> list[tuple[float, list[float]]]:
        """What the model says: when each request came, and when each token went."""
        lines = (self.repository / model / "stamps.jsonl").read_text().splitlines()
        return [(began, sent) for began, sent in map(json.loads, lines)]
