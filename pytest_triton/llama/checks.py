"""The verdicts: each takes what was seen, and says pass, fail or inconclusive with its reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pytest_triton.llama.equality import Compared, compare
from pytest_triton.llama.reference import Greedy
from pytest_triton.llama.result import Check, Status
from pytest_triton.llama.rounds import Measured, ratio, said
from pytest_triton.load.streams import TokenModel
from pytest_triton.load.tokens import StreamProtocol
from pytest_triton.monitor.metrics import Delta, Scrape, delta, scrape

#: The protocols agree where the interval of the ratio of their inter-token latencies lies in
#: this range: the way of a message is all that they differ by.
AGREE = (1 / 1.5, 1.5)
#: Less of a half-precision text than this, equal before an excused tie, shows nothing.
_SHOWN = 0.5
#: Seconds until a counter has to have its last value, or a left stream its end.
_SETTLES, _LEFT = 5.0, 30.0
_WORST: tuple[Status, ...] = ("fail", "inconclusive", "pass")
#: Tokens after which a client leaves.
LEAVE_AFTER = 3


def tokens_check(
    form: str, found: Compared, bound: float, resumed: Compared | None = None
) -> Check:
    """Whether what was said is what generate() says.

    ``bound`` excuses ties; ``resumed``: the same texts, asked on behind each tie.
    """
    text = f"{found.equal} of {found.tokens} tokens in {found.streams} streams"
    status: Status = "pass"
    wrong = [*found.wrong, *(resumed.wrong if resumed else ())]
    shown = resumed or found
    if wrong:
        status, text = "fail", f"{text}; {wrong[0]}"
        if len(wrong) > 1:
            text += f" (and {len(wrong) - 1} more)"
    elif not found.tokens:
        status, text = "fail", "no stream was answered"
    elif found.ties:
        text += (
            f"; {found.ties} left it where its two best logits differ by less than {bound:.3g}, "
            "twice its own rounding"
        )
        if resumed:
            text += (
                f"; asked on behind each such place: {resumed.equal} of {resumed.tokens} tokens, "
                f"{resumed.ties} ties"
            )
        if shown.share < _SHOWN:
            status, text = "inconclusive", f"{text}: too few tokens are comparable"
    return Check(f"tokens-{form}", f"tokens over {_NAMES[form]} equal generate()", status, text)


_NAMES = {"grpc": "gRPC", "http": "generate_stream", "logits": "TorchScript logits"}


def stream_tokens(
    measured: Measured, protocol: StreamProtocol, wanted: Sequence[Greedy], bound: float
) -> Compared:
    """Every stream of a protocol, at every concurrency, against the reference."""
    got, expected = said(measured.all_of(protocol), wanted)
    return compare(got, expected, bound=bound)


def answered_check(measured: Measured) -> Check:
    """Whether every request was answered to its end."""
    count = len(measured.streams)
    title = "every stream is answered to its end"
    if failures := measured.failures:
        bad = sum(bool(stream.error) for stream in measured.streams)
        return Check("answered", title, "fail", f"{bad} of {count} failed: {failures[0]}")
    return Check("answered", title, "pass", f"{count} streams")


def agreement_check(measured: Measured) -> Check:
    """Whether the protocols tell the same inter-token latency."""
    parts: list[str] = []
    found: set[Status] = set()
    for grpc, http in zip(measured.of("grpc"), measured.of("http"), strict=True):
        each = ratio(http.itl, grpc.itl)
        low, high = each.interval
        outside = low > AGREE[1] or high < AGREE[0]
        inside = AGREE[0] <= low and high <= AGREE[1]
        found.add("fail" if outside else "pass" if inside else "inconclusive")
        parts.append(f"{each} at {grpc.concurrency}")
    status = next(one for one in _WORST if one in found)
    return Check(
        "protocols-agree", "both protocols tell one inter-token latency", status,
        f"HTTP ÷ gRPC: {'; '.join(parts)}",
    )  # fmt: skip


def counted(url: str, before: Scrape, model: str, tokens: int) -> Delta:
    """The counters since ``before``, once the tokens are told or time is up."""
    ends = time.monotonic() + _SETTLES
    while True:
        found = delta(before, scrape(url))
        told = found.value("llm_generation_tokens", model=model)
        if told >= tokens or time.monotonic() >= ends:
            return found
        time.sleep(0.05)


def counters_check(
    found: Delta, model: str, *, tokens: int, requests: int, ttft_ms: float
) -> Check:
    """The server's counters against what the clients saw.

    ``ttft_ms``: the clients' mean over the same requests. A token cannot arrive before it
    leaves, so the server's own mean is no larger.
    """
    firsts = found.value("llm_first_tokens", model=model)
    own = found.value("llm_time_to_first_token_us", model=model) / 1000 / max(firsts, 1)
    told = {
        "llm_generation_tokens": (found.value("llm_generation_tokens", model=model), tokens),
        "llm_first_tokens": (firsts, requests),
        "nv_inference_request_success": (
            found.value("nv_inference_request_success", model=model), requests,
        ),
    }  # fmt: skip
    wrong = [f"{n} +{v:g}, clients saw {w}" for n, (v, w) in told.items() if v != w]
    if not 0 < own <= ttft_ms:
        wrong.append(f"mean TTFT {own:.2f} ms on the server, {ttft_ms:.2f} ms at the clients")
    title = "counters say what the clients saw"
    if wrong:
        return Check("counters", title, "fail", "; ".join(wrong))
    return Check(
        "counters", title, "pass",
        f"{tokens} tokens, {requests} requests; mean TTFT {own:.2f} ms on the server, "
        f"{ttft_ms:.2f} ms at the clients",
    )  # fmt: skip


def cancel_check(
    model: TokenModel, metrics: str, protocol: StreamProtocol, prompt: Sequence[int], count: int
) -> Check:
    """Whether a stream that its client leaves stops being decoded.

    ``count``: tokens that are asked for. Then a second, whole stream shows that nothing else
    is decoded beside it.
    """
    title = f"leaving a stream over {_NAMES[protocol]} stops the work"
    name = f"cancel-{protocol}"
    before = scrape(metrics)
    came = model.leave(protocol, prompt, count, after=LEAVE_AFTER, timeout=_LEFT)
    if came < LEAVE_AFTER:
        return Check(name, title, "fail", f"the stream ended after {came} tokens")

    def told(counter: str) -> float:
        return delta(before, scrape(metrics)).value(counter, model=model.name)

    _until(lambda: told("llm_requests_cancelled") >= 1 or told("llm_generation_tokens") >= count)
    if told("llm_requests_cancelled") < 1:
        made = told("llm_generation_tokens")
        return Check(name, title, "fail", f"{made:g} of {count} tokens were made, {came} taken")
    if (made := told("llm_generation_tokens")) >= count:
        return Check(name, title, "fail", f"all {count} tokens were made, {came} taken")
    rows, few = told("llm_decoded_rows"), 4
    model.drive(protocol, [prompt], [few], concurrency=1, requests=1, timeout=_LEFT)
    _until(lambda: told("llm_generation_tokens") >= made + few)
    # The first token of a stream is the prompt's, the others are decoded.
    if beside := told("llm_decoded_rows") - rows - (few - 1):
        return Check(name, title, "fail", f"{beside:g} tokens were decoded after it had gone")
    return Check(name, title, "pass", f"{made:g} of {count} tokens were made, {came} taken")


def _until(true: Callable[[], bool]) -> bool:
    ends = time.monotonic() + _LEFT
    while not true():
        if time.monotonic() >= ends:
            return False
        time.sleep(0.05)
    return True
