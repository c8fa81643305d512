"""Counters against clients, on made-up scrapes: each lie by itself."""

from __future__ import annotations

import pytest

from pytest_triton.llama.checks import Check, counters_check
from pytest_triton.llama.rounds import Measured, failure
from pytest_triton.load.tokens import TimedStream
from pytest_triton.monitor.metrics import delta, parse

MODEL = "llama_stream"
PROMPTS = [[5] * 7, [6] * 9]
STREAMS = [
    TimedStream(at % 2, 10.0, 4, [1, 2, 3, 4], [10.02, 10.03, 10.04, 10.05]) for at in range(3)
]
#: 3 requests of 4 tokens; prompts of 7, 9 and 7; the first token 20 ms after the start.
TRUTH = {
    "llm_prompt_tokens": 23.0, "llm_generation_tokens": 12.0, "llm_first_tokens": 3.0,
    "llm_decode_steps": 5.0, "llm_decoded_rows": 9.0, "llm_time_to_first_token_us": 54_000.0,
    "nv_inference_request_success": 3.0,
}  # fmt: skip


def _check(**other: float) -> Check:
    def text(share: float) -> str:
        lines = []
        for name, value in {**TRUTH, **other}.items():
            label = f'{{model="{MODEL}",version="1"}}'
            lines.append(
                f"# HELP {name} x\n# TYPE {name} counter\n{name}{label} {100 + share * value}\n"
            )
        return "".join(lines)

    return counters_check(delta(parse(text(0)), parse(text(1))), MODEL, STREAMS, PROMPTS)


def test_the_truth_passes() -> None:
    check = _check()
    assert check.status == "pass", check
    assert "12 tokens, 3 requests; mean TTFT 18.00 ms on the server, 20.00 ms" in check.reason


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("llm_prompt_tokens", 22),
        ("llm_generation_tokens", 11),
        ("llm_generation_tokens", 13),
        ("llm_first_tokens", 4),
        ("llm_decoded_rows", 12),
        ("llm_decode_steps", 10),
        ("nv_inference_request_success", 2),
        ("llm_time_to_first_token_us", 3 * 20_001.0),  # left after it came
        ("llm_time_to_first_token_us", 54.0),  # milliseconds where microseconds are said
        ("llm_time_to_first_token_us", 0),
    ],
)
def test_each_lie_is_found(name: str, value: float) -> None:
    check = _check(**{name: value})
    assert check.status == "fail"
    said = "mean TTFT" if "_us" in name else name
    assert said in check.reason


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (STREAMS[0], ""),
        (TimedStream(0, 0.0, 4, [1, 2, 3], [0.1] * 3), "3 of 4 tokens came"),
        (TimedStream(0, 0.0, 4, [1] * 5, [0.1] * 5), "5 of 4 tokens came"),
        (TimedStream(0, 0.0, 4), "0 of 4 tokens came"),
        (TimedStream(0, 0.0, 4, [1], [0.1], "RuntimeError: no"), "RuntimeError: no"),
    ],
)
def test_a_stream_that_is_not_whole_is_a_failure(stream: TimedStream, said: str) -> None:
    assert failure(stream) == said
    assert Measured([], [], {"grpc": [stream]}).failures == ([said] if said else [])
