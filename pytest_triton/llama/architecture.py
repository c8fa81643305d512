"""The architecture of a Llama: its public configuration, its tensors, and the memory it needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_triton.errors import Misused, ToolError

Config = dict[str, Any]
#: Bytes of one element.
WIDTH = {"float32": 4, "float16": 2, "bfloat16": 2}

#: Known shapes. "7b" is the public configuration of Llama-2-7B; "small" has every part of it
#: and fits any laptop: its weights are spread more widely, so that its text does not repeat.
SHAPES: Mapping[str, Config] = {
    "7b": {
        "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "initializer_range": 0.02,
        "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False,
    },
    "small": {
        "vocab_size": 4096, "hidden_size": 256, "intermediate_size": 688,
        "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 8,
        "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "initializer_range": 0.1,
        "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False,
    },
}  # fmt: skip
_NUMBERS = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
            "num_attention_heads")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Llama:
    """What is served: its configuration, and where its weights come from."""

    config: Config
    #: A directory that save_pretrained() wrote; None: random weights of ``seed``.
    weights: Path | None
    seed: int
    #: "float32", "float16" or "bfloat16".
    dtype: str
    #: "cpu" or "gpu".
    device: str
    #: Streams at once, and tokens that each may have, prompt included.
    streams: int
    max_length: int
    #: Of torch on a CPU, in the server's process and in the reference's alike.
    threads: int = 1

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return int(self.config["vocab_size"])

    @property
    def weight_bytes(self) -> int:
        """Bytes of one copy of the weights."""
        return parameters(self.config) * WIDTH[self.dtype]

    @property
    def cache_bytes(self) -> int:
        """Bytes of the key-value cache of the stream."""
        config = self.config
        row = 2 * config["num_hidden_layers"] * key_value_heads(config) * head_width(config)
        return int(row * self.streams * self.max_length * WIDTH[self.dtype])

    @property
    def torch_device(self) -> str:
        """As torch calls it."""
        return "cuda" if self.device == "gpu" else "cpu"

    @property
    def torch_threads(self) -> int:
        """0 on a GPU, where they do not matter: torch's own number."""
        return 0 if self.device == "gpu" else self.threads

    def order(self) -> dict[str, Any]:
        """What a process of its own needs to make the same model."""
        return {
            "config": self.config, "weights": str(self.weights or ""), "seed": self.seed,
            "dtype": self.dtype, "device": self.torch_device, "threads": self.torch_threads,
        }  # fmt: skip


def head_width(config: Mapping[str, Any]) -> int:
    """Numbers in a key or value of one head."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def key_value_heads(config: Mapping[str, Any]) -> int:
    """Heads that have keys and values of their own."""
    return int(config.get("num_key_value_heads") or config["num_attention_heads"])


def tensors(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every weight, as checkpoints of LlamaForCausalLM name them."""
    hidden, wide = int(config["hidden_size"]), int(config["intermediate_size"])
    words, width = int(config["vocab_size"]), head_width(config)
    query = int(config["num_attention_heads"]) * width
    value = key_value_heads(config) * width
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (words, hidden)}
    for layer in range(int(config["num_hidden_layers"])):
        of: dict[str, tuple[int, ...]] = {
            "input_layernorm": (hidden,), "self_attn.q_proj": (query, hidden),
            "self_attn.k_proj": (value, hidden), "self_attn.v_proj": (value, hidden),
            "self_attn.o_proj": (hidden, query), "post_attention_layernorm": (hidden,),
            "mlp.gate_proj": (wide, hidden), "mlp.up_proj": (wide, hidden),
            "mlp.down_proj": (hidden, wide),
        }  # fmt: skip
        found |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in of.items()}
    found["model.norm.weight"] = (hidden,)
    if not config.get("tie_word_embeddings"):
        found["lm_head.weight"] = (words, hidden)
    return found


def parameters(config: Mapping[str, Any]) -> int:
    """Number of weights; Llama-2-7B has 6,738,415,616."""
    total = 0
    for shape in tensors(config).values():
        size = 1
        for length in shape:
            size *= length
        total += size
    return total


def read(directory: Path) -> Config:
    """config.json of a directory. Raises Misused where it is no Llama that can be served."""
    path = directory / "config.json"
    if not path.is_file():
        raise Misused(
            f"{directory} has no config.json: it is no directory of a HuggingFace model",
            "give the directory that save_pretrained() wrote, or that you downloaded",
        )
    try:
        config = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise ToolError(f"{path} cannot be read: {error}", "write the model again") from None
    if not isinstance(config, dict) or config.get("model_type") != "llama":
        kind = config.get("model_type") if isinstance(config, dict) else None
        raise Misused(
            f"{path} describes a model of type {kind!r}, not 'llama'",
            "other models of transformers: pytest-triton compare",
        )
    if config.get("auto_map"):
        raise Misused(f"{path} asks for code of its own (auto_map), which is not run",
                      "save the model as a plain LlamaForCausalLM")  # fmt: skip
    if config.get("quantization_config"):
        raise Misused(f"{path} describes quantized weights", "give float weights")
    for name in _NUMBERS:
        if not isinstance(config.get(name), int) or config[name] < 1:
            raise Misused(f"{path}: {name} is {config.get(name)!r}", "write the model again")
    for name in ("num_key_value_heads", "head_dim", "max_position_embeddings"):
        if not isinstance(config.get(name) or 1, int) or (config.get(name) or 1) < 1:
            raise Misused(f"{path}: {name} is {config[name]!r}", "write the model again")
    scaling = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if isinstance(scaling, dict) and "dynamic" in (scaling.get("type"), scaling.get("rope_type")):
        raise Misused(
            f"{path}: positions are scaled by the length of a text (dynamic), which differs for "
            "streams that share a step",
            "serve a model with fixed scaling",
        )
    if config.get("attention_bias") or config.get("mlp_bias"):
        raise Misused(f"{path} describes a Llama with biases, which no public one has",
                      "pytest-triton compare takes any model of transformers")  # fmt: skip
    return config
