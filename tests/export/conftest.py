"""Tiny models of transformers, from configurations and a seed: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

VOCABULARY, POSITIONS, WIDTH = 99, 40, 32
_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
#: Name -> class and configuration.
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("BertForSequenceClassification", "BertConfig",
             {"id2label": {0: "neg", 1: "neu", 2: "pos"}}),
    "bert_base": ("BertModel", "BertConfig", {}),
    "bert_mlm": ("BertForMaskedLM", "BertConfig", {}),
    "distilbert": ("DistilBertForSequenceClassification", "DistilBertConfig",
                   {"dim": WIDTH, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}),
    # Positions are counted from behind the padding token's own.
    "roberta": ("RobertaForSequenceClassification", "RobertaConfig",
                {"type_vocab_size": 1, "max_position_embeddings": POSITIONS + 2}),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config",
             {"n_embd": WIDTH, "n_layer": 2, "n_head": 4, "n_positions": POSITIONS,
              "bos_token_id": 1, "eos_token_id": 1}),
    "gpt2_classifier": ("GPT2ForSequenceClassification", "GPT2Config",
                        {"n_embd": WIDTH, "n_layer": 2, "n_head": 4, "n_positions": POSITIONS,
                         "bos_token_id": 1, "eos_token_id": 1}),
    "llama": ("LlamaForCausalLM", "LlamaConfig", {"num_key_value_heads": 2}),
    "t5": ("T5ForConditionalGeneration", "T5Config",
           {"d_model": WIDTH, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}),
}  # fmt: skip

Tiny = Callable[..., Any]


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    """``tiny("bert", **config)``: a seeded model whose weights are large enough to differ."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)  # tiny models gain nothing from more, and others use the cores

    def make(kind: str, **changed: Any) -> Any:
        model, config, own = KINDS[kind]
        shape = dict(_SHAPE) if "n_embd" not in own and "d_model" not in own else {
            "vocab_size": VOCABULARY
        }  # fmt: skip
        if "n_positions" not in own and kind != "t5":
            shape["max_position_embeddings"] = POSITIONS
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            made = getattr(transformers, model)(
                getattr(transformers, config)(**{**shape, **own, **changed})
            )
            for parameter in made.parameters():
                if parameter.dim() > 1:
                    torch.nn.init.normal_(parameter, std=0.2)
        return made.eval()

    return make
