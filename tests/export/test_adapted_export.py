"""Modules that Triton's backend would not take as they are, and files that it would refuse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pytest_triton.export import ExportRefused, TensorSpec, export_torchscript  # noqa: E402
from pytest_triton.repository.sidecar import read_golden  # noqa: E402

nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load:DeprecationWarning")
ROWS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


@dataclass
class Answer:
    scores: torch.Tensor
    cache: object = None


class Dictionary(nn.Module):
    def forward(self, x):
        return {"scores": x * 2, "hidden": x.sum(1, keepdim=True)}


class Structured(nn.Module):
    def forward(self, x):
        return Answer(x * 3)


class OnePerRow(nn.Module):
    def forward(self, x):
        return x.sum(1)


class Keywords(nn.Module):
    """The second argument is left out: position would put the third one in its place."""

    def forward(self, x, scale=None, shift=None):
        x = x if scale is None else x * scale
        return x if shift is None else x + shift


class Narrow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2, dtype=torch.bfloat16)

    def forward(self, x):
        return self.layer(x)


class Mixed(nn.Module):
    def forward(self, x):
        return {"scores": x, "layers": [x, x]}


class Optional(nn.Module):
    def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return x * scale


class Pair(nn.Module):
    def forward(self, a, b):
        return a - b


def loaded(directory: Path):
    return torch.jit.load(str(directory / "model.pt"))


def test_a_dict_becomes_a_tuple_with_its_names(tmp_path: Path) -> None:
    record = export_torchscript(Dictionary(), {"x": ROWS}, path=tmp_path)
    assert record.outputs == (
        TensorSpec("scores__0", "FP32", (4,)),
        TensorSpec("hidden__1", "FP32", (1,)),
    )
    assert record.adapted == ("outputs by key: scores, hidden",)
    assert "Tensor x" in record.schema
    scores, hidden = loaded(tmp_path)(torch.from_numpy(ROWS))
    np.testing.assert_allclose(scores, ROWS * 2)
    np.testing.assert_allclose(hidden, ROWS.sum(1, keepdims=True), atol=1e-6)


def test_declared_outputs_choose_among_the_keys(tmp_path: Path) -> None:
    chosen = [TensorSpec("hidden__0", "FP32", (1,))]
    export_torchscript(Dictionary(), {"x": ROWS}, path=tmp_path / "1", outputs=chosen)
    assert set(read_golden(tmp_path / "1")[0].outputs) == {"hidden__0"}
    np.testing.assert_allclose(
        loaded(tmp_path / "1")(torch.from_numpy(ROWS)), ROWS.sum(1, keepdims=True), atol=1e-6
    )
    with pytest.raises(ExportRefused, match="scores, hidden, and no logits"):
        export_torchscript(
            Dictionary(), {"x": ROWS}, path=tmp_path / "2",
            outputs=[TensorSpec("logits", "FP32", (4,))],
        )  # fmt: skip


def test_a_dataclass_without_its_empty_fields(tmp_path: Path) -> None:
    record = export_torchscript(Structured(), {"x": ROWS}, path=tmp_path)
    assert [tensor.name for tensor in record.outputs] == ["scores"]
    np.testing.assert_allclose(loaded(tmp_path)(torch.from_numpy(ROWS)), ROWS * 3)


def test_what_is_no_tensor_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportRefused, match="in which layers is list"):
        export_torchscript(Mixed(), {"x": ROWS}, path=tmp_path)
    chosen = [TensorSpec("scores", "FP32", (4,))]
    export_torchscript(Mixed(), {"x": ROWS}, path=tmp_path, outputs=chosen)


def test_one_value_per_row_gets_a_dimension(tmp_path: Path) -> None:
    record = export_torchscript(OnePerRow(), {"x": ROWS}, path=tmp_path)
    assert record.outputs[0].shape == (1,)
    assert loaded(tmp_path)(torch.from_numpy(ROWS)).shape == (3, 1)


def test_arguments_are_passed_by_keyword_where_position_would_be_wrong(tmp_path: Path) -> None:
    record = export_torchscript(Keywords(), {"shift": ROWS, "x": ROWS * 10}, path=tmp_path)
    assert record.naming == "arguments"
    assert "Tensor x, Tensor shift" in record.schema
    given = loaded(tmp_path)(torch.from_numpy(ROWS * 10), torch.from_numpy(ROWS))
    np.testing.assert_allclose(given, ROWS * 11, rtol=1e-6)


def test_bfloat16_inside_is_fp32_outside(tmp_path: Path) -> None:
    module = Narrow()
    record = export_torchscript(module, {"x": ROWS}, path=tmp_path)
    assert record.adapted == ("FP32 inputs as bfloat16", "bfloat16 outputs as FP32")
    assert [t.datatype for t in (*record.inputs, *record.outputs)] == ["FP32", "FP32"]
    with torch.no_grad():
        expected = module(torch.from_numpy(ROWS).bfloat16()).float()
        np.testing.assert_array_equal(loaded(tmp_path)(torch.from_numpy(ROWS)), expected)


def test_outputs_vary_only_where_they_do(tmp_path: Path) -> None:
    class Both(nn.Module):
        def forward(self, x):
            return x * 2, x.mean(1), x.repeat_interleave(2, 1)

    record = export_torchscript(
        Both(), {"x": np.ones((2, 5, 3), np.float32)}, path=tmp_path,
        inputs=[TensorSpec("x", "FP32", ("length", 3))], axes={"length": (1, 20)},
    )  # fmt: skip
    assert [tensor.shape for tensor in record.outputs] == [("length", 3), (3,), (-1, 3)]


@pytest.mark.parametrize(
    ("module", "examples", "options", "message"),
    [
        pytest.param(
            Optional(), {"x": ROWS}, {"method": "script"}, "argument 'scale' is float",
            id="other than a tensor",
        ),
        pytest.param(
            Pair(), {"IN__0": ROWS, "IN__2": ROWS}, {}, r"input names are \[0, 2\]", id="gap"
        ),
        pytest.param(
            Pair(), {"a__1": ROWS, "b__1": ROWS}, {}, r"input names are \[1, 1\]", id="twice"
        ),
        pytest.param(
            Pair(), {"a": ROWS},
            {"method": "script", "outputs": [TensorSpec("OUTPUT__0", "FP32", (4,))]},
            "forward takes 2 tensors", id="count",
        ),
        pytest.param(Pair(), {"a": ROWS}, {}, "module itself fails on the example", id="missing"),
        pytest.param(
            OnePerRow(), {"x": np.float32(1)}, {}, "no batch dimension", id="no batch"
        ),
    ],
)  # fmt: skip
def test_what_triton_would_not_load(
    tmp_path: Path, module, examples: dict, options: dict, message: str
) -> None:
    with pytest.raises(ExportRefused, match=message) as caught:
        export_torchscript(module, examples, path=tmp_path, **options)
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_names_decide_the_convention(tmp_path: Path) -> None:
    for names, convention in (
        (("a", "b"), "arguments"),
        (("IN__0", "IN__1"), "index"),
        (("left", "right"), "order"),
    ):
        record = export_torchscript(
            Pair(), dict(zip(names, (ROWS * 3, ROWS), strict=True)), path=tmp_path / convention
        )
        assert record.naming == convention
        golden = read_golden(tmp_path / convention)[0]
        np.testing.assert_allclose(golden.outputs["OUTPUT__0"], ROWS * 2, atol=1e-6)
