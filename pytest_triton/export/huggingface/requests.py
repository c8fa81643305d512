"""Requests for the proof: token ids within the vocabulary, and padding that must not matter."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_triton.export.interface import Case, ExportRefused
from pytest_triton.export.parity import compare
from pytest_triton.repository.sidecar import Tensors

#: Tokens that are proven when neither the caller nor the model sets a limit, and at most
#: unless the caller does: a proof at 131072 tokens would not end.
DEFAULT_LENGTH = 512
#: Rows and tokens of the request that is traced: sizes that stand for no other number.
TRACED = (2, 9)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What makes sense as input of one model."""

    names: tuple[str, ...]
    size: int
    pad: int
    types: int
    #: The largest number of tokens that is proven.
    length: int

    def request(self, rows: int, tokens: int, seed: int, padding: str = "right") -> Tensors:
        """Random tokens, every second row padded to half of its length unless "none"."""
        rng = np.random.default_rng([seed, rows, tokens, zlib.crc32(padding.encode())])
        mask = np.ones((rows, tokens), np.int64)
        half = (tokens + 1) // 2
        if padding == "right":
            mask[1::2, half:] = 0
        elif padding == "left":
            mask[1::2, : tokens - half] = 0
        return self.of(self._tokens(rng, (rows, tokens)), mask, rng)

    def of(self, ids: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Tensors:
        """The inputs of the model for these tokens."""
        made = {"input_ids": np.where(mask == 1, ids, self.pad), "attention_mask": mask}
        if "token_type_ids" in self.names:
            types = np.sort(rng.integers(0, self.types, ids.shape, dtype=np.int64), axis=1)
            made["token_type_ids"] = types * mask
        return {name: made[name] for name in self.names}

    def _tokens(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """Any token but padding."""
        ids = rng.integers(0, self.size - 1, shape, dtype=np.int64)
        return ids + (ids >= self.pad)

    def cases(self, max_batch: int, seed: int, *, left: bool) -> list[Case]:
        """Batches and lengths from the smallest to the largest, none as traced."""
        long = self.length
        sizes = [(1, 1), (1, long), (3, min(37, long)), (5, min(64, long)), (max_batch, 16)]
        sizes.append((2, max(long // 2 | 1, 1)))
        kept = dict.fromkeys(
            (max(1, min(rows, max_batch)), min(tokens, long)) for rows, tokens in sizes
        )
        found = [
            Case(f"batch{rows}_length{tokens}", self.request(rows, tokens, seed))
            for rows, tokens in kept
            if (rows, tokens) != TRACED
        ]
        if left:
            rows, tokens = min(2, max_batch), min(11, long)
            found.append(Case("left_padded", self.request(rows, tokens, seed, "left")))
        return found


def vocabulary(
    model: Any, *, token_types: bool | None, length: int | None, check: Callable[[int], bool]
) -> Vocabulary:
    """What this model takes. ``check`` says whether it runs with that many tokens.

    ``token_types`` None: where the model has more than one type, as its own tokenizer gives
    them.
    """
    config = model.config
    accepted = inspect.signature(model.forward).parameters
    types = int(getattr(config, "type_vocab_size", 0) or 0)
    takes = "token_type_ids" in accepted
    if token_types and not takes:
        raise ExportRefused(
            f"{type(model).__name__} takes no token_type_ids", "leave token_types out"
        )
    names = ["input_ids", "attention_mask"]
    if takes and (types > 1 if token_types is None else token_types):
        names.append("token_type_ids")
    size = int(model.get_input_embeddings().weight.shape[0])
    limit = _limit(model, check)
    if length is not None and limit is not None and length > limit:
        raise ExportRefused(
            f"the model has {limit} positions, asked for are {length}", f"at most {limit}"
        )
    proven = length or min(limit or DEFAULT_LENGTH, DEFAULT_LENGTH)
    pad = getattr(config, "pad_token_id", None)
    pad = int(pad) if isinstance(pad, int) and 0 <= pad < size else 0
    return Vocabulary(tuple(names), size, pad, max(types, 1), proven)


def _limit(model: Any, check: Callable[[int], bool]) -> int | None:
    """The most tokens that the model has positions for; None when it has no limit."""
    config = model.config
    for key in ("max_position_embeddings", "n_positions", "max_sequence_length"):
        told = getattr(config, key, None)
        if isinstance(told, int) and told > 0:
            break
    else:
        return None
    if told > 4 * DEFAULT_LENGTH:
        return told  # not reached by the proof; a run with so many tokens would cost minutes
    # RoBERTa and its kin count positions from behind the padding token's own.
    offset = _first_position(model, told)
    for candidate in (told - offset,) if offset else (told, told - 2):
        if candidate > 0 and check(candidate):
            return candidate
    raise ExportRefused(
        f"the model does not run with {told - offset} tokens, though its configuration says "
        f"{told} positions",
        "say max_length",
    )


def _first_position(model: Any, positions: int) -> int:
    """Positions that stand for padding: a table of positions that has a padding index."""
    words = model.get_input_embeddings()
    for table in model.modules():
        rows, pad = getattr(table, "num_embeddings", 0), getattr(table, "padding_idx", None)
        if table is not words and rows == positions and isinstance(pad, int):
            return pad + 1
    return 0


def prove_padding(
    exported: Callable[[Tensors], Mapping[str, Any]],
    vocabulary: Vocabulary,
    max_batch: int,
    *,
    sides: Sequence[str],
    per_token: bool,
    seed: int,
    rtol: float,
    atol: float,
) -> None:
    """Rows that are padded answer as they do alone. Raises ExportRefused.

    A request of several lengths has to be padded to the longest one; a mask that got lost in
    the trace shows here.
    """
    longest = min(vocabulary.length, 23)
    rng = np.random.default_rng([seed, longest])
    lengths = sorted({1, max(1, longest // 3), max(1, longest - 1)})
    for tokens in lengths:
        ids = vocabulary._tokens(rng, (1, tokens))
        alone_request = vocabulary.of(ids, np.ones_like(ids), np.random.default_rng(seed))
        alone = exported(alone_request)
        for side in sides:
            request, real = _padded(alone_request, vocabulary, longest, side, max_batch, rng)
            padded = exported(request)
            for name, expected in alone.items():
                given = padded[name][:1]
                given = given[:, real] if per_token else given
                try:
                    compare(f"{tokens} tokens", name, expected, given, rtol, atol)
                except ExportRefused as refusal:
                    raise ExportRefused(
                        f"a row of {tokens} tokens has another answer when it is padded on the "
                        f"{side} to {longest}: {refusal.message}",
                        "the model does not follow attention_mask as exported; try "
                        'attention="eager"',
                    ) from refusal


def _padded(
    alone: Tensors, vocabulary: Vocabulary, longest: int, side: str, max_batch: int,
    rng: np.random.Generator,
) -> tuple[Tensors, slice]:  # fmt: skip
    """The row padded to ``longest``, with another, full row beside it if the batch allows."""
    tokens = alone["input_ids"].shape[1]
    start = 0 if side == "right" else longest - tokens
    real = slice(start, start + tokens)
    other = vocabulary.request(1, longest, int(rng.integers(1 << 31)), "none")
    made = {}
    for name, value in alone.items():
        row = np.full((1, longest), vocabulary.pad if name == "input_ids" else 0, np.int64)
        row[:, real] = value
        made[name] = np.concatenate([row, other[name]]) if max_batch > 1 else row
    return made, real
