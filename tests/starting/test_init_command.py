"""pytest-triton init: what it writes, what it finds out, what it refuses, and that it works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from pytest_triton.cli import cli  # noqa: E402
from pytest_triton.errors import Misused, ToolError  # noqa: E402
from pytest_triton.repository.config import read_config  # noqa: E402
from pytest_triton.repository.lint import lint  # noqa: E402
from pytest_triton.repository.sidecar import read_sidecar  # noqa: E402

CODE = '''
import torch
from torch import nn


class IrisNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, features):
        return self.body(features)


class Digits(nn.Module):
    """Works with 28 x 28 pixels and with nothing else."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.head = nn.Linear(2 * 26 * 26, 10)

    def forward(self, image):
        return self.head(self.conv(image).relu().flatten(1))


class AnySize(nn.Module):
    """Works with every size: nobody knows which one is meant."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, image):
        return self.conv(image).mean((2, 3))


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 8)

    def forward(self, ids):
        return self.embedding(ids).mean(1)


class Normalized(nn.Module):
    """The first layer does not get the argument as it came."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x / x.norm())


class Two(nn.Module):
    def forward(self, left, right):
        return left - right


class Exemplary(Two):
    def example_inputs(self):
        return {"right": torch.ones(1, 5), "left": torch.zeros(1, 5)}


class Positional(Two):
    example_inputs = (torch.ones(2, 3, dtype=torch.int64) * 7, torch.ones(2, 3, dtype=torch.int64))


class Uneven(Two):
    example_inputs = (torch.ones(2, 3), torch.ones(3, 3))


class Wide(nn.Module):
    def __init__(self, width):
        super().__init__()


class Mixes(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x - x.mean(0))


def model():
    net = IrisNet()
    nn.init.constant_(net.body[2].bias, 5.0)
    return net


ready = IrisNet()
number = 3


def raises():
    raise RuntimeError("no weights here")
