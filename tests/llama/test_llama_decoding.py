"""Slots and continuous batching, without a server: the files that a repository gets."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_triton.llama import served
from pytest_triton.llama.architecture import SHAPES

SERVED = Path(served.__file__).parent
CONFIG = {**SHAPES["small"], "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96,
          "vocab_size": 300, "num_attention_heads": 4, "num_key_value_heads": 2,
          "initializer_range": 0.25}  # fmt: skip
TOKENS = 20


@pytest.fixture(scope="module")
def files() -> Iterator[Any]:
    """The modules by their plain names, as Triton finds them."""
    sys.path.insert(0, str(SERVED))
    try:
        import llama_decoding
        import llama_scheduling

        yield llama_decoding, llama_scheduling
    finally:
        sys.path.remove(str(SERVED))
        for name in [name for name in sys.modules if name.startswith("llama_")]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def model() -> Any:
    from pytest_triton.llama.served.llama_weights import build

    return build(CONFIG, weights="", seed=3, dtype="float32", device="cpu", threads=0)


@pytest.fixture(scope="module")
def texts(model: Any) -> list[tuple[list[int], list[int]]]:
    """Prompts, and what generate() says to them."""
    import torch

    chance = random.Random(5)
    found = []
    for length in (1, 3, 70, 12, 9, 40, 2):
        prompt = [chance.randrange(3, 300) for _ in range(length)]
        ids = torch.tensor([prompt])
        said = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS,
                              do_sample=False, eos_token_id=None, pad_token_id=0)  # fmt: skip
        found.append((prompt, said[0, length:].tolist()))
    return found


class Client:
    """One stream, and what came of it."""

    def __init__(self, scheduling: Any, prompt: list[int], count: int = TOKENS, *,
                 stops: frozenset[int] = frozenset(), leaves: int | None = None) -> None:  # fmt: skip
        self.tokens: list[int] = []
        self.over = threading.Event()
        self.how = ""
        self.stream = scheduling.Stream(
            prompt, count, stops, self._send, lambda: self._end("end"), self._end,
            lambda: leaves is not None and len(self.tokens) >= leaves,
        )  # fmt: skip

    def _send(self, token: int, last: bool) -> None:
        assert not self.how, "a token after the end"
        self.tokens.append(token)
        if last:
            self._end("last")

    def _end(self, how: str) -> None:
        assert not self.how, "two ends"
        self.how = how
        self.over.set()

    def wait(self) -> Client:
        assert self.over.wait(60)
        return self


class Counted:
    def __init__(self) -> None:
        self.steps = self.rows = self.firsts = self.tokens = self.left = 0

    def step(self, rows: int) -> None:
        self.steps, self.rows = self.steps + 1, self.rows + rows

    def first(self, seconds: float) -> None:
        self.firsts += 1
        assert seconds >= 0

    def token(self) -> None:
        self.tokens += 1

    def cancelled(self) -> None:
        self.left += 1


@pytest.fixture
def run(files: Any, model: Any) -> Iterator[Any]:
    """A scheduler of three slots, what it counts, and a way to make clients."""
    decoding, scheduling = files
    counted = Counted()
    decoder = decoding.Decoder(model, 3, 128, graphs=True)
    scheduler = scheduling.Scheduler(decoder, counted)

    def client(*arguments: Any, **more: Any) -> Client:
        made = Client(scheduling, *arguments, **more)
        scheduler.submit(made.stream)
        return made

    yield client, counted, scheduler, decoder
    scheduler.close()


def test_the_model_does_not_say_one_thing_only(texts: Any) -> None:
    assert all(len(set(said)) > 5 for _, said in texts)


def test_more_streams_than_slots_all_say_what_generate_says(run: Any, texts: Any) -> None:
    client, counted, _, _ = run
    clients = [client(prompt) for prompt, _ in texts]
    assert [each.wait().tokens for each in clients] == [said for _, said in texts]
    assert {each.how for each in clients} == {"last"}
    assert (counted.tokens, counted.firsts) == (len(texts) * TOKENS, len(texts))
    assert counted.rows == len(texts) * (TOKENS - 1)
    # They shared steps: alone, each token would have been one.
    assert counted.steps < counted.rows


def test_streams_of_different_lengths_leave_each_other_alone(run: Any, texts: Any) -> None:
    client, _, _, _ = run
    lengths = (1, 7, 20, 2, 13, 20, 5)
    clients = [client(prompt, n) for (prompt, _), n in zip(texts, lengths, strict=True)]
    for each, (_, said), n in zip(clients, texts, lengths, strict=True):
        assert each.wait().tokens == said[:n]


def test_a_stop_token_ends_a_stream_and_is_sent(run: Any, texts: Any) -> None:
    client, _, _, _ = run
    prompt, said = texts[3]
    stop = said[4]
    at = said.index(stop)
    assert client(prompt, stops=frozenset({stop})).wait().tokens == said[: at + 1]


def test_who_leaves_frees_the_slot_and_the_others_go_on(run: Any, texts: Any) -> None:
    client, counted, _, _ = run
    gone = client(texts[0][0], 100, leaves=3)
    others = [client(prompt) for prompt, _ in texts[1:]]
    assert gone.wait().how == "end"
    assert len(gone.tokens) < 100
    assert [each.wait().tokens for each in others] == [said for _, said in texts[1:]]
    assert counted.left == 1


def test_who_left_before_its_turn_is_not_decoded(run: Any, texts: Any) -> None:
    client, counted, _, _ = run
    gone = client(texts[0][0], leaves=0).wait()
    assert (gone.how, gone.tokens, counted.firsts) == ("end", [], 0)


def test_a_failure_reaches_everybody_and_everybody_after(run: Any, texts: Any) -> None:
    client, _, _, decoder = run

    def fail(count: int) -> None:
        raise RuntimeError("CUDA out of memory")

    decoder.launch = fail
    clients = [client(prompt) for prompt, _ in texts]
    for each in clients:
        assert "decoding failed: RuntimeError: CUDA out of memory" in each.wait().how
    assert "CUDA out of memory" in client(texts[0][0]).wait().how


def test_what_is_ready_when_decoding_ends_is_told_too(run: Any, texts: Any) -> None:
    client, _, _, decoder = run
    # As on a GPU: the last token of a stream waits while the next step is computed.
    decoder.ahead = True
    whole = client(texts[0][0]).wait()
    assert (whole.how, whole.tokens) == ("last", texts[0][1])
    calls = [0]
    launch = decoder.launch

    def fail_at_three(count: int) -> None:
        calls[0] += 1
        if calls[0] == 3:
            raise RuntimeError("gone")
        launch(count)

    decoder.launch = fail_at_three
    short, long = client(texts[1][0], 3), client(texts[2][0], 20)
    assert short.wait().how in ("last", "decoding failed: RuntimeError: gone")
    assert "gone" in long.wait().how


def test_one_that_cannot_be_sent_to_does_not_end_the_others(run: Any, texts: Any) -> None:
    client, _, _, _ = run
    bad = client(texts[0][0])
    send = bad.stream.send

    def once(token: int, last: bool) -> None:
        if len(bad.tokens) == 4:
            raise ValueError("no such token")
        send(token, last)

    bad.stream.send = once
    others = [client(prompt) for prompt, _ in texts[1:]]
    assert bad.wait().how in ("the token could not be sent: no such token", "last")
    assert [each.wait().tokens for each in others] == [said for _, said in texts[1:]]


def test_a_prompt_without_room_ends_itself_only(run: Any, texts: Any) -> None:
    client, _, _, decoder = run
    prefill = decoder.prefill

    def small(slot: int, prompts: list[list[int]]) -> list[int]:
        if any(len(prompt) == 70 for prompt in prompts):
            raise RuntimeError("CUDA out of memory")
        tokens: list[int] = prefill(slot, prompts)
        return tokens

    decoder.prefill = small
    long = client(texts[2][0])
    assert "the prompt was not taken in: CUDA out of memory" in long.wait().how
    assert client(texts[3][0]).wait().tokens == texts[3][1]


def test_what_a_stream_left_in_its_slot_reaches_no_other(run: Any, texts: Any) -> None:
    client, _, _, decoder = run
    decoder.cache.keys.fill_(float("nan"))
    decoder.cache.values.fill_(float("nan"))
    clients = [client(prompt) for prompt, _ in texts]
    assert [each.wait().tokens for each in clients] == [said for _, said in texts]


def test_closing_tells_who_waits(run: Any, texts: Any) -> None:
    client, _, scheduler, _ = run
    clients = [client(prompt, 50) for prompt, _ in texts]
    scheduler.close()
    assert all(each.wait().how in ("last", "the model is being unloaded") for each in clients)
    assert client(texts[0][0]).wait().how == "the model is being unloaded"


def test_the_same_seed_gives_the_same_weights_and_another_does_not(model: Any) -> None:
    from pytest_triton.llama.served.llama_weights import build

    settings = {"weights": "", "dtype": "float32", "device": "cpu", "threads": 0}
    again = build(CONFIG, seed=3, **settings)
    other = build(CONFIG, seed=4, **settings)
    name = "model.layers.1.mlp.up_proj.weight"
    weights = model.state_dict()[name]
    assert weights.equal(again.state_dict()[name])
    assert not weights.equal(other.state_dict()[name])
    assert float(weights.std()) == pytest.approx(CONFIG["initializer_range"], rel=0.05)


def test_text_comes_in_pieces_that_are_never_taken_back() -> None:
    from pytest_triton.llama.served.llama_text import Text

    class Bytes:
        def decode(self, tokens: list[int], **_: Any) -> str:
            return bytes(tokens).decode("utf-8", "replace")

    text, tokens = Text(Bytes()), list("aé日!".encode())
    pieces = [text.more(token, last=False) for token in tokens]
    assert pieces == ["a", "", "é", "", "", "日", "!"]
    cut = Text(Bytes())
    assert cut.more(0xE6, last=False) == ""
    assert cut.more(0x97, last=True) == "\ufffd"
