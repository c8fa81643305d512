"""Rules PT030 and PT013: what the code of a TorchScript file says of types and dimensions."""

from __future__ import annotations

from pathlib import Path

import corpus_modules
import pytest
from lint_model import write

from pytest_triton.repository.lint import Finding, lint

pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

X = 'input [ { name: "x" data_type: TYPE_%s dims: [ 1, 4 ] } ]\n'
Y = 'output [ { name: "y" data_type: TYPE_FP32 dims: [ 1, 2 ] } ]\n'


def told(tmp_path: Path, module: str, config: str) -> list[Finding]:
    tmp_path.mkdir(exist_ok=True)
    root = write(tmp_path, f'platform: "pytorch_libtorch"\n{config}', {"1/": ""})
    corpus_modules.MODULES[module](root / "m" / "1" / "model.pt")
    return [one for one in lint(root).findings if one.rule in ("PT013", "PT030")]


@pytest.mark.parametrize(
    ("module", "declared", "weights"),
    [
        ("half_layers", "FP32", "FP16"),
        ("half_layers", "FP64", "FP16"),
        ("layers", "FP16", "FP32"),
        ("layers", "FP64", "FP32"),
    ],
)
def test_another_type_than_the_weights(
    tmp_path: Path, module: str, declared: str, weights: str
) -> None:
    (one,) = told(tmp_path, module, X % declared + Y)
    assert (one.rule, one.severity, one.line, one.column) == ("PT030", "warning", 2, 32)
    assert f"'x' is TYPE_{declared} and meets weights of {weights}" in one.message
    assert one.fix.startswith(f"write TYPE_{weights}, or convert it in forward:")


@pytest.mark.parametrize(
    ("module", "declared"),
    [
        ("half_layers", "FP16"),
        ("layers", "FP32"),
        ("half_inside", "FP32"),
        ("half_inside", "FP64"),
        # Triton refuses it at the load (PT008).
        ("layers", "BF16"),
    ],
)
def test_the_type_of_the_weights_or_a_conversion(
    tmp_path: Path, module: str, declared: str
) -> None:
    assert not told(tmp_path, module, X % declared + Y)


def test_bfloat16_can_only_be_reached_by_a_conversion(tmp_path: Path) -> None:
    (one,) = told(tmp_path, "bfloat16_layers", X % "FP32" + Y)
    assert "weights of BF16" in one.message
    assert one.fix == "convert it in forward:  .bfloat16()"


def test_integers_reach_the_first_layer_as_integers(tmp_path: Path) -> None:
    (one,) = told(tmp_path, "layers", X % "UINT8" + Y)
    assert "'x' is TYPE_UINT8 and meets weights of FP32" in one.message


def test_a_count_that_is_wrong_is_enough(tmp_path: Path) -> None:
    """PT001 says it; nobody knows which argument gets what."""
    more = 'input [ { name: "z" data_type: TYPE_FP32 dims: [ 1 ] } ]\n'
    assert not told(tmp_path, "half_layers", X % "FP32" + more + Y)


def test_an_output_without_dimensions(tmp_path: Path) -> None:
    (one,) = told(tmp_path, "total", X % "FP32" + Y)
    assert (one.rule, one.severity, one.line) == ("PT013", "error", 3)
    assert "output 'y' is a tensor without dimensions in 1/model.pt" in one.message


def test_the_element_that_an_index_names(tmp_path: Path) -> None:
    outputs = 'output [ { name: "m__0" data_type: TYPE_FP32 dims: [ 1 ] } ]\n'
    assert not told(tmp_path / "a", "total_and_rows", X % "FP32" + outputs)
    (one,) = told(tmp_path / "b", "total_and_rows", X % "FP32" + outputs.replace("m__0", "m__1"))
    assert "'m__1'" in one.message


def test_what_batch_output_scatters_may_be_without_dimensions(tmp_path: Path) -> None:
    """The backend lets it pass; whether it can be scattered is another matter."""
    scattered = (
        "batch_output [ { target_name: [ \"y\" ] kind: BATCH_SCATTER_WITH_INPUT_SHAPE "
        "source_input: [ \"x\" ] } ]\n"
    )  # fmt: skip
    assert not told(tmp_path, "total", X % "FP32" + Y + scattered)
