"""What is said of a directory of weights before anything of it is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pytest_triton.cli import cli
from pytest_triton.errors import Misused, ToolError
from pytest_triton.llama.architecture import SHAPES, parameters, read, tensors
from pytest_triton.llama.checkpoint import check_weights

_MAKE = """
import json, sys
from transformers import LlamaConfig, LlamaForCausalLM
config = LlamaConfig(vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                     num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128)
model = LlamaForCausalLM(config)
model.save_pretrained(sys.argv[1], max_shard_size="20KB")
print(json.dumps({name: list(value.shape) for name, value in model.state_dict().items()}))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A directory with shards, and what transformers says of its weights."""
    directory = tmp_path_factory.mktemp("weights") / "tiny"
    done = subprocess.run(
        [sys.executable, "-c", _MAKE, str(directory)], capture_output=True, text=True, check=True
    )
    return directory, done.stdout


@pytest.fixture
def copy(made: tuple[Path, str], tmp_path: Path) -> Path:
    target = tmp_path / "copy"
    target.mkdir()
    for path in made[0].iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def _change(directory: Path, **more: Any) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **more}))


def test_llama_2_7b_has_the_published_number_of_weights() -> None:
    assert parameters(SHAPES["7b"]) == 6_738_415_616


def test_names_and_shapes_are_those_of_transformers(made: tuple[Path, str]) -> None:
    directory, said = made
    config = read(directory)
    assert config["num_key_value_heads"] == 2
    assert {name: list(shape) for name, shape in tensors(config).items()} == json.loads(said)


def test_whole_weights_pass(made: tuple[Path, str]) -> None:
    directory, _ = made
    assert len(list(directory.glob("*.safetensors"))) > 1
    check_weights(directory, read(directory))


def test_a_shard_that_was_not_copied(copy: Path) -> None:
    lost = sorted(copy.glob("*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(ToolError, match=rf"lacks {lost.name}, which .*index"):
        check_weights(copy, read(copy))


def test_a_shard_that_is_cut(copy: Path) -> None:
    cut = sorted(copy.glob("*.safetensors"))[1]
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(ToolError, match=rf"{cut.name} is not whole"):
        check_weights(copy, read(copy))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_hidden_layers": 3}, r"no weights for model\.layers\.2\..* and 6 more"),
        ({"hidden_size": 64}, r"embed_tokens\.weight is \[300, 32\], config.json says \[300, 64\]|"
                              r"is \[32\], config"),
    ],
)  # fmt: skip
def test_a_configuration_of_another_model(copy: Path, change: dict[str, Any], said: str) -> None:
    _change(copy, **change)
    with pytest.raises(ToolError, match=said):
        check_weights(copy, read(copy))


def test_pickled_weights_are_not_read(tmp_path: Path, copy: Path) -> None:
    for path in copy.glob("*.safetensors*"):
        path.unlink()
    (copy / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ToolError, match=r"no model\.safetensors, only pytorch_model\.bin"):
        check_weights(copy, read(copy))


def test_an_index_that_leads_elsewhere(copy: Path) -> None:
    index = copy / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../etc/passwd"}}))
    with pytest.raises(ToolError, match="outside of the directory"):
        check_weights(copy, read(copy))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "bert"}, "type 'bert', not 'llama'"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "code of its own"),
        ({"hidden_size": "32"}, "hidden_size is '32'"),
        ({"quantization_config": {"bits": 4}}, "quantized"),
        ({"attention_bias": True}, "biases"),
        ({"num_key_value_heads": "2"}, "num_key_value_heads is '2'"),
        ({"max_position_embeddings": "x"}, "max_position_embeddings is 'x'"),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "dynamic"),
    ],
)
def test_configurations_that_are_refused(copy: Path, change: dict[str, Any], said: str) -> None:
    _change(copy, **change)
    with pytest.raises(Misused, match=said):
        read(copy)


def _run(*arguments: str) -> tuple[int, str]:
    """As ``main`` does it."""
    try:
        result = CliRunner().invoke(
            cli, ["llama", "--device", "cpu", *arguments], catch_exceptions=False
        )
    except ToolError as error:
        return (2 if isinstance(error, Misused) else 12), str(error)
    return result.exit_code, result.output


def test_the_command_says_so_before_it_loads(copy: Path) -> None:
    sorted(copy.glob("*.safetensors"))[0].unlink()
    code, said = _run(str(copy), "--max-length", "100")
    assert code == 12, said
    assert "copy every file of the checkpoint" in said


def test_a_prompt_without_a_tokenizer(copy: Path) -> None:
    code, said = _run(str(copy), "--prompt", "hello", "--max-length", "100")
    assert code == 2, said
    assert "has no tokenizer.json" in said
    code, said = _run("--prompt", "hello")
    assert (code, "random weights have no tokenizer" in said) == (2, True), said


@pytest.mark.parametrize("text", ["{}", "no json"])
def test_a_tokenizer_that_is_not_whole(copy: Path, text: str) -> None:
    (copy / "tokenizer.json").write_text(text)
    code, said = _run(str(copy), "--max-length", "100")
    assert code == 12, said
    assert "tokenizer in" in said
    assert "cannot be read" in said


def test_a_repository_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, said = _run("--form", "stream", "--build-only", "--repository", str(tmp_path / "file/m"))
    assert code in (2, 12), said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--build-only",), "--build-only keeps nothing"),
        (("--max-length", "5000"), "the model has 1024 positions"),
        (("--tokens", "500"), "longer than --max-length 512"),
        (("--streams", "0"), "whole numbers of at least 1"),
        (("--release", "1.0"), "1.0"),
    ],
)
def test_options_that_cannot_be_meant(options: tuple[str, ...], said: str) -> None:
    code, text = _run(*options)
    assert code == 2, text
    assert said in text
