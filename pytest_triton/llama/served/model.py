"""A Llama that streams: one response for each greedy token, out of a key-value cache.

``execute`` only queues: one thread decodes all requests together, so an instance serves as many
streams as it has slots. Configured by the parameters of config.pbtxt and by ``llama.json``, the
model's architecture. The sibling modules are found because Triton puts this folder on sys.path.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from llama_text import Text

DEFAULT_TOKENS = 16
FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """One instance: a model, its cache and the thread that decodes."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the weights, or make them of a seed; capture the graphs of a GPU."""
        # transformers imports them where they are, and needs neither here: a scipy that was
        # built for numpy 2 cannot be imported beside the numpy 1 of Triton's Python processes.
        for name in ("scipy", "sklearn"):
            sys.modules.setdefault(name, None)
        from llama_counting import Metrics
        from llama_decoding import Decoder
        from llama_scheduling import Scheduler
        from llama_weights import build, tokenizer

        said = json.loads(args["model_config"]).get("parameters", {})
        told = {name: value["string_value"] for name, value in said.items()}
        gpu = args["model_instance_kind"] == "GPU"
        device = f"cuda:{args['model_instance_device_id']}" if gpu else "cpu"
        place = Path(args["model_repository"]) / args["model_version"]
        config = json.loads((place / "llama.json").read_text("utf-8"))
        weights = told.get("weights", "")
        model = build(
            config, weights=weights, seed=int(told.get("seed", 0)), dtype=told["dtype"],
            device=device, threads=int(told.get("threads", 0)),
        )  # fmt: skip
        self.tokenizer = tokenizer(weights)
        self.vocabulary = int(model.config.vocab_size)
        ends = model.generation_config.eos_token_id
        self.ends = frozenset(ends if isinstance(ends, list) else [ends]) - {None}
        decoder = Decoder(model, int(told["streams"]), int(told["max_length"]),
                          graphs=told.get("graphs", "true") == "true")  # fmt: skip
        self.length = decoder.length
        self.metrics = Metrics(args["model_name"], args["model_version"])
        self.scheduler = Scheduler(decoder, self.metrics)

    def execute(self, requests: list[Any]) -> None:
        """Queue every request; a decoupled execute() returns None."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                stream = self._stream(request, sender)
            except ValueError as error:
                refusal = pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG)
                sender.send(pb_utils.InferenceResponse(error=refusal), flags=FINAL)
                continue
            self.metrics.prompt(len(stream.prompt))
            self.scheduler.submit(stream)

    def finalize(self) -> None:
        """End the decoding thread before the process ends."""
        self.scheduler.close()

    def _stream(self, request: Any, sender: Any) -> Any:
        """Raises ValueError for what cannot be decoded, before it reaches a GPU."""
        from llama_scheduling import Stream

        prompt = self._prompt(request)
        count = int(_given(request, "max_tokens", DEFAULT_TOKENS))
        if count < 1:
            raise ValueError(f"max_tokens must be at least 1, got {count}")
        if not prompt:
            raise ValueError("the prompt has no tokens")
        if len(prompt) + count > self.length:
            raise ValueError(
                f"{len(prompt)} tokens of prompt and max_tokens {count} are more than the "
                f"{self.length} that a stream may have"
            )
        if wrong := [token for token in prompt if not 0 <= token < self.vocabulary]:
            raise ValueError(f"token {wrong[0]} is not in the vocabulary of {self.vocabulary}")
        text = Text(self.tokenizer) if self.tokenizer is not None else None

        def send(token: int, last: bool) -> None:
            tensors = [pb_utils.Tensor("token_ids", np.array([token], np.int64))]
            if text is not None:
                words = np.array([text.more(token, last=last).encode()], np.object_)
                tensors.append(pb_utils.Tensor("text_output", words))
            if last:
                self.metrics.tell()
            sender.send(pb_utils.InferenceResponse(tensors), flags=FINAL if last else 0)

        def fail(reason: str) -> None:
            sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError(reason)), flags=FINAL)

        def end() -> None:
            sender.send(flags=FINAL)

        ends = frozenset() if _given(request, "ignore_eos", False) else self.ends
        return Stream(prompt, count, ends, send, end, fail, sender.is_cancelled)

    def _prompt(self, request: Any) -> list[int]:
        ids = pb_utils.get_input_tensor_by_name(request, "input_ids")
        if ids is not None:
            return [int(token) for token in ids.as_numpy().reshape(-1).tolist()]
        words = pb_utils.get_input_tensor_by_name(request, "text_input")
        if words is None:
            raise ValueError("give input_ids or text_input")
        text = words.as_numpy().reshape(-1)[0].decode("utf-8", "replace")
        return [int(token) for token in self.tokenizer(text)["input_ids"]]


def _given(request: Any, name: str, default: Any) -> Any:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return default if tensor is None else tensor.as_numpy().reshape(-1)[0]
