"""``export_huggingface``: a model of transformers as TorchScript, with its proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pytest_triton.export.function import export_torchscript, tolerances
from pytest_triton.export.huggingface.attention import attention as attending
from pytest_triton.export.huggingface.attention import candidates, in_use
from pytest_triton.export.huggingface.loading import Loaded, load, offline, quiet
from pytest_triton.export.huggingface.requests import (
    TRACED,
    Vocabulary,
    prove_padding,
    vocabulary,
)
from pytest_triton.export.huggingface.tasks import Task, transformers
from pytest_triton.export.huggingface.wrappers import Pooling, Positions, wrap
from pytest_triton.export.interface import Case, ExportRefused
from pytest_triton.export.parity import compare
from pytest_triton.export.running import arguments, array_of, device_of, evaluation
from pytest_triton.export.variants import Progress, VariantName
from pytest_triton.repository.sidecar import ExportRecord, Tensors, write_record
from pytest_triton.repository.tensors import TensorSpec

#: Share of the largest output that rounding in many layers may take.
_ROUNDING = {"torch.float16": 5e-3, "torch.bfloat16": 3e-2}


def export_huggingface(
    model: Any,
    *,
    path: Path | str,
    task: Task | None = None,
    pooling: Pooling | None = None,
    normalize: bool | None = None,
    positions: Positions = "all",
    token_types: bool | None = None,
    max_batch_size: int = 8,
    max_length: int | None = None,
    dtype: str | None = None,
    device: str | None = None,
    attention: str | None = None,
    variant: VariantName | Literal["fastest"] = "plain",
    measured: bool = False,
    seed: int = 0,
    rtol: float | None = None,
    atol: float | None = None,
    progress: Progress | None = None,
) -> ExportRecord:
    """Export a HuggingFace model to ``path`` and prove that it is right.

    ``model`` is a loaded model or the directory that ``save_pretrained()`` wrote; nothing is
    downloaded and no code of the directory is run. ``task`` follows from the model's class:

    - ``classification``: ``logits`` [classes]; the labels of ``id2label`` go into the side-car;
    - ``embedding``: ``embedding`` [width], pooled by ``pooling``: "mean" over the tokens that
      count, or "cls", the first token. By default what the directory says
      (sentence-transformers), else the mean. ``normalize`` makes its length 1;
    - ``causal-lm``: ``logits`` [length, vocabulary] of a forward without cache;
      ``positions="last"`` gives [vocabulary] of the last token that counts. Positions are
      counted from the first token that counts, so that padding on either side is allowed.

    Inputs are ``input_ids``, ``attention_mask`` and, where the model has more than one token
    type, ``token_type_ids`` (``token_types`` says otherwise). Batch and length vary;
    ``max_length`` is the longest that is proven, by default what the model has positions for,
    at most 512. ``dtype`` (for a directory) loads other weights than are stored. Outputs are
    FP32 whatever the model computes in. ``device`` ("cuda") is where it is traced and proven;
    by default where the model is.

    The trace takes the attention implementation (``sdpa``, else ``eager``) that passes: answers
    equal to those of the model as it came, on batches and lengths that were not traced, and
    rows that are padded equal to the same rows alone. The other arguments are those of
    :func:`export_torchscript`. Raises ExportRefused, ToolError without transformers.
    """
    say = progress or (lambda text: None)
    if isinstance(model, (str, Path)):
        say(f"loading {model}")
    loaded = load(model, task, dtype, pooling)
    pooled: Pooling = pooling or ("cls" if loaded.pooling == "cls" else "mean")
    normal = loaded.normalize if normalize is None else normalize
    model, task = loaded.model, loaded.task
    if device is not None:
        model.to(device)
    with offline(), quiet(), evaluation(model):
        _check(model, task, max_batch_size)
        original = in_use(model)
        words = vocabulary(
            model, token_types=token_types, length=max_length, check=lambda n: _runs(model, n)
        )
        wrapper = wrap(
            model, task, words.names, pooling=pooled, normalize=normal, positions=positions
        )
        choices = {"attention": "", "dtype": str(next(model.parameters()).dtype)[6:]}
        if task == "embedding":
            choices |= {"pooling": pooled, "normalized": str(normal).lower()}
        if task == "causal-lm":
            choices["positions"] = positions
        target = Path(path) / "model.pt" if Path(path).suffix == "" else Path(path)
        options = {
            "max_batch_size": max_batch_size,
            "variant": variant,
            "measured": measured,
            "seed": seed,
            "rtol": rtol,
            "atol": atol,
            "progress": progress,
        }
        refusals: list[ExportRefused] = []
        for name in candidates(model, attention):
            say(f"exporting for {task} with {name or original or 'its own'} attention")
            try:
                with attending(model, name):
                    choices["attention"] = in_use(model)
                    record = _export(
                        wrapper, target, loaded, words, original, positions, choices, options
                    )
                break
            except ExportRefused as refusal:
                refusals.append(refusal)
        else:
            raise refusals[0]
    return record


def _export(
    wrapper: Any,
    target: Path,
    loaded: Loaded,
    words: Vocabulary,
    original: str,
    positions: Positions,
    choices: Mapping[str, str],
    options: Mapping[str, Any],
) -> ExportRecord:
    model, task = loaded.model, loaded.task
    most, seed = int(options["max_batch_size"]), int(options["seed"])
    causal, per_token = task == "causal-lm", task == "causal-lm" and positions == "all"
    rows, tokens = min(TRACED[0], most), min(TRACED[1], words.length)
    cases = words.cases(most, seed, left=causal)
    example = words.request(rows, tokens, seed)
    rtol, atol = _tolerances(wrapper, example, words.names, options["rtol"], options["atol"])

    def proof(exported: Callable[[Tensors], Mapping[str, Any]]) -> None:
        prove_padding(
            exported,
            words,
            most,
            sides=("right", "left") if causal else ("right",),
            per_token=per_token,
            seed=seed,
            rtol=rtol,
            atol=atol,
        )
        _prove_original(wrapper, exported, cases, words.names, model, original, rtol, atol)

    record = export_torchscript(
        wrapper,
        example,
        path=target,
        inputs=[TensorSpec(name, "INT64", ("length",)) for name in words.names],
        outputs=[_output(model, task, positions)],
        axes={"length": (1, words.length)},
        ranges=_ranges(words),
        cases=cases,
        proof=proof,
        **{**options, "rtol": rtol, "atol": atol},
    )
    record = replace(
        record,
        transformers_version=str(transformers().__version__),
        architecture=type(model).__name__,
        task=task,
        choices=dict(choices),
        labels=_labels(model) if task == "classification" else (),
    )
    write_record(target.parent, record)
    return record


def _output(model: Any, task: Task, positions: Positions) -> TensorSpec:
    config = model.config
    if task == "classification":
        return TensorSpec("logits", "FP32", (int(config.num_labels),))
    if task == "embedding":
        width = getattr(config, "hidden_size", None) or getattr(config, "d_model", None)
        return TensorSpec("embedding", "FP32", (int(width) if width else -1,))
    # Some heads are wider than the vocabulary: padded to a round number.
    head = model.get_output_embeddings()
    size = int(head.weight.shape[0]) if head is not None else -1
    return TensorSpec("logits", "FP32", (size,) if positions == "last" else ("length", size))


def _ranges(words: Vocabulary) -> dict[str, tuple[float, float]]:
    ranges: dict[str, tuple[float, float]] = {
        "input_ids": (0, words.size),
        "attention_mask": (1, 2),
    }
    if "token_type_ids" in words.names:
        ranges["token_type_ids"] = (0, words.types)
    return ranges


def _labels(model: Any) -> tuple[str, ...]:
    """The names of the classes in their order; a regression has none."""
    names: Mapping[Any, Any] = getattr(model.config, "id2label", None) or {}
    by_index = {int(index): " ".join(str(name).split()) for index, name in names.items()}
    count = int(model.config.num_labels)
    if count < 2 or sorted(by_index) != list(range(count)):
        return ()
    return tuple(by_index[index] for index in range(count))


def _check(model: Any, task: Task, max_batch_size: int) -> None:
    """What is known to fail, said before anything is traced."""
    config = model.config
    if max_batch_size < 1:
        raise ExportRefused(
            "max_batch_size is 0: HuggingFace models take rows", "1 or more; 1 never batches"
        )
    if task == "classification" and _causal(model) and config.pad_token_id is None:
        raise ExportRefused(
            f"{type(model).__name__} finds the end of a row by pad_token_id, and the "
            "configuration has none",
            "set it:  model.config.pad_token_id = model.config.eos_token_id",
        )


def _causal(model: Any) -> bool:
    """Whether this is a language model with a classifier that reads the last token."""
    import inspect

    return "past_key_values" in inspect.signature(model.forward).parameters and not hasattr(
        model.config, "type_vocab_size"
    )


def _runs(model: Any, tokens: int) -> bool:
    """Whether the model answers a row of so many tokens; taken for granted on a GPU."""
    import torch

    device = device_of(model)
    if device.type != "cpu":  # an index out of range kills the process there
        return True
    ids = torch.full((1, tokens), 2, dtype=torch.long)
    try:
        with torch.no_grad():
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
    except (IndexError, RuntimeError):
        return False
    return True


def _tolerances(
    wrapper: Any, request: Tensors, names: Sequence[str], rtol: float | None, atol: float | None
) -> tuple[float, float]:
    """What rounding alone needs: half precision is only as fine as the largest numbers allow."""
    import torch

    wide = tolerances(wrapper)
    parameters = {parameter.dtype for parameter in wrapper.parameters()}
    share = next((_ROUNDING[str(kind)] for kind in parameters if str(kind) in _ROUNDING), 0.0)
    if share and atol is None:
        with evaluation(wrapper), torch.no_grad():
            answer = array_of(wrapper(*arguments(request, names, device_of(wrapper))))
        wide = wide[0], max(wide[1], share * float(abs(answer).max()))
    return (wide[0] if rtol is None else rtol, wide[1] if atol is None else atol)


def _prove_original(
    wrapper: Any,
    exported: Callable[[Tensors], Mapping[str, Any]],
    cases: Sequence[Case],
    names: Sequence[str],
    model: Any,
    original: str,
    rtol: float,
    atol: float,
) -> None:
    """The file answers as the model did with the attention that it came with."""
    import torch

    if original == in_use(model) or original not in ("sdpa", "eager"):
        return
    with attending(model, original), torch.no_grad():
        for case in cases[:3]:
            value = array_of(wrapper(*arguments(case.inputs, names, device_of(model))))
            for name, given in exported(case.inputs).items():
                compare(f"{case.name} with {original} attention", name, value, given, rtol, atol)
