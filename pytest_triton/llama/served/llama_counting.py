"""What a language model tells of itself on the server's metrics endpoint."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils
from llama_scheduling import Counts

#: Family -> help. Counters only: histograms came later than the lab's release.
FAMILIES = {
    "llm_prompt_tokens": "Number of prompt tokens taken in",
    "llm_generation_tokens": "Number of tokens sent",
    "llm_decode_steps": "Number of decoding steps, each of one token for every stream in flight",
    "llm_decoded_rows": "Number of tokens decoded in steps",
    "llm_first_tokens": "Number of first tokens sent",
    "llm_time_to_first_token_us": "Cumulative time from request to first token in microseconds",
    "llm_requests_cancelled": "Number of requests whose client left before the last token",
}


class Metrics(Counts):
    """Counters with the labels that Triton's own have."""

    def __init__(self, model: str, version: str) -> None:
        labels = {"model": model, "version": version}
        self._families: list[Any] = []  # a family that is gone takes its metrics with it
        self._of: dict[str, Any] = {}
        for name, text in FAMILIES.items():
            family = pb_utils.MetricFamily(
                name=name, description=text, kind=pb_utils.MetricFamily.COUNTER
            )
            self._families.append(family)
            self._of[name] = family.Metric(labels=labels)
        # Each increment is a message to the server: steps and tokens are told in sums.
        # In this order, so that who has read the last one has all of them.
        self._pending = {"llm_decode_steps": 0, "llm_decoded_rows": 0, "llm_generation_tokens": 0}

    def prompt(self, tokens: int) -> None:
        """A prompt of so many tokens has been accepted."""
        self._of["llm_prompt_tokens"].increment(tokens)

    def step(self, rows: int) -> None:
        self._pending["llm_decode_steps"] += 1
        self._pending["llm_decoded_rows"] += rows

    def first(self, seconds: float) -> None:
        self._of["llm_first_tokens"].increment(1)
        self._of["llm_time_to_first_token_us"].increment(seconds * 1e6)

    def token(self) -> None:
        self._pending["llm_generation_tokens"] += 1

    def cancelled(self) -> None:
        self.tell()
        self._of["llm_requests_cancelled"].increment(1)

    def tell(self) -> None:
        """Publish the sums."""
        for name, value in self._pending.items():
            if value:
                self._of[name].increment(value)
                self._pending[name] = 0
