"""Frozen and optimised files: made, proven, and measured; formats that have an exporter."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pytest_triton.export import (  # noqa: E402
    ExportRefused,
    TorchScriptExporter,
    Variant,
    export_torchscript,
    exporter_of,
    known_formats,
    register,
    variants,
)
from pytest_triton.export.timing import compare_times  # noqa: E402
from pytest_triton.export.variants import choose  # noqa: E402
from pytest_triton.repository.sidecar import read_sidecar  # noqa: E402

nn = torch.nn
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.load:DeprecationWarning")
ROWS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "SECONDS", 0.02)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def convolution() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten())


def expected(low: float, high: float) -> str:
    if high < 0.95 or low > 1.05:
        return "faster" if high < 0.95 else "slower"
    return "no difference" if low >= 0.9 and high <= 1.1 else "inconclusive"


def test_both_are_measured_at_one_row_and_at_the_largest_batch(tmp_path: Path) -> None:
    record = export_torchscript(net(), {"x": ROWS}, path=tmp_path, measured=True)
    assert (record.variant, record.frozen) == ("plain", False)
    assert {(entry.name, entry.batch) for entry in record.variants} == {
        (name, batch) for name in ("frozen", "optimized") for batch in (1, 8)
    }
    for entry in record.variants:
        assert 0 < entry.low <= entry.ratio <= entry.high
        assert entry.pairs >= 15
        assert entry.plain_ms > 0
        assert entry.verdict == expected(entry.low, entry.high)
    assert f"torch {torch.__version__}" in record.measured_on
    assert "thread" in record.measured_on
    assert read_sidecar(tmp_path) == record


def test_nothing_is_claimed_that_was_not_measured(tmp_path: Path) -> None:
    record = export_torchscript(net(), {"x": ROWS}, path=tmp_path, freeze=True)
    assert (record.variant, record.frozen) == ("frozen", True)
    assert (record.variants, record.measured_on) == ((), "")
    file = torch.jit.load(str(tmp_path / "model.pt"))
    assert not list(file.parameters())


def test_a_variant_that_cannot_be_written_is_said_and_not_taken(tmp_path: Path) -> None:
    image = {"input": np.ones((2, 1, 8, 8), np.float32)}
    record = export_torchscript(convolution(), image, path=tmp_path / "1", variant="fastest")
    impossible = [entry for entry in record.variants if entry.verdict == "not possible"]
    assert [entry.name for entry in impossible] == ["optimized"]
    assert impossible[0].reason
    assert record.variant in ("plain", "frozen")
    with pytest.raises(ExportRefused, match="cannot write the optimized file"):
        export_torchscript(convolution(), image, path=tmp_path / "2", variant="optimized")
    assert not (tmp_path / "2").exists()


def entry(name: str, verdict: str, ratio: float, batch: int = 1) -> Variant:
    return Variant(name, batch, verdict, ratio=ratio, low=ratio, high=ratio)


@pytest.mark.parametrize(
    ("measured", "best"),
    [
        ([], "plain"),
        ([entry("frozen", "no difference", 0.97), entry("optimized", "no difference", 1)], "plain"),
        ([entry("frozen", "faster", 0.8), entry("frozen", "no difference", 1, 8)], "frozen"),
        ([entry("frozen", "faster", 0.8), entry("frozen", "slower", 1.2, 8)], "plain"),
        ([entry("frozen", "faster", 0.8), entry("frozen", "inconclusive", 1, 8)], "plain"),
        ([entry("frozen", "faster", 0.8), entry("optimized", "faster", 0.5)], "optimized"),
        ([entry("frozen", "faster", 0.8), entry("optimized", "faster", 0.79)], "frozen"),
        ([entry("frozen", "no difference", 1), entry("optimized", "not possible", 0)], "plain"),
    ],
)
def test_fastest_is_faster_somewhere_and_slower_nowhere(measured: list, best: str) -> None:
    assert choose(measured) == best


def test_the_fastest_is_written_only_when_it_is_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporting = "pytest_triton.export.torchscript"
    monkeypatch.setattr(f"{exporting}.choose", lambda measured: "frozen")
    record = export_torchscript(net(), {"x": ROWS}, path=tmp_path / "1", variant="fastest")
    assert record.variant == "frozen"

    def wrong(compiled, name):
        return compiled if name == "plain" else torch.jit.trace(nn.Flatten(), torch.ones(3, 4))

    monkeypatch.setattr(f"{exporting}.vary", wrong)
    record = export_torchscript(net(), {"x": ROWS}, path=tmp_path / "2", variant="fastest")
    assert record.variant == "plain"
    said = {one.verdict for one in record.variants if one.name == "frozen"}
    assert said == {"not possible"}


def test_times_are_compared_in_turn() -> None:
    def work(count: int):
        return lambda: sum(range(count))

    thrice = compare_times(work(20_000), work(60_000), seconds=0.5, seed=1)
    assert thrice.low > 1.2
    assert thrice.ratio > 1.8
    same = compare_times(work(20_000), work(20_000), seconds=0.3, seed=1)
    assert same.low < 1.1
    assert same.high > 0.9
    assert 15 <= same.pairs <= 200


# -- formats


def test_formats_by_name() -> None:
    assert isinstance(exporter_of("torchscript", method="script"), TorchScriptExporter)
    assert "torchscript" in known_formats()
    for name, reason in (("pt2", r"from release 26\.03 on"), ("gguf", "no exporter")):
        with pytest.raises(ExportRefused, match=reason) as caught:
            exporter_of(name)
        assert "formats are torchscript" in caught.value.remedy


def test_a_further_format(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("pytest_triton.export.formats")

    class Archive:
        format, file_name, platform = "pt2", "model.pt2", "torch_aoti"

        def export(self, *_, **__):
            raise NotImplementedError

    monkeypatch.setattr(module, "_BUILT", dict(module._BUILT))
    register("pt2", Archive)
    assert exporter_of("pt2").file_name == "model.pt2"
