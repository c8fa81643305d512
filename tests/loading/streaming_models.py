"""Decoupled models whose times are known, and what is wrong with some of them."""

from __future__ import annotations

from pathlib import Path

from pytest_triton.own_models import write_python_model

#: Milliseconds to the first token, and between two tokens.
FIRST_MS, EACH_MS = 50, 10
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


def write_models(repository: Path) -> None:
    """Every one of them."""
    for name, (before, after) in FAULTS.items():
        assert before in SOURCE, f"fault {name} spoils nothing"
        source = SOURCE.replace(before, after) if before else SOURCE
        source = source.replace("FIRST_MS", str(FIRST_MS)).replace("EACH_MS", str(EACH_MS))
        compile(source, name, "exec")
        write_python_model(repository / name, source, CONFIG)
