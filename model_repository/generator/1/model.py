"""Words that follow from the prompt by a checksum: the same prompt, the same text.

A request parameter ``interval_us`` (at most one second) sets a pause before each word, so
that what a client measures between responses can be compared with a known truth.
"""

import json
import time
import zlib
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

DEFAULT_TOKENS, MOST_TOKENS = 16, 256
LONGEST_INTERVAL_US = 1_000_000


class TritonPythonModel:
    """One per instance; a decoupled model answers through the request's response sender."""

    def initialize(self, args):
        """Read the words once; ``model_repository`` is this model's own directory."""
        directory = Path(args["model_repository"]) / args["model_version"]
        self.words = (directory / "words.txt").read_text(encoding="utf-8").split()

    def execute(self, requests):
        """Stream the words of every request; a decoupled execute() returns None."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                self.stream(request, sender)
            except ValueError as error:
                refusal = pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG)
                sender.send(pb_utils.InferenceResponse(error=refusal))
            # The stream ends with this flag and not with a particular word.
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def stream(self, request, sender):
        """One response per word, until all are sent or the client has gone away."""
        prompt = pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy()[0]
        tokens = pb_utils.get_input_tensor_by_name(request, "max_tokens")
        count = DEFAULT_TOKENS if tokens is None else int(tokens.as_numpy()[0])
        if not 1 <= count <= MOST_TOKENS:
            raise ValueError(f"max_tokens must be 1 to {MOST_TOKENS}, got {count}")
        interval_us = int(json.loads(request.parameters() or "{}").get("interval_us", 0))
        if not 0 <= interval_us <= LONGEST_INTERVAL_US:
            raise ValueError(f"interval_us must be 0 to {LONGEST_INTERVAL_US}, got {interval_us}")
        state = zlib.crc32(prompt)
        for position in range(count):
            if sender.is_cancelled():
                return
            if interval_us:
                time.sleep(interval_us / 1e6)
            state = zlib.crc32(position.to_bytes(4, "little"), state)
            word = self.words[state % len(self.words)]
            text = word if position == 0 else f" {word}"
            answer = np.array([text.encode("utf-8")], dtype=np.object_)
            sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("text_output", answer)]))
