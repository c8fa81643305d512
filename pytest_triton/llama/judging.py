"""Build both forms, ask the reference, boot the servers, measure, and say what is right."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pytest_triton.deployment import Deployment
from pytest_triton.errors import Misused, ToolError
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.llama import checks
from pytest_triton.llama.architecture import Llama, parameters
from pytest_triton.llama.building import LOGITS, STREAM, write_logits, write_stream
from pytest_triton.llama.equality import bound_of
from pytest_triton.llama.logits import next_tokens
from pytest_triton.llama.reference import Greedy, Reference
from pytest_triton.llama.result import Check, Judged
from pytest_triton.llama.resuming import resume
from pytest_triton.llama.room import Form, Plan
from pytest_triton.llama.rounds import Measured, generate_alone, lines, measure, scaling
from pytest_triton.llama.words import TITLE, Words, text_check
from pytest_triton.load.stats import percentile
from pytest_triton.load.streams import TokenModel
from pytest_triton.load.tokens import PROTOCOLS
from pytest_triton.monitor.metrics import Scrape, scrape
from pytest_triton.probe.http import HttpProbe

Say = Callable[[str], None]
#: Seconds for a model of many gigabytes to become ready.
_BOOT = 900.0
#: Prefixes of so many texts are asked of the logits: each token is a forward of its own.
_LOGITS_TEXTS = 4
#: Seconds for a text that is asked on behind a tie.
_RESUME = 600.0
#: Texts that are asked on alone too.
_ALONE = 2
#: Texts, and tokens of each, that the reference's rounding is taken from at least.
_CALIBRATED = (16, 32)
#: Rows of a batch that the logits are exported for.
_BATCH = 4


def seeded_prompts(llama: Llama, count: int, longest: int) -> list[list[int]]:
    """``count`` prompts of ``longest``/2 to ``longest`` tokens, no two alike."""
    chance = random.Random(f"{llama.seed} prompts")
    lengths = [chance.randint(max(1, longest // 2), longest) for _ in range(count)]
    # The first ids are for control: beginning, end, unknown.
    return [[chance.randrange(3, llama.vocabulary) for _ in range(n)] for n in lengths]


def build(repository: Path, llama: Llama, forms: Sequence[Form], length: int, say: Say) -> None:
    """Write the models. Raises Misused where one is there already, ToolError as exports do."""
    wanted = {"stream": STREAM, "logits": LOGITS}
    for name in (wanted[form] for form in forms):
        if (repository / name).exists():
            raise Misused(f"{repository / name} exists", "name another --repository, or delete it")
    try:
        repository.mkdir(parents=True, exist_ok=True)
        # The long one first: when it fails, nothing is there that stands in the way of a repeat.
        if "logits" in forms:
            write_logits(repository, llama, length=length, batch=_BATCH, say=say)
        if "stream" in forms:
            write_stream(repository, llama)
    except OSError as error:
        raise ToolError(f"{repository} cannot be written: {error}",
                        "make room, or name another --repository") from None  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the served models.

    ``prompts``: token ids; ``words`` and ``texts``: a tokenizer and what is asked by text.
    """

    forms: tuple[Form, ...]
    prompts: Sequence[Sequence[int]]
    tokens: int
    concurrencies: Sequence[int]
    rounds: int
    release: str
    words: Words | None = None
    texts: tuple[str, ...] = ()


def judge(llama: Llama, name: str, repository: Path, plan: Plan, asked: Asked, say: Say) -> Judged:
    """Judge the models that :func:`build` wrote.

    Raises ToolError when a server, or the reference, does not come up or ends.
    """
    prompts, tokens = asked.prompts, asked.tokens
    with ExitStack() as stack:
        say("loading the reference")
        reference: Reference | None = stack.enter_context(Reference(llama))
        assert reference is not None
        made = Judged(
            name, parameters(llama.config), llama.dtype, llama.device, llama.seed,
            tuple(len(prompt) for prompt in prompts), tokens, asked.rounds,
            dict(reference.told), plan.together,
        )  # fmt: skip
        say(f"asking generate() for {len(prompts)} texts of {tokens} tokens")
        wanted = reference.greedy(prompts, tokens)
        made.bound = bound_of([*wanted, *_calibration(reference, llama, wanted)], llama.dtype)
        alone: list[float] = []
        if not plan.together:
            if "stream" in asked.forms:
                alone = generate_alone(reference, prompts, tokens, asked.rounds)
            stack.close()
            reference = None
        if "stream" in asked.forms:
            _Stream(made, llama, asked, wanted, say).judge(repository, reference, alone)
    if "logits" in asked.forms:
        with embedded(_spec(llama, repository, LOGITS, asked.release), progress=say) as server:
            made.versions["triton"] = _version(server)

            def ask() -> Check:
                some = slice(_LOGITS_TEXTS)
                found = next_tokens(server.http_url, prompts[some], wanted[some],
                                    bound=made.bound, say=say)  # fmt: skip
                made.equal["logits"] = found.share
                return checks.tokens_check("logits", found, made.bound)

            made.checks.append(
                checks.attempt("tokens-logits", "tokens over TorchScript logits", ask)
            )
    return made


