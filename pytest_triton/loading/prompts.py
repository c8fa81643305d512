"""What a model that streams is asked: the rows of a file, or prompts out of its metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pytest_triton.errors import Misused, ToolError
from pytest_triton.probe.cases import rows, unlike
from pytest_triton.probe.codec import numpy_dtype
from pytest_triton.probe.generate import Rule, full_shape, generator
from pytest_triton.probe.inputs import InputCase, InputSource, tensor_specs
from pytest_triton.probe.types import TensorSpec

#: Different requests of a run, and what a prompt and an answer have where nothing is said.
DISTINCT, PROMPT_TOKENS, MAX_TOKENS = 32, 32, 32
#: The input that says how long an answer may be.
COUNT = "max_tokens"
#: Inputs that are left out or true where nothing else is known: a stream that ends by itself
#: is shorter than what was asked for.
_TRUE = ("ignore_eos", "stream")
#: Inputs that hold the prompt, best first.
_PROMPTS = ("input_ids", "text_input", "prompt")
#: Ids that are no control tokens, of any vocabulary.
_IDS = Rule(3, 10)
_WORDS = (
    "once", "upon", "a", "time", "there", "was", "small", "house", "by", "the", "sea", "and",
    "every", "morning", "light", "came", "over", "water",
)  # fmt: skip


@dataclass(frozen=True)
class Prompts:
    """What was asked for; None: what is said here, where nothing better is known."""

    inputs: Path | None = None
    max_tokens: int | None = None
    prompt_tokens: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Asked:
    """Distinct requests, and the parameters that each has."""

    cases: list[InputCase]
    parameters: Mapping[str, Any]


def asked(
    model: str, metadata: Mapping[str, Any], config: Mapping[str, Any], wanted: Prompts
) -> Asked:
    """The requests for a model. Raises ToolError for a file that does not fit, Misused for what
    cannot be meant."""
    if wanted.inputs is not None and wanted.prompt_tokens is not None:
        raise Misused("--prompt-tokens is of prompts that are made up", "leave --inputs out")
    specs = {spec.name: spec for spec in tensor_specs(metadata.get("inputs", []))}
    # what a model is warmed up with is no prompt
    config = {name: value for name, value in config.items() if name != "model_warmup"}
    if wanted.inputs is not None:
        source = InputSource(inputs_file=wanted.inputs, seed=wanted.seed)
        known = [row for case in source.cases(model, metadata, config) for row in rows(case)]
        if known[0].provenance != "file":
            raise ToolError(f"{wanted.inputs} says nothing of the inputs of {model}",
                            f"they are {', '.join(specs)}")  # fmt: skip
    else:
        metadata = _needed(metadata, config)
        source = InputSource(seed=wanted.seed, rules=_rules(metadata, config, model, wanted))
        known = []
    more = source.distinct(model, metadata, config, count=DISTINCT)
    cases = unlike([*known, *more])[:DISTINCT]
    if COUNT not in specs:
        parameters = {} if wanted.max_tokens is None else {COUNT: wanted.max_tokens}
        return Asked(cases, parameters)
    if wanted.max_tokens is not None:
        cases = [_counted(case, specs[COUNT], wanted.max_tokens) for case in cases]
    return Asked(cases, {})


def _counted(case: InputCase, spec: TensorSpec, count: int) -> InputCase:
    shape = full_shape(spec, batch=1 if case.batch else None, size=1)
    value = np.full(shape, count, numpy_dtype(spec.datatype))
    return replace(case, inputs={**case.inputs, COUNT: value})


def _needed(metadata: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata without optional inputs of which nothing is known; one of them holds the prompt
    where no other input does."""
    optional = {one.get("name") for one in config.get("input", []) if one.get("optional")}
    named = [entry["name"] for entry in metadata.get("inputs", [])]
    kept = {name for name in named if name not in optional}
    if not kept & set(_PROMPTS):
        kept |= set([name for name in _PROMPTS if name in named][:1])
    kept |= {name for name in (COUNT, *_TRUE) if name in named}
    if not kept:
        kept = set(named)
    entries = [entry for entry in metadata.get("inputs", []) if entry["name"] in kept]
    return {**metadata, "inputs": entries}


def _rules(
    metadata: Mapping[str, Any], config: Mapping[str, Any], model: str, wanted: Prompts
) -> dict[str, Rule]:
    lengths = (wanted.prompt_tokens or PROMPT_TOKENS,)
    batches = int(config.get("max_batch_size") or 0) > 0
    found: dict[str, Rule] = {}
    for spec in tensor_specs(metadata["inputs"]):
        dims: Sequence[int] = spec.shape[1 if batches else 0 :]
        single = (1,) if -1 in dims else ()
        if spec.name == COUNT:
            found[COUNT] = Rule(values=(wanted.max_tokens or MAX_TOKENS,), lengths=single)
        elif spec.name in _TRUE and spec.datatype == "BOOL":
            found[spec.name] = Rule(values=(True,), lengths=single)
        elif spec.datatype == "BYTES":
            texts = _texts(model, wanted.seed, lengths[0])
            found[spec.name] = Rule(values=texts, lengths=single)
        elif -1 in dims:
            ids = spec.name.endswith("ids") and "INT" in spec.datatype
            found[spec.name] = replace(_IDS if ids else Rule(), lengths=lengths)
    return found


def _texts(model: str, seed: int, words: int) -> tuple[str, ...]:
    rng = generator(seed, model, 2)
    picks = rng.integers(0, len(_WORDS), (4 * DISTINCT, words)).tolist()
    return tuple(" ".join(_WORDS[pick] for pick in row) for row in picks)
