"""What the exporter proves, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pytest_triton.export import ExportRefused, TensorSpec, export_torchscript  # noqa: E402
from pytest_triton.export.interface import Case  # noqa: E402
from pytest_triton.repository.sidecar import read_golden, read_sidecar  # noqa: E402

nn = torch.nn
# The tests load what was exported; TorchScript is deprecated upstream.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load:DeprecationWarning")


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x)


class Masked(nn.Module):
    """Creates a tensor, so its trace holds a device; two inputs of one variable length."""

    def forward(self, ids, mask):
        positions = torch.arange(ids.shape[1], device=ids.device)
        return ((ids + positions) * mask).sum(1, keepdim=True).float()


class BakesTheBatch(nn.Module):
    def forward(self, x):
        return x.reshape(int(x.shape[0]), -1) + torch.zeros(int(x.shape[0]), 1)


class BakesABranch(nn.Module):
    def forward(self, x):
        return x * 2 if float(x.sum()) > 0 else x * 3


class MixesRows(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


class Dropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(x)


class Half(nn.Module):
    def forward(self, x):
        return x.to(torch.bfloat16)


class Several(nn.Module):
    def forward(self, x):
        return x, (x * 2).to(torch.int64)


class Dictionary(nn.Module):
    def forward(self, x):
        return {"y": x}


ROWS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


def test_a_proven_export(tmp_path: Path) -> None:
    module = Linear()
    record = export_torchscript(module, {"x": ROWS}, path=tmp_path / "1", max_batch_size=16)
    assert {proof.batch: proof.traced for proof in record.parity} == {
        3: True, 1: False, 2: False, 16: False,
    }  # fmt: skip
    assert all(proof.max_abs <= 1e-5 for proof in record.parity)
    assert record.outputs == (TensorSpec("OUTPUT__0", "FP32", (2,)),)
    assert record.parameters == 10
    assert record.schema.startswith("forward(__torch__")
    assert read_sidecar(tmp_path / "1") == record
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == [
        "export.json", "golden.npz", "model.pt",
    ]  # fmt: skip
    loaded = torch.jit.load(str(tmp_path / "1" / "model.pt"))
    for case in read_golden(tmp_path / "1"):
        given = loaded(torch.from_numpy(case.inputs["x"])).detach().numpy()
        np.testing.assert_allclose(given, case.outputs["OUTPUT__0"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["trace", "script"])
def test_the_file_does_not_say_where_it_was_made(tmp_path: Path, method) -> None:
    examples = {"ids": np.ones((2, 5), np.int64), "mask": np.ones((2, 5), np.int64)}
    for keep in (False, True):
        export_torchscript(
            Masked(), examples, path=tmp_path / str(keep), method=method, keep_sources=keep
        )
    with ZipFile(tmp_path / "False" / "model.pt") as bare:
        written = b"".join(bare.read(name) for name in bare.namelist())
        assert str(Path(__file__).parent).encode() not in written
        assert str(Path(torch.__file__).parent).encode() not in written
    with ZipFile(tmp_path / "True" / "model.pt") as full:
        written = b"".join(full.read(name) for name in full.namelist())
        assert str(Path(__file__).parent).encode() in written


@pytest.mark.parametrize("method", ["trace", "script"])
@pytest.mark.parametrize("freeze", [False, True])
def test_named_axes_vary_in_the_proof(tmp_path: Path, method, freeze) -> None:
    record = export_torchscript(
        Masked(),
        {"mask": np.ones((2, 5), np.int64), "ids": np.ones((2, 5), np.int64)},
        path=tmp_path,
        inputs=[TensorSpec("mask", "INT64", ("n",)), TensorSpec("ids", "INT64", ("n",))],
        axes={"n": (1, 64)},
        ranges={"ids": (0, 1000)},
        method=method,
        freeze=freeze,
    )
    assert {proof.axes["n"] for proof in record.parity} == {1, 5, 33, 64}
    assert record.outputs[0].shape == (1,)
    assert record.frozen is freeze


def test_a_trace_asks_its_input_for_the_device(tmp_path: Path) -> None:
    examples = {"ids": np.ones((2, 5), np.int64), "mask": np.ones((2, 5), np.int64)}
    lifted = export_torchscript(Masked(), examples, path=tmp_path / "lifted")
    kept = export_torchscript(Masked(), examples, path=tmp_path / "kept", keep_devices=True)
    assert (lifted.device_constants, kept.device_constants) == ((), ("cpu",))
    # The meta device computes no values, and refuses to mix with the CPU as a GPU does.
    on_meta = [torch.ones(3, 7, dtype=torch.int64, device="meta") for _ in range(2)]
    module = torch.jit.load(str(tmp_path / "lifted" / "model.pt"), map_location="meta")
    assert module(*on_meta).shape == (3, 1)


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        pytest.param(BakesTheBatch(), {}, "fails on batch|is float32|differs", id="batch"),
        pytest.param(BakesABranch(), {}, "differs by", id="branch"),
        pytest.param(MixesRows(), {}, "rows of a batch influence each other", id="rows"),
        pytest.param(Half(), {"method": "script"}, "returns torch.bfloat16", id="bf16"),
        pytest.param(Dictionary(), {"method": "script"}, "forward returns dict", id="dict"),
        pytest.param(
            Linear(), {"outputs": [TensorSpec("y", "FP64", (2,))]}, "declared FP64", id="type"
        ),
        pytest.param(
            Linear(), {"outputs": [TensorSpec("y", "FP32", (3,))]}, r"declared \[3\]", id="shape"
        ),
        pytest.param(
            Linear(),
            {"outputs": [TensorSpec("y__1", "FP32", (2,))]},
            "'y__1' does not exist",
            id="index",
        ),
        pytest.param(
            Linear(), {"inputs": [TensorSpec("x", "UINT32", (4,))]}, "no UINT32", id="uint32"
        ),
        pytest.param(
            Linear(), {"inputs": [TensorSpec("z", "FP32", (4,))]}, "no example for z", id="example"
        ),
        pytest.param(
            Linear(),
            {"cases": [Case("wide", {"x": np.ones((1, 5), np.float32)})]},
            "module itself fails on wide",
            id="case",
        ),
    ],
)
def test_refusals_name_the_case_and_leave_nothing(
    tmp_path: Path, module, options: dict, message: str
) -> None:
    with pytest.raises(ExportRefused, match=message) as caught:
        export_torchscript(module, {"x": np.abs(ROWS)}, path=tmp_path / "m" / "1", **options)
    assert caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_branch_survives_scripting(tmp_path: Path) -> None:
    class Branch(nn.Module):
        def forward(self, x):
            if bool((x.sum() > 0).item()):
                return x * 2
            return x * 3

    record = export_torchscript(
        Branch(), {"x": ROWS}, path=tmp_path, method="script", max_batch_size=0
    )
    assert (record.method, record.max_batch_size) == ("script", 0)
    assert {proof.batch for proof in record.parity} == {0}


def test_train_mode_does_not_get_into_the_file_and_comes_back(tmp_path: Path) -> None:
    module = Dropout().train()
    export_torchscript(module, {"x": ROWS}, path=tmp_path)
    assert module.training
    assert module.drop.training
    assert not torch.jit.load(str(tmp_path / "model.pt")).training


def test_outputs_by_index_and_by_order(tmp_path: Path) -> None:
    swapped = [TensorSpec("b__1", "INT64", (4,)), TensorSpec("a__0", "FP32", (4,))]
    export_torchscript(Several(), {"x": ROWS}, path=tmp_path, outputs=swapped)
    golden = read_golden(tmp_path)[0].outputs
    assert golden["a__0"].dtype == np.float32
    assert golden["b__1"].dtype == np.int64


def test_inputs_by_index_whatever_the_order(tmp_path: Path) -> None:
    class Difference(nn.Module):
        def forward(self, a, b):
            return a - b

    examples = {"IN__1": ROWS, "IN__0": ROWS * 3}
    export_torchscript(Difference(), examples, path=tmp_path)
    golden = read_golden(tmp_path)[0]
    np.testing.assert_allclose(golden.outputs["OUTPUT__0"], ROWS * 2, atol=1e-6)


def test_the_callers_random_state_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    export_torchscript(Linear().double().float(), {"x": ROWS}, path=tmp_path)
    torch.manual_seed(5)
    module = Linear()
    torch.manual_seed(5)
    export_torchscript(module, {"x": ROWS}, path=tmp_path, seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_equal_seeds_give_equal_golden_outputs(tmp_path: Path) -> None:
    module = Linear()
    first, second, other = (
        export_torchscript(module, {"x": ROWS}, path=tmp_path / str(i), seed=seed)
        for i, seed in enumerate((1, 1, 2))
    )
    assert first.golden_sha256 == second.golden_sha256 != other.golden_sha256


def test_half_precision_has_a_wider_tolerance(tmp_path: Path) -> None:
    record = export_torchscript(Linear().half(), {"x": ROWS.astype(np.float16)}, path=tmp_path)
    assert (record.rtol, record.atol) == (1e-2, 1e-3)
    assert record.outputs[0].datatype == "FP16"


def test_no_device_is_left_anywhere_in_the_file(tmp_path: Path) -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Masked()

        def forward(self, ids, mask):
            return self.inner(ids, mask) + torch.zeros(1, device=ids.device)

    examples = {"ids": np.ones((2, 5), np.int64), "mask": np.ones((2, 5), np.int64)}
    for keep in (False, True):
        export_torchscript(Outer(), examples, path=tmp_path / str(keep), keep_devices=keep)
        with ZipFile(tmp_path / str(keep) / "model.pt") as file:
            code = b"".join(file.read(name) for name in file.namelist() if name.endswith(".py"))
        assert (b'device("cpu")' in code) is keep


def test_a_long_proof_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    export_torchscript(Linear(), {"x": ROWS}, path=tmp_path / "1", progress=said.append)
    assert said == ["tracing the module", "proving 4 cases against eager"]
    monkeypatch.setattr("pytest_triton.export.parity.PATIENCE", -1.0)
    export_torchscript(Linear(), {"x": ROWS}, path=tmp_path / "2", progress=said.append)
    assert said[4:] == [
        "proving 1/4 traced", "proving 2/4 batch1", "proving 3/4 batch2", "proving 4/4 batch8",
    ]  # fmt: skip