'''


@dataclass
class Ran:
    status: int
    out: str
    error: str


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with code, and nothing else."""
    (tmp_path / "nets.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*arguments: str) -> Ran:
    """As main() does it: errors of ours become a status."""
    result = CliRunner().invoke(cli, ["init", *arguments])
    error = result.exception
    if isinstance(error, ToolError):
        return Ran(2 if isinstance(error, Misused) else 12, result.stdout, str(error))
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return Ran(result.exit_code, result.stdout, result.stderr)


def tree(directory: Path) -> list[str]:
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()
    )


def clean(repository: Path) -> bool:
    return not [one for one in lint(repository).findings if one.severity != "info"]


def test_a_class_with_everything_beside_it(project: Path) -> None:
    ran = init("shop", "--module", "nets.py:IrisNet", "--max-batch-size", "16")
    assert ran.status == 0, ran.error
    assert tree(project / "shop") == [
        "model_repository/iris_net/1/export.json",
        "model_repository/iris_net/1/golden.npz",
        "model_repository/iris_net/1/model.pt",
        "model_repository/iris_net/config.pbtxt",
        "pyproject.toml",
        "test_iris_net.py",
    ]
    assert clean(project / "shop" / "model_repository")
    config = read_config(project / "shop" / "model_repository" / "iris_net")
    assert (config.max_batch_size, config.input[0].name, list(config.input[0].dims)) == (
        16, "features", [4],
    )  # fmt: skip
    assert "first layer: Linear" in ran.error
    assert "weights are those that the class starts with" in ran.out
    assert "pytest-triton serve shop/model_repository" in ran.out
    assert sorted(path.name for path in project.iterdir()) == ["nets.py", "shop"]


def test_what_it_wrote_passes(project: Path) -> None:
    """The project's own test, and ours for accuracy, on real servers."""
    assert init("--module", "nets.py:Words").status == 0
    assert init("--module", "nets.py:Two", "--input", "left:FP32:4", "--input", "right:FP32:4",
                "--max-batch-size", "1").status == 0  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    for arguments, passed in (
        (["-q"], "2 passed"),
        (["-q", "--pyargs", "pytest_triton.suites", "--triton-scope", "accuracy"], "9 passed"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=project, env=environment, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:]
        assert passed in done.stdout


@pytest.mark.parametrize(
    ("name", "inputs", "axes"),
    [
        ("Digits", {"image": ("FP32", [1, 28, 28])}, {}),
        ("Words", {"ids": ("INT64", [-1])}, {"length": (1, 512)}),
        ("Exemplary", {"left": ("FP32", [5]), "right": ("FP32", [5])}, {}),
        ("Positional", {"left": ("INT64", [3]), "right": ("INT64", [3])}, {}),
        ("ready", {"features": ("FP32", [4])}, {}),
    ],
)
def test_what_is_certain_need_not_be_said(
    project: Path, name: str, inputs: dict[str, Any], axes: dict[str, Any]
) -> None:
    ran = init("--module", f"nets.py:{name}", "--name", "m")
    assert ran.status == 0, ran.error
    record = read_sidecar(project / "model_repository" / "m" / "1")
    assert record is not None
    config = read_config(project / "model_repository" / "m")
    from pytest_triton.repository.config import inputs_of

    found = {one.name: (one.datatype, list(one.shape[1:])) for one in inputs_of(config)}
    assert found == inputs
    assert record.axes == axes
    assert clean(project / "model_repository")


@pytest.mark.parametrize(
    ("name", "lesson"),
    [
        ("AnySize", "--input image:FP32:3,224,224"),
        ("Normalized", "--input x:FP32:4"),
        ("Two", "--input left:FP32:4 --input right:FP32:4"),
    ],
)
def test_what_is_not_certain_is_taught(project: Path, name: str, lesson: str) -> None:
    ran = init("--module", f"nets.py:{name}")
    assert ran.status == 2
    assert "cannot be told for certain" in ran.error
    assert lesson in ran.error
    assert "example_inputs" in ran.error
    assert tree(project) == ["nets.py"]


def test_the_lesson_works(project: Path) -> None:
    ran = init(
        "--module", "nets.py:AnySize", "--input", "image:FP32:3,height,width",
        "--axis", "height=16:40", "--axis", "width=16:40", "--range", "image=0:1",
    )  # fmt: skip
    assert ran.status == 0, ran.error
    record = read_sidecar(project / "model_repository" / "any_size" / "1")
    assert record is not None
    assert record.axes == {"height": (16, 40), "width": (16, 40)}
    assert record.ranges == {"image": (0, 1)}
    assert clean(project / "model_repository")


def test_a_function_gives_the_loaded_module(project: Path) -> None:
    ran = init("--module", "nets.py:model")
    assert ran.status == 0, ran.error
    assert "weights are those" not in ran.out
    assert (project / "model_repository" / "nets" / "1" / "model.pt").is_file()
    assert "__pycache__" not in {path.name for path in project.iterdir()}


def test_a_package_on_the_path(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "shop_for_init").mkdir()
    (project / "shop_for_init" / "__init__.py").write_text("")
    (project / "shop_for_init" / "nets.py").write_text(CODE)
    before = list(sys.path)
    assert init("--module", "shop_for_init.nets:IrisNet").status == 0
    assert sys.path == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --module PLACE:NAME or --huggingface DIR"),
        (["--module", "nets.py:IrisNet", "--huggingface", "x"], "give --module"),
        (["--module", "nets.py"], "names no module in it"),
        (["--module", "other.py:Net"], "is not a file"),
        (["--module", "no_such_package.nets:Net"], "cannot be imported"),
        (["--module", "nets.py:Nope"], "it has nets.py:IrisNet"),
        (["--module", "nets.py:number"], "is int, not a torch.nn.Module"),
        (["--module", "nets.py:Wide"], "Wide(width=…)"),
        (["--module", "nets.py:raises"], "no weights here"),
        (["--module", "nets.py:Uneven"], "no common first dimension"),
        (["--module", "nets.py:IrisNet", "--input", "x"], "is not NAME:TYPE:DIMS"),
        (["--module", "nets.py:IrisNet", "--input", "x:float32:4"], "write FP32"),
        (["--module", "nets.py:IrisNet", "--input", "x:FP32:-1"], "neither a size nor a name"),
        (["--module", "nets.py:IrisNet", "--input", "x:FP32:n"], "--axis n=1:128"),
        (["--module", "nets.py:IrisNet", "--input", "x:FP32:4", "--axis", "n=1:2"], "no input has"),
        (["--module", "nets.py:IrisNet", "--input", "x:BYTES:4"], "strings"),
        (["--module", "nets.py:IrisNet", "--name", "a b"], "hangs on blanks"),
        (["--module", "nets.py:IrisNet", "--pooling", "cls"], "goes with --huggingface"),
        (["--huggingface", ".", "--axis", "n=1:2"], "--axis goes with --module"),
        (["--huggingface", "."], "no config.json"),
        (["--huggingface", "bert-base-uncased"], "names of a hub are not looked up"),
        (["--module", "nets.py:Mixes", "--input", "x:FP32:4"], "when it comes alone"),
        (["--module", "nets.py:IrisNet", "--input", "x:FP32:5"], "module itself fails"),
    ],
)
def test_refusals_teach_and_leave_nothing(
    project: Path, arguments: list[str], message: str
) -> None:
    ran = init("new/project", *arguments)
    assert ran.status == 2
    assert message in ran.error
    assert tree(project) == ["nets.py"]
    assert not (project / "new").exists()


def test_nothing_is_overwritten(project: Path) -> None:
    (project / "pyproject.toml").write_text("[project]\nname = 'mine'\n")
    ran = init("--module", "nets.py:IrisNet", "--name", "iris")
    assert ran.status == 0, ran.error
    assert (project / "pyproject.toml").read_text() == "[project]\nname = 'mine'\n"
    assert 'triton_repository = "model_repository"' in ran.out
    before = {name: (project / name).read_bytes() for name in tree(project)}
    again = init("--module", "nets.py:IrisNet", "--name", "iris")
    assert again.status == 2
    assert "iris exists" in again.error
    (project / "test_other.py").write_text("# mine\n")
    taken = init("--module", "nets.py:IrisNet", "--name", "other")
    assert taken.status == 2
    assert "test_other.py exists" in taken.error
    assert {name: (project / name).read_bytes() for name in tree(project)} == {
        **before, "test_other.py": b"# mine\n",
    }  # fmt: skip


def test_a_configured_project_is_not_told_again(project: Path) -> None:
    assert init("--module", "nets.py:IrisNet", "--name", "one").status == 0
    second = init("--module", "nets.py:IrisNet", "--name", "two")
    assert second.status == 0
    assert "tell pytest" not in second.out


def test_a_failure_at_the_end_takes_everything_back(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def full(source: Any, target: Any, **options: Any) -> None:
        if str(target).endswith("pyproject.toml"):
            raise OSError(28, "No space left on device")
        real(source, target, **options)

    monkeypatch.setattr("pytest_triton.starting.project.os.link", full)
    ran = init("new", "--module", "nets.py:IrisNet")
    assert ran.status == 12
    assert "No space left" in ran.error
    assert tree(project) == ["nets.py"]
    assert not (project / "new").exists()


def test_a_huggingface_directory(project: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=24, id2label={0: "no", 1: "yes"},
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(project / "my bert")
    ran = init("--huggingface", "my bert")
    assert ran.status == 0, ran.error
    model = project / "model_repository" / "my_bert"
    assert (model / "labels.txt").read_text() == "no\nyes\n"
    assert clean(project / "model_repository")
    assert "attention sdpa" in ran.out
    test = (project / "test_my_bert.py").read_text()
    assert "input_ids=np.zeros((2, 8), np.int64)" in test
    assert 'answer["logits"].shape == (2, 2)' in test
    other = init("--huggingface", "my bert", "--name", "vectors", "--task", "embedding",
                 "--pooling", "cls", "--max-length", "12")  # fmt: skip
    assert other.status == 0, other.error
    record = read_sidecar(project / "model_repository" / "vectors" / "1")
    assert record is not None
    assert record.choices["pooling"] == "cls"
    assert record.axes == {"length": (1, 12)}


def without(package: str) -> Callable[..., Any]:
    import builtins

    real = builtins.__import__

    def importing(name: str, *others: Any, **options: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(f"No module named {package!r}")
        return real(name, *others, **options)

    return importing


@pytest.mark.parametrize(
    ("package", "arguments", "remedy"),
    [
        ("torch", ["--module", "nets.py:IrisNet"], "pytest-triton[torch]"),
        ("transformers", ["--huggingface", "nowhere"], "pytest-triton[lab]"),
    ],
)
def test_what_is_not_installed_is_said(
    project: Path, monkeypatch: pytest.MonkeyPatch, package: str, arguments: list[str], remedy: str
) -> None:
    monkeypatch.setattr("builtins.__import__", without(package))
    ran = init("new", *arguments)
    monkeypatch.undo()
    assert ran.status == 12
    assert f"No module named '{package}'" in ran.error
    assert remedy in ran.error
    assert not (project / "new").exists()


def test_help_teaches() -> None:
    text = CliRunner().invoke(cli, ["init", "--help"]).output
    for word in ("--input image:FP32:3,224,224", "example_inputs", "Nothing is", "save_pretrained"):
        assert word in " ".join(text.split())