@dataclass(slots=True)
class _Stream:
    """The decoupled form."""

    made: Judged
    llama: Llama
    asked: Asked
    wanted: Sequence[Greedy]
    say: Say

    def judge(self, repository: Path, reference: Reference | None, alone: Sequence[float]) -> None:
        asked, made = self.asked, self.made
        spec = _spec(self.llama, repository, STREAM, asked.release)
        with embedded(spec, progress=self.say) as server:
            made.versions["triton"] = _version(server)
            if server.grpc_url is None or server.metrics_url is None:
                raise ToolError("the server has no gRPC or no metrics endpoint",
                                "look at its log")  # fmt: skip
            model = TokenModel(server.http_url, server.grpc_url, STREAM)
            before = scrape(server.metrics_url)
            measured = measure(
                model, reference, asked.prompts, tokens=asked.tokens,
                concurrencies=asked.concurrencies, rounds=asked.rounds, generate=alone,
                say=self.say,
            )  # fmt: skip
            made.checks.append(checks.answered_check(measured))
            if not measured.failures:
                _numbers(made, measured)
                made.checks.append(_counters(server.metrics_url, measured, before, asked.prompts))
            self._tokens(model, measured)
            if not measured.failures:
                made.checks.append(checks.agreement_check(measured))
            if (words := asked.words) is not None:
                self.say("asking by text")
                url = server.http_url
                made.checks.append(
                    checks.attempt(
                        "text", TITLE, lambda: text_check(url, words, asked.texts, asked.tokens)
                    )
                )
            self._leave(model, server.metrics_url)

    def _tokens(self, model: TokenModel, measured: Measured) -> None:
        made, asked = self.made, self.asked
        many = len(asked.prompts)
        for protocol in PROTOCOLS:
            found = checks.stream_tokens(measured, protocol, self.wanted, made.bound)
            resumed = []
            if found.ties and not found.wrong and not measured.failures:
                self.say(f"asking on behind ties, {protocol}")
                resumed = [
                    resume(model, protocol, asked.prompts[:texts], self.wanted[:texts],
                           bound=made.bound, concurrency=at_once, timeout=_RESUME)
                    for texts, at_once in ((many, many), (min(many, _ALONE), 1))
                ]  # fmt: skip
            made.equal[protocol] = (resumed[0] if resumed else found).share
            made.checks.append(checks.tokens_check(protocol, found, made.bound, resumed))

    def _leave(self, model: TokenModel, metrics: str) -> None:
        self.say("leaving streams")
        prompt = self.asked.prompts[0]
        count = self.llama.max_length - len(prompt)
        for protocol in PROTOCOLS:
            self.made.checks.append(
                checks.attempt(
                    f"cancel-{protocol}", checks.cancel_title(protocol),
                    partial(checks.cancel_check, model, metrics, protocol, prompt, count),
                )
            )  # fmt: skip


def _calibration(reference: Reference, llama: Llama, wanted: Sequence[Greedy]) -> Sequence[Greedy]:
    """More texts where few were asked for: the rounding of a few tokens says little."""
    if sum(len(greedy.tokens) for greedy in wanted) >= _CALIBRATED[0] * _CALIBRATED[1]:
        return ()
    texts, tokens = _CALIBRATED[0], min(_CALIBRATED[1], llama.max_length - 1)
    length = max(1, min(32, llama.max_length - tokens))
    return reference.greedy(seeded_prompts(llama, texts, length), tokens)


def _numbers(made: Judged, measured: Measured) -> None:
    made.lines, made.scaling = lines(measured), scaling(measured)
    made.generate_tps = percentile(measured.generate, 50)


def _counters(
    url: str, measured: Measured, before: Scrape, prompts: Sequence[Sequence[int]]
) -> Check:
    streams = measured.streams
    found = checks.counted(url, before, STREAM, sum(len(stream.tokens) for stream in streams))
    return checks.counters_check(found, STREAM, streams, prompts)


def _spec(llama: Llama, repository: Path, model: str, release: str) -> ServerSpec:
    return ServerSpec(
        repository, models=(model,), device=llama.device, release=release, boot_timeout=_BOOT
    )


def _version(server: Deployment) -> str:
    with closing(HttpProbe(server.http_url)) as http:
        return str(http.server_metadata().get("version"))
