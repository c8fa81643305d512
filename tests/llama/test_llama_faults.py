"""The judge of a served Llama, judged: healthy and spoiled models on one real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pytest_triton.deployment import Deployment
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.llama import checks
from pytest_triton.llama.architecture import SHAPES, Llama
from pytest_triton.llama.building import STREAM, write_stream
from pytest_triton.llama.judging import seeded_prompts
from pytest_triton.llama.reference import Greedy, Reference
from pytest_triton.llama.resuming import resume
from pytest_triton.llama.rounds import Measured, measure
from pytest_triton.load.streams import TokenModel
from pytest_triton.load.tokens import PROTOCOLS, StreamProtocol
from pytest_triton.monitor.metrics import scrape

TOKENS, STREAMS = 24, 6
LLAMA = Llama(SHAPES["small"], None, 0, "float32", "cpu", STREAMS, 256)

#: Name -> file, what is in it, and what stands there instead.
FAULTS = {
    # Every fiftieth token is another one.
    "wrong_token": ("llama_decoding.py", "return [int(token) for token in self._answer.tolist()]",
                    "self.n = getattr(self, 'n', 0) + 1\n"
                    "        return [int(t) ^ (self.n % 50 == 0) for t in self._answer.tolist()]"),
    # A stream that moves to a free slot finds the cache of the one that was there.
    "cross_talk": ("llama_decoding.py", "self.cache.keys[:, slot, :, :used] = ", "_ = "),
    # The newest position is left out of sight.
    "mask": ("llama_decoding.py", "<= positions", "< positions"),
    "half": ("../config.pbtxt", '"float32"', '"float16"'),
    # Nobody looks whether the client is still there.
    "deaf": ("model.py", "sender.is_cancelled", "lambda: False"),
    # It says that it stopped, and goes on.
    "liar": ("model.py", "sender.is_cancelled",
             "lambda told=[]: bool(sender.is_cancelled() and not told and "
             "(told.append(1), self.metrics.cancelled())) and False"),
    # Every step fails from the first on.
    "broken": ("llama_decoding.py", "        rows, span = self._sizes(count)\n",
               "        raise RuntimeError('CUDA out of memory')\n"),
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The healthy model and every spoiled one."""
    repository = tmp_path_factory.mktemp("llama") / "models"
    for name, (file, before, after) in {"healthy": ("model.py", "", ""), **FAULTS}.items():
        made = write_stream(repository, LLAMA)
        path = (made / "1" / file).resolve()
        text = path.read_text()
        assert before in text, f"fault {name} spoils nothing"
        text = text.replace(before, after) if before else text
        if path.suffix == ".py":
            compile(text, file, "exec")
        path.write_text(text)
        config = made / "config.pbtxt"
        config.write_text(config.read_text().replace(f'"{STREAM}"', f'"{name}"'))
        made.rename(repository / name)
    with embedded(ServerSpec(repository, device="cpu", boot_timeout=300)) as deployment:
        yield deployment


@dataclass
class Known:
    """Prompts and what generate() says to them."""

    prompts: list[list[int]]
    wanted: list[Greedy]


@pytest.fixture(scope="module")
def known() -> Known:
    prompts = seeded_prompts(LLAMA, STREAMS, 20)
    with Reference(LLAMA) as reference:
        return Known(prompts, reference.greedy(prompts, TOKENS))


def _model(server: Deployment, name: str) -> TokenModel:
    assert server.grpc_url is not None
    return TokenModel(server.http_url, server.grpc_url, name)


def _measured(server: Deployment, known: Known, name: str) -> Measured:
    return measure(
        _model(server, name), None, known.prompts, tokens=TOKENS, concurrencies=(1, STREAMS),
        rounds=2, generate=(1.0, 1.0), say=lambda text: None,
    )  # fmt: skip


def _tokens(measured: Measured, known: Known) -> list[checks.Check]:
    return [
        checks.tokens_check(
            protocol, checks.stream_tokens(measured, protocol, known.wanted, 1e-5), 1e-5
        )
        for protocol in PROTOCOLS
    ]


def _counters(server: Deployment, known: Known, name: str) -> checks.Check:
    assert server.metrics_url is not None
    before = scrape(server.metrics_url)
    streams = _model(server, name).drive(
        "grpc", known.prompts, [TOKENS], concurrency=2, requests=4, timeout=60
    )
    tokens = sum(len(stream.tokens) for stream in streams)
    found = checks.counted(server.metrics_url, before, name, tokens)
    return checks.counters_check(found, name, streams, known.prompts)


