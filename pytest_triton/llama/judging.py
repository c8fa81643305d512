"""Build both forms, ask the reference, boot the servers, measure, and say what is right."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
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
from pytest_triton.llama.words import Words, text_check
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
    for form, name in (("stream", STREAM), ("logits", LOGITS)):
        if form in forms and (repository / name).exists():
            raise Misused(f"{repository / name} exists", "name another --repository, or delete it")
    repository.mkdir(parents=True, exist_ok=True)
    if "stream" in forms:
        write_stream(repository, llama)
    if "logits" in forms:
        write_logits(repository, llama, length=length, batch=_BATCH, say=say)


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
        made.bound = bound_of(wanted, llama.dtype)
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
            some = slice(_LOGITS_TEXTS)
            found = next_tokens(server.http_url, prompts[some], wanted[some],
                                bound=made.bound, say=say)  # fmt: skip
        made.equal["logits"] = found.share
        made.checks.append(checks.tokens_check("logits", found, made.bound))
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
                made.checks.append(_counters(server.metrics_url, measured, before))
            self._tokens(model, measured)
            if not measured.failures:
                made.checks.append(checks.agreement_check(measured))
            if asked.words is not None:
                self.say("asking by text")
                made.checks.append(
                    text_check(server.http_url, asked.words, asked.texts, asked.tokens)
                )
            self._leave(model, server.metrics_url)

    def _tokens(self, model: TokenModel, measured: Measured) -> None:
        made, asked = self.made, self.asked
        for protocol in PROTOCOLS:
            found = checks.stream_tokens(measured, protocol, self.wanted, made.bound)
            resumed = None
            if found.ties:
                self.say(f"asking on behind ties, {protocol}")
                resumed = resume(model, protocol, asked.prompts, self.wanted, bound=made.bound,
                                 timeout=_RESUME)  # fmt: skip
            made.equal[protocol] = (resumed or found).share
            made.checks.append(checks.tokens_check(protocol, found, made.bound, resumed))

    def _leave(self, model: TokenModel, metrics: str) -> None:
        self.say("leaving streams")
        prompt = self.asked.prompts[0]
        for protocol in PROTOCOLS:
            self.made.checks.append(
                checks.cancel_check(
                    model, metrics, protocol, prompt, self.llama.max_length - len(prompt)
                )
            )


def _numbers(made: Judged, measured: Measured) -> None:
    made.lines, made.scaling = lines(measured), scaling(measured)
    made.generate_tps = sorted(measured.generate)[len(measured.generate) // 2]


def _counters(url: str, measured: Measured, before: Scrape) -> Check:
    streams = measured.streams
    tokens = sum(len(stream.tokens) for stream in streams)
    ttft = sum(stream.ttft_s for stream in streams) / len(streams) * 1000
    found = checks.counted(url, before, STREAM, tokens)
    return checks.counters_check(found, STREAM, tokens=tokens, requests=len(streams), ttft_ms=ttft)


def _spec(llama: Llama, repository: Path, model: str, release: str) -> ServerSpec:
    return ServerSpec(
        repository, models=(model,), device=llama.device, release=release, boot_timeout=_BOOT
    )


def _version(server: Deployment) -> str:
    with closing(HttpProbe(server.http_url)) as http:
        return str(http.server_metadata().get("version"))
