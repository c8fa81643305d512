"""The verdicts: each takes what was seen, and says pass, fail or inconclusive with its reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from pytest_triton.errors import SubjectFault, ToolError
from pytest_triton.llama.equality import Compared, compare
from pytest_triton.llama.reference import Greedy
from pytest_triton.llama.result import Check, Status
from pytest_triton.llama.rounds import Measured, failure, ratio, said
from pytest_triton.load.streams import TokenModel
from pytest_triton.load.tokens import StreamProtocol, TimedStream
from pytest_triton.monitor.metrics import Delta, Scrape, delta, scrape

#: The protocols agree where the interval of the ratio of their inter-token latencies lies in
#: this range: the way of a message is all that they differ by.
AGREE = (1 / 1.5, 1.5)
#: Rounds without which the protocols are not said to disagree.
_ROUNDS = 4
#: A smaller share of equal tokens beside excused ties shows nothing.
_SHOWN = 0.5
#: Seconds until a counter has to have its last value, or a left stream its end.
_SETTLES, _LEFT = 5.0, 120.0
#: A stream that is made to its end faster than this may be over before anybody can stop it.
_QUICK = 0.5
#: How many times the clients' mean TTFT may be the server's.
_APART = 20
_WORST: tuple[Status, ...] = ("fail", "inconclusive", "pass")
#: Tokens after which a client leaves.
LEAVE_AFTER = 3


def tokens_check(
    form: str, found: Compared, bound: float, resumed: Sequence[Compared] = ()
) -> Check:
    """Whether what was said is what generate() says.

    ``bound`` excuses ties; ``resumed``: the texts, asked on behind each tie.
    """
    text = f"{found.equal} of {found.tokens} tokens in {found.streams} streams"
    status: Status = "pass"
    wrong = [line for each in (found, *resumed) for line in each.wrong]
    shown = min((each.share for each in resumed), default=found.share)
    if wrong:
        status, text = "fail", f"{text}; {wrong[0]}"
        if len(wrong) > 1:
            text += f" (and {len(wrong) - 1} more)"
    elif not found.tokens:
        status, text = "fail", "no stream was answered"
    elif found.ties:
        text += f"; {found.ties} left it where its own rounding decides (logits nearer than {bound:.2g})"
        for each in resumed:
            text += (
                f"; {each.streams} texts asked on behind each such place: {each.equal} of "
                f"{each.tokens}, {each.ties} ties"
            )
        if shown < _SHOWN:
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
        bad = sum(bool(failure(stream)) for stream in measured.streams)
        return Check("answered", title, "fail", f"{bad} of {count} failed: {failures[0]}")
    return Check("answered", title, "pass", f"{count} streams")


def agreement_check(measured: Measured) -> Check:
    """Whether the protocols tell the same inter-token latency."""
    parts: list[str] = []
    found: set[Status] = set()
    for grpc, http in zip(measured.of("grpc"), measured.of("http"), strict=True):
        each = ratio(http.itl, grpc.itl)
        low, high = each.interval
        # an interval of very few rounds may be narrow by luck, on a machine that others use
        outside = (low > AGREE[1] or high < AGREE[0]) and len(each.rounds) >= _ROUNDS
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
    found: Delta, model: str, streams: Sequence[TimedStream], prompts: Sequence[Sequence[int]]
) -> Check:
    """The server's counters against what the clients of whole ``streams`` saw.

    A token cannot arrive before it leaves, so the server's own mean TTFT is no larger than the
    clients'; nor is it another order of magnitude.
    """
    tokens = sum(len(stream.tokens) for stream in streams)
    ttft = sum(stream.ttft_s for stream in streams) / len(streams) * 1000
    wanted = {
        "llm_prompt_tokens": sum(len(prompts[stream.prompt]) for stream in streams),
        "llm_generation_tokens": tokens,
        "llm_first_tokens": len(streams),
        # The first token of a stream is the prompt's, the others are decoded.
        "llm_decoded_rows": tokens - len(streams),
        "nv_inference_request_success": len(streams),
    }
    told = {name: found.value(name, model=model) for name in wanted}
    wrong = [
        f"{name} +{told[name]:g}, clients saw {seen}"
        for name, seen in wanted.items()
        if told[name] != seen
    ]
    steps = found.value("llm_decode_steps", model=model)
    if steps > told["llm_decoded_rows"]:
        wrong.append(f"llm_decode_steps +{steps:g} for {told['llm_decoded_rows']:g} tokens")
    own = found.value("llm_time_to_first_token_us", model=model) / 1000
    own /= max(told["llm_first_tokens"], 1)
    means = f"mean TTFT {own:.2f} ms on the server, {ttft:.2f} ms at the clients"
    if not ttft / _APART < own <= ttft:
        wrong.append(means)
    title = "counters say what the clients saw"
    if wrong:
        return Check("counters", title, "fail", "; ".join(wrong))
    return Check("counters", title, "pass", f"{tokens} tokens, {len(streams)} requests; {means}")


def cancel_check(
    model: TokenModel, metrics: str, protocol: StreamProtocol, prompt: Sequence[int], count: int
) -> Check:
    """Whether a stream that its client leaves stops being decoded.

    ``count``: tokens that are asked for. Then a second, whole stream shows that nothing else
    is decoded beside it. A model so fast that all were made at once shows nothing.
    """
    name, title = f"cancel-{protocol}", cancel_title(protocol)
    before = scrape(metrics)
    came = model.leave(protocol, prompt, count, after=LEAVE_AFTER, timeout=_LEFT)
    left = time.monotonic()
    if came < LEAVE_AFTER:
        return Check(name, title, "fail", f"the stream ended after {came} tokens")

    def told() -> dict[str, float]:
        found = delta(before, scrape(metrics))  # of one moment
        return {each: found.value(each, model=model.name) for each in _CANCEL}

    seen = _until(told, lambda now: now[_CANCELLED] >= 1 or now[_MADE] >= count, _LEFT)
    text = f"{seen[_MADE]:g} of {count} tokens were made, {came} taken"
    if seen[_MADE] >= count or seen[_CANCELLED] < 1:
        took = time.monotonic() - left
        quick = seen[_MADE] >= count and took < _QUICK
        return Check(name, title, "inconclusive" if quick else "fail",
                     f"{text}{f', within {took:.2f} s' * quick}")  # fmt: skip
    few = 4
    (after,) = model.drive(protocol, [prompt], [few], concurrency=1, requests=1, timeout=_LEFT)
    if text_of := failure(after):
        return Check(name, title, "fail", f"the stream after it: {text_of}")
    rows = seen[_ROWS] + few - 1
    now = _until(told, lambda now: now[_ROWS] >= rows and now[_MADE] >= seen[_MADE] + few, _SETTLES)
    if now[_ROWS] > rows:
        beside = now[_ROWS] - rows
        return Check(name, title, "fail", f"{beside:g} tokens were decoded after it had gone")
    if now[_ROWS] < rows:
        return Check(name, title, "fail", f"llm_decoded_rows lacks {rows - now[_ROWS]:g} tokens")
    if seen[_MADE] > count / 2:
        return Check(name, title, "inconclusive", f"{text}: it stopped late, or it is that fast")
    return Check(name, title, "pass", text)


def cancel_title(protocol: StreamProtocol) -> str:
    """What is asked of a stream that is left."""
    return f"leaving a stream over {_NAMES[protocol]} stops the work"


_CANCELLED, _MADE, _ROWS = _CANCEL = (
    "llm_requests_cancelled", "llm_generation_tokens", "llm_decoded_rows",
)  # fmt: skip


def attempt(name: str, title: str, ask: Callable[[], Check]) -> Check:
    """A check whose requests fail has failed; what it found out before is not lost."""
    import grpc

    try:
        return ask()
    except ToolError:
        raise
    except (RuntimeError, OSError, asyncio.TimeoutError, asyncio.IncompleteReadError,
            grpc.RpcError, SubjectFault) as error:  # fmt: skip
        return Check(name, title, "fail", f"{type(error).__name__}: {error}"[:300])


def _until(
    told: Callable[[], dict[str, float]], true: Callable[[dict[str, float]], bool], seconds: float
) -> dict[str, float]:
    """The counters when they are so, or when time is up."""
    ends = time.monotonic() + seconds
    while not true(now := told()) and time.monotonic() < ends:
        time.sleep(0.05)
    return now