def _cancelled(
    server: Deployment, known: Known, name: str, protocol: StreamProtocol
) -> checks.Check:
    assert server.metrics_url is not None
    prompt = known.prompts[0]
    return checks.cancel_check(
        _model(server, name), server.metrics_url, protocol, prompt, 256 - len(prompt)
    )


def test_the_healthy_model_passes(server: Deployment, known: Known) -> None:
    measured = _measured(server, known, "healthy")
    found = [
        checks.answered_check(measured),
        *_tokens(measured, known),
        _counters(server, known, "healthy"),
        *(_cancelled(server, known, "healthy", protocol) for protocol in PROTOCOLS),
    ]
    assert [
        (check.id, check.status, check.reason) for check in found if check.status != "pass"
    ] == []
    assert checks.agreement_check(measured).status != "fail"


@pytest.mark.parametrize("name", ["wrong_token", "cross_talk", "mask", "half"])
def test_other_tokens_are_found_over_both_protocols(
    server: Deployment, known: Known, name: str
) -> None:
    measured = _measured(server, known, name)
    assert measured.failures == []
    found = _tokens(measured, known)
    assert [check.status for check in found] == ["fail", "fail"], found


def test_half_precision_is_asked_on_behind_its_ties(server: Deployment, known: Known) -> None:
    # The served model computes in FP16, the reference in FP32: ties come where gaps are small.
    half = _model(server, "half")
    found = resume(half, "grpc", known.prompts, known.wanted, bound=0.1, concurrency=6, timeout=60)
    assert found.wrong == ()
    assert found.ties > 0
    assert found.equal + found.ties == found.tokens
    spoiled = _model(server, "mask")
    assert resume(
        spoiled, "http", known.prompts, known.wanted, bound=0.1, concurrency=6, timeout=60
    ).wrong


@pytest.mark.parametrize("name", ["deaf", "liar"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_work_that_goes_on_is_found(
    server: Deployment, known: Known, name: str, protocol: StreamProtocol
) -> None:
    check = _cancelled(server, known, name, protocol)
    assert check.status == "fail", check
    said = {"deaf": "tokens were made, 3 taken", "liar": "were decoded after it had gone"}
    assert said[name] in check.reason


def test_a_model_that_cannot_decode_fails_and_is_no_traceback(
    server: Deployment, known: Known
) -> None:
    measured = _measured(server, known, "broken")
    assert checks.answered_check(measured).status == "fail"
    assert "CUDA out of memory" in measured.failures[0]
    for protocol in PROTOCOLS:
        check = checks.attempt("c", "t", lambda p=protocol: _cancelled(server, known, "broken", p))
        assert (check.status, "decoding failed" in check.reason or "400" in check.reason) == (
            "fail", True
        ), check  # fmt: skip


def test_a_stream_that_is_made_at_once_shows_nothing(server: Deployment, known: Known) -> None:
    assert server.metrics_url is not None
    check = checks.cancel_check(
        _model(server, "deaf"), server.metrics_url, "grpc", known.prompts[0], 5
    )
    assert check.status == "inconclusive", check


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("prompt", "count", "said"),
    [
        ([1, 2], 0, "max_tokens must be at least 1"),
        ([1] * 200, 100, "are more than the 256 that a stream may have"),
        ([5, 4096], 4, "token 4096 is not in the vocabulary of 4096"),
        ([-1], 4, "token -1 is not in the vocabulary"),
    ],
)
def test_what_cannot_be_decoded_is_refused(
    server: Deployment, protocol: StreamProtocol, prompt: list[int], count: int, said: str
) -> None:
    (stream,) = _model(server, "healthy").drive(
        protocol, [prompt], [count], concurrency=1, requests=1, timeout=30
    )
    assert said in stream.error
    assert stream.tokens == []


def test_a_server_that_is_gone_is_an_error_of_the_streams(free_port: int) -> None:
    model = TokenModel(f"http://127.0.0.1:{free_port}", f"127.0.0.1:{free_port}", "m")
    for protocol in PROTOCOLS:
        (stream,) = model.drive(protocol, [[1]], [4], concurrency=1, requests=1, timeout=2)
        assert stream.error


def test_an_unknown_model_is_an_error_of_the_streams(server: Deployment) -> None:
    for protocol in PROTOCOLS:
        (stream,) = _model(server, "nobody").drive(
            protocol, [[1]], [4], concurrency=1, requests=1, timeout=30
        )
        assert "nobody" in stream.error
