"""HuggingFace models as TorchScript: compared here once more, with requests of the test's own."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from pytest_triton.export import ExportRefused, export_huggingface  # noqa: E402
from pytest_triton.repository.sidecar import read_golden, read_sidecar  # noqa: E402

VOCABULARY, POSITIONS, WIDTH = 99, 40, 32  # of tiny()
Tiny = Callable[..., Any]

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load:DeprecationWarning")


def ids(rows: int, tokens: int, seed: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(3, VOCABULARY, (rows, tokens)))


def loaded(directory: Path):
    return torch.jit.load(str(directory / "model.pt"))


def close(given, expected, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(
        given.detach().float().numpy(), expected.detach().float().numpy(), tolerance, tolerance
    )


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "task", "inputs"),
    [
        ("bert", "classification", ["input_ids", "attention_mask", "token_type_ids"]),
        ("distilbert", "classification", ["input_ids", "attention_mask"]),
        ("roberta", "classification", ["input_ids", "attention_mask"]),
        ("gpt2", "causal-lm", ["input_ids", "attention_mask"]),
        ("llama", "causal-lm", ["input_ids", "attention_mask"]),
    ],
)
def test_the_file_answers_as_the_model(
    tiny: Tiny, tmp_path: Path, kind: str, task: str, inputs: list[str]
) -> None:
    model = tiny(kind)
    record = export_huggingface(model, path=tmp_path / "1", max_batch_size=6)
    assert [tensor.name for tensor in record.inputs] == inputs
    assert (record.task, record.architecture) == (task, type(model).__name__)
    assert record.axes == {"length": (1, POSITIONS)}
    assert record.naming == "arguments"
    assert record.device_constants == ()
    untraced = [proof for proof in record.parity if not proof.traced]
    assert {proof.batch for proof in untraced} >= {1, 2, 3, 5, 6}
    assert {proof.axes["length"] for proof in untraced} >= {1, 16, POSITIONS}
    assert read_sidecar(tmp_path / "1") == record
    file = loaded(tmp_path / "1")
    for rows, tokens in ((1, 1), (4, 13), (6, POSITIONS)):
        words, ones = ids(rows, tokens), torch.ones(rows, tokens, dtype=torch.long)
        types = [torch.zeros_like(words)] * ("token_type_ids" in inputs)
        close(file(words, ones, *types), model(input_ids=words, attention_mask=ones).logits)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "llama"])
def test_padding_does_not_matter(tiny: Tiny, tmp_path: Path, kind: str) -> None:
    model = tiny(kind)
    record = export_huggingface(model, path=tmp_path, token_types=False if kind == "bert" else None)
    file, alone = loaded(tmp_path), ids(1, 5)
    answer = file(alone, torch.ones_like(alone))
    pad = torch.full((1, 6), model.config.pad_token_id or 0)
    zeros, ones = torch.zeros_like(pad), torch.ones_like(alone)
    right = file(torch.cat([alone, pad], 1), torch.cat([ones, zeros], 1))
    close(right[:, :5] if record.task == "causal-lm" else right, answer)
    if record.task == "causal-lm":
        left = file(torch.cat([pad, alone], 1), torch.cat([zeros, ones], 1))
        close(left[:, 6:], answer)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["bert_base", "bert_mlm"])
@pytest.mark.parametrize(("pooling", "normalize"), [("mean", False), ("cls", False), (None, True)])
def test_embeddings_are_pooled_as_said(
    tiny: Tiny, tmp_path: Path, kind: str, pooling: str | None, normalize: bool
) -> None:
    model = tiny(kind)
    record = export_huggingface(
        model, path=tmp_path, task="embedding", pooling=pooling, normalize=normalize,
        token_types=False,
    )  # fmt: skip
    assert record.outputs[0].name == "embedding"
    assert record.outputs[0].shape == (WIDTH,)
    words = ids(3, 7)
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3, [1] + [0] * 6])
    hidden = model.base_model(input_ids=words, attention_mask=mask).last_hidden_state.numpy()
    if pooling == "cls":
        expected = hidden[:, 0]
    else:
        rows = [row[:count].mean(0) for row, count in zip(hidden, (7, 4, 1), strict=True)]
        expected = np.stack(rows)
    if normalize:
        expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(loaded(tmp_path)(words, mask), expected, 1e-4, 1e-5)


@torch.no_grad()
def test_the_last_token_alone(tiny: Tiny, tmp_path: Path) -> None:
    model = tiny("llama")
    record = export_huggingface(model, path=tmp_path, positions="last")
    assert record.outputs[0].shape == (VOCABULARY,)
    words = ids(2, 6)
    right = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    full = model(input_ids=words, attention_mask=right).logits
    given = loaded(tmp_path)(words, right)
    close(given, torch.stack([full[0, 5], full[1, 3]]))


def test_labels_and_versions_are_in_the_side_car(tiny: Tiny, tmp_path: Path) -> None:
    record = export_huggingface(tiny("bert"), path=tmp_path)
    assert record.labels == ("neg", "neu", "pos")
    assert record.transformers_version == transformers.__version__
    assert record.torch_version == torch.__version__
    assert record.choices["dtype"] == "float32"
    assert record.schema.startswith("forward(__torch__.")
    regression = export_huggingface(tiny("bert", num_labels=1, id2label=None), path=tmp_path / "r")
    assert regression.labels == ()


@torch.no_grad()
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_half_precision_comes_out_as_fp32(
    tiny: Tiny, tmp_path: Path, kind: str, dtype: str
) -> None:
    model = tiny(kind).to(getattr(torch, dtype))
    record = export_huggingface(model, path=tmp_path)
    assert record.choices["dtype"] == dtype
    assert [tensor.datatype for tensor in record.outputs] == ["FP32"]
    words = ids(2, 12)
    ones = torch.ones_like(words)
    types = [torch.zeros_like(words)] * (kind == "bert")
    close(loaded(tmp_path)(words, ones, *types), model(words, attention_mask=ones).logits, 3e-2)


def test_a_classifier_of_gpt2_needs_its_padding_token(tiny: Tiny, tmp_path: Path) -> None:
    model = tiny("gpt2_classifier")
    with pytest.raises(ExportRefused, match="configuration has none"):
        export_huggingface(model, path=tmp_path / "none")
    model.config.pad_token_id = 0
    record = export_huggingface(model, path=tmp_path / "set")
    assert record.task == "classification"


def test_the_model_is_left_as_it_was(tiny: Tiny, tmp_path: Path) -> None:
    model = tiny("bert").train()
    model.set_attn_implementation("eager")
    record = export_huggingface(model, path=tmp_path)
    assert record.choices["attention"] == "sdpa"
    assert model.config._attn_implementation == "eager"
    assert model.training


class Chooses(transformers.BertForSequenceClassification):
    """Traces wrongly with one implementation: the length becomes a constant."""

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        return True

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, **others):
        result = super().forward(input_ids, attention_mask, token_type_ids, **others)
        if torch.jit.is_tracing() and self.config._attn_implementation == "sdpa":
            result.logits = result.logits + attention_mask.float() @ torch.zeros(
                int(input_ids.shape[1]), 1
            )
        return result


class Deaf(transformers.BertForSequenceClassification):
    """Does not follow the mask."""

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, **others):
        return super().forward(input_ids, None, token_type_ids, **others)


class MixesRows(transformers.BertForSequenceClassification):
    """Rows of a batch influence each other."""

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, **others):
        result = super().forward(input_ids, attention_mask, token_type_ids, **others)
        result.logits = result.logits - result.logits.mean(0)
        return result


def test_another_attention_is_tried_when_one_does_not_trace(tiny: Tiny, tmp_path: Path) -> None:
    model = tiny("bert")
    broken = Chooses(model.config)
    broken.load_state_dict(model.state_dict())
    said: list[str] = []
    record = export_huggingface(broken, path=tmp_path / "1", progress=said.append)
    assert record.choices["attention"] == "eager"
    tried = [line.split(" with ")[1] for line in said if " with " in line]
    assert tried == ["sdpa attention", "eager attention"]
    with pytest.raises(ExportRefused, match="exported file fails on"):
        export_huggingface(broken, path=tmp_path / "2", attention="sdpa")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(Deaf, "another answer when it is padded on the right"), (MixesRows, "when it")],
)
def test_a_model_that_padding_or_rows_change_is_refused(
    tiny: Tiny, tmp_path: Path, wrong, message: str
) -> None:
    model = wrong(tiny("bert").config)
    with pytest.raises(ExportRefused, match=message):
        export_huggingface(model, path=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("t5", {}, r"encoder-decoder \(t5\)"),
        ("t5", {"task": "causal-lm"}, "encoder-decoder"),
        ("bert_mlm", {}, "predicts masked tokens"),
        ("bert", {"task": "causal-lm"}, "no head for causal-lm"),
        ("bert", {"task": "translation"}, "no task 'translation'"),
        ("bert", {"dtype": "float16"}, "dtype is for a directory"),
        ("bert", {"attention": "flash_attention_2"}, "cannot be traced"),
        ("bert", {"max_length": POSITIONS + 1}, f"has {POSITIONS} positions"),
        ("bert", {"max_batch_size": 0}, "take rows"),
        ("distilbert", {"token_types": True}, "takes no token_type_ids"),
    ],
)
def test_refusals_say_why(
    tiny: Tiny, tmp_path: Path, kind: str, options: dict, message: str
) -> None:
    with pytest.raises(ExportRefused, match=message) as caught:
        export_huggingface(tiny(kind), path=tmp_path, **options)
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_something_else_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ExportRefused, match="Linear is no model of transformers"):
        export_huggingface(torch.nn.Linear(2, 2), path=tmp_path)


# -- directories


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
def test_a_directory_without_the_network(tiny: Tiny, tmp_path: Path) -> None:
    model = tiny("bert")
    model.half().save_pretrained(tmp_path / "bert")
    record = export_huggingface(tmp_path / "bert", path=tmp_path / "1", token_types=False)
    assert record.choices["dtype"] == "float16"
    wide = export_huggingface(str(tmp_path / "bert"), path=tmp_path / "2", dtype="float32")
    assert wide.choices["dtype"] == "float32"
    golden = read_golden(tmp_path / "2")[0]
    assert golden.outputs["logits"].shape == (2, 3)


@pytest.mark.usefixtures("no_network")
def test_the_encoder_of_t5(tiny: Tiny, tmp_path: Path) -> None:
    tiny("t5").save_pretrained(tmp_path / "t5")
    with pytest.raises(ExportRefused, match="encoder-decoder"):
        export_huggingface(tmp_path / "t5", path=tmp_path / "1")
    record = export_huggingface(
        tmp_path / "t5", path=tmp_path / "2", task="embedding", max_length=30
    )
    assert record.architecture == "T5EncoderModel"
    assert record.outputs[0].shape == (WIDTH,)


@pytest.mark.parametrize(
    ("modes", "modules", "expected"),
    [
        ({"pooling_mode_cls_token": True}, ["Pooling"], ("cls", "false")),
        ({"pooling_mode_mean_tokens": True}, ["Pooling", "Normalize"], ("mean", "true")),
    ],
)
def test_sentence_transformers_say_how_they_pool(
    tiny: Tiny, tmp_path: Path, modes: dict, modules: list[str], expected: tuple[str, str]
) -> None:
    directory = sentence(tiny, tmp_path, modes, modules)
    record = export_huggingface(directory, path=tmp_path / "1")
    assert (record.choices["pooling"], record.choices["normalized"]) == expected


def sentence(tiny: Tiny, tmp_path: Path, modes: dict, modules: list[str]) -> Path:
    directory = tmp_path / "sentence"
    tiny("bert_base").save_pretrained(directory)
    entries = [{"path": "", "type": "sentence_transformers.models.Transformer"}]
    for at, kind in enumerate(modules, 1):
        (directory / f"{at}_{kind}").mkdir()
        entries.append({"path": f"{at}_{kind}", "type": f"sentence_transformers.models.{kind}"})
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    (directory / "modules.json").write_text(json.dumps(entries))
    return directory


def test_unknown_pooling_and_further_layers_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    directory = sentence(tiny, tmp_path, {"pooling_mode_max_tokens": True}, ["Pooling"])
    with pytest.raises(ExportRefused, match="pools by max_tokens"):
        export_huggingface(directory, path=tmp_path / "1")
    assert export_huggingface(directory, path=tmp_path / "1", pooling="mean").task == "embedding"
    entries = json.loads((directory / "modules.json").read_text())
    entries.append({"path": "2_Dense", "type": "sentence_transformers.models.Dense"})
    (directory / "modules.json").write_text(json.dumps(entries))
    (directory / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    with pytest.raises(ExportRefused, match="further layers behind the pooling: Dense"):
        export_huggingface(directory, path=tmp_path / "2")


@pytest.mark.usefixtures("no_network")
def test_directories_that_are_none(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ExportRefused, match="names of a hub are not looked up"):
        export_huggingface("bert-base-uncased", path=tmp_path / "1")
    with pytest.raises(ExportRefused, match=r"has no config\.json"):
        export_huggingface(tmp_path, path=tmp_path / "1")
    tiny("bert").save_pretrained(tmp_path / "bert")
    with pytest.raises(ExportRefused, match="they would be random"):
        export_huggingface(tmp_path / "bert", path=tmp_path / "1", task="causal-lm")
    config = tmp_path / "bert" / "config.json"
    told = json.loads(config.read_text())
    config.write_text(json.dumps({**told, "auto_map": {"AutoModel": "code.Model"}}))
    with pytest.raises(ExportRefused, match="code of its own"):
        export_huggingface(tmp_path / "bert", path=tmp_path / "1")
    assert not (tmp_path / "1").exists()
