"""Arguments followed through the code of an archive, beside what torch does with the same file."""

from __future__ import annotations

import inspect
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import flow_modules
import pytest
import torch

from pytest_triton.repository.archive import Archive, read_archive
from pytest_triton.repository.archive.sources import MAX_FUNCTION

pytestmark = pytest.mark.filterwarnings("ignore")

MODULES: dict[str, type[torch.nn.Module]] = {
    name: made
    for name, made in vars(flow_modules).items()
    if inspect.isclass(made) and made.__module__ == "flow_modules"
}
TYPES = {
    "FP16": torch.float16, "BF16": torch.bfloat16, "FP32": torch.float32, "FP64": torch.float64,
    "UINT8": torch.uint8, "INT64": torch.int64, "BOOL": torch.bool,
}  # fmt: skip
FLOATING = ("FP16", "BF16", "FP32", "FP64")
#: The argument that meets a weight.
MEETING = {"Layers": 0, "Convolution": 0, "Normalised": 0, "Product": 0, "Second": 1}
WITHOUT_DIMENSIONS = {"Sum": (0,), "Scaled": (0,), "Largest": (1,)}


def traced(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> object:
    return torch.jit.trace(module, given)


WAYS: dict[str, Callable[[torch.nn.Module, tuple[torch.Tensor, ...]], object]] = {
    "scripted": lambda module, given: torch.jit.script(module),
    "traced": traced,
    "frozen": lambda module, given: torch.jit.freeze(torch.jit.script(module)),
}


def tensors(name: str, kind: torch.dtype) -> tuple[torch.Tensor, ...]:
    count = len(inspect.signature(MODULES[name].forward).parameters) - 1
    return tuple(torch.ones(1, 4).to(kind) for _ in range(count))


def saved(name: str, way: str, weights: str, path: Path) -> tuple[Path, Archive]:
    module = MODULES[name]().eval()
    if name != "Mixed":
        module = module.to(TYPES[weights])
    module.requires_grad_(False)
    # What Integers takes are integers.
    given = tensors(name, torch.long if name == "Integers" else TYPES[weights])
    torch.jit.save(WAYS[way](module, given), str(path))
    archive = read_archive(path)
    assert not archive.problem
    return path, archive


def fails(path: Path, given: tuple[torch.Tensor, ...]) -> bool:
    try:
        torch.jit.load(str(path))(*given)
    except RuntimeError:
        return True
    return False


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("weights", ["FP16", "BF16", "FP32", "FP64"])
@pytest.mark.parametrize("name", MODULES)
def test_what_is_told_to_fail_fails(name: str, weights: str, way: str, tmp_path: Path) -> None:
    if name == "Mixed" and weights != "FP32":
        pytest.skip("it takes FP32")
    path, archive = saved(name, way, weights, tmp_path / "model.pt")
    expected = MEETING.get(name)
    if way == "traced" and name == "Normalised":
        expected = None  # numbers are tensors there: who knows whether they convert
    if way == "traced" and name == "ConvertingInBranch":
        expected = 0  # nothing was left to do for the input of the trace
    assert {use.argument for use in archive.weights} == ({expected} - {None})
    for use in archive.weights:
        assert use.type == weights
        for given in TYPES:
            if given != weights and (given in FLOATING or use.exact):
                assert fails(path, tensors(name, TYPES[given])), (use, given)
        assert not fails(path, tensors(name, TYPES[weights]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [name for name in MODULES if "Sum" in name or name in (
    *WITHOUT_DIMENSIONS, "Layers")])  # fmt: skip
def test_results_without_dimensions(name: str, way: str, tmp_path: Path) -> None:
    path, archive = saved(name, way, "FP32", tmp_path / "model.pt")
    expected = WITHOUT_DIMENSIONS.get(name, ())
    if (name, way) == ("Scaled", "traced"):
        expected = ()  # 100 is a tensor there
    assert archive.scalars == expected
    result = torch.jit.load(str(path))(*tensors(name, torch.float32))
    elements = result if isinstance(result, tuple) else (result,)
    assert all(elements[at].dim() == 0 for at in archive.scalars)


def test_integers_of_an_image_may_be_converted_by_a_division(tmp_path: Path) -> None:
    path, archive = saved("Normalised", "scripted", "FP32", tmp_path / "a.pt")
    assert [use.exact for use in archive.weights] == [False]
    assert not fails(path, tensors("Normalised", torch.uint8))
    path, archive = saved("Convolution", "scripted", "FP32", tmp_path / "b.pt")
    assert [use.exact for use in archive.weights] == [True]
    assert fails(path, tensors("Convolution", torch.uint8))


def test_quantised_weights_are_left_alone(tmp_path: Path) -> None:
    layers = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2)).eval()
    quantised = torch.ao.quantization.quantize_dynamic(layers, {torch.nn.Linear})
    torch.jit.save(torch.jit.script(quantised), str(tmp_path / "model.pt"))
    archive = read_archive(tmp_path / "model.pt")
    assert archive.forward is not None
    assert archive.weights == ()


def rewritten(path: Path, target: Path, name: str, data: Callable[[bytes], bytes]) -> Archive:
    """The same archive with one record changed."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as written:
        for entry in source.infolist():
            content = source.read(entry)
            found = entry.filename.endswith(name)
            written.writestr(entry.filename, data(content) if found else content)
    return read_archive(target)


@pytest.mark.parametrize(
    "code",
    [
        "return (self).forward(x, )",
        "return " + "(" * 3000 + "x" + ")" * 3000,
        "return " + "-" * 3000 + "x",
        "return x" + ".a" * 30_000,
        "x = x\n    " * 8000 + "return x",
        "return torch.sum(",
        "return \0",
        "_0 = torch.linear(x, self.weight, None)\n    " * 1000
        + "return (self).forward((self).forward(x, ), )",
        "# " + "x" * MAX_FUNCTION + "\n    return torch.sum(x)",
    ],
)
def test_code_that_wastes_time_is_given_up(code: str, tmp_path: Path) -> None:
    path, _ = saved("Product", "scripted", "FP32", tmp_path / "model.pt")

    def changed(text: bytes) -> bytes:
        head, found, _ = text.partition(b"x: Tensor) -> Tensor:\n")
        assert found
        return head + found + b"    " + code.encode() + b"\n"

    begin = time.monotonic()
    archive = rewritten(path, tmp_path / "other.pt", "flow_modules.py", changed)
    assert time.monotonic() - begin < 5
    assert archive.scalars == ()
    assert archive.forward is not None


def test_a_pickle_that_is_cut_off_tells_no_type(tmp_path: Path) -> None:
    path, archive = saved("Product", "scripted", "FP16", tmp_path / "model.pt")
    assert archive.weights
    other = rewritten(path, tmp_path / "other.pt", "/data.pkl", lambda data: data[:-1])
    assert other.forward is not None
    assert other.weights == ()
