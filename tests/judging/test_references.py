"""ACC-01 on any repository: a served TorchScript file tells what the server has to answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fake_triton import CONFIGS, fake_triton
from in_process import judge

from pytest_triton import references
from pytest_triton.deployment import Deployment
from pytest_triton.export.oracle import ReferenceRefused
from pytest_triton.export.script_oracle import ReferenceFailed, ScriptReference
from pytest_triton.export.scripted import script_file, without_reference
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

torch = pytest.importorskip("torch")


class Scale(torch.nn.Module):
    """What the version ``number`` of the fake's model ``scale`` is."""

    def __init__(self, number: float, noise: float = 0.0) -> None:
        super().__init__()
        self.number, self.noise = number, noise

    def forward(self, IN):  # type: ignore[no-untyped-def]
        return IN * 2 + self.number + self.noise * torch.rand(1)


def write(repository: Path, version: int, module: Any) -> Path:
    path = repository / "scale" / str(version) / "model.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.script(module).save(str(path))
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for version in (1, 2):
        write(tmp_path, version, Scale(version))
    return tmp_path


def verdict(repository: Path | None, clause: str = "ACC-01") -> tuple[str, str]:
    with fake_triton() as fake:
        deployment = Deployment("repository", fake.url, repository=repository)
        return judge(deployment, Settings(repository=repository), [clause])[clause]


def test_right_answers_pass_and_wrong_ones_fail(repository: Path) -> None:
    assert verdict(repository) == ("pass", "")
    write(repository, 2, Scale(2.1))
    status, reason = verdict(repository)
    assert status == "fail"
    assert "scale: version 2, batch 1: output 'OUT'" in reason
    assert "(by model.pt in torch, kept by " in reason
    assert "version 1" not in reason


def test_it_tells_who_was_asked(repository: Path) -> None:
    with fake_triton() as fake:
        subject = Subject(
            Deployment("repository", fake.url, repository=repository),
            Settings(repository=repository),
        )
        case = subject.case("scale", batch=2)
        assert subject.reference("scale", "1", case) is None, "a file was run unasked"
        assert subject.reference("scale", "1", case, files=True) is not None
        subject.close()
    (who,) = subject.references.used["scale"]["1"]
    assert who.startswith("model.pt in torch, kept by ")
    assert subject.references.used["scale"]["1"] == {who: 1}


def test_a_broken_reference_neither_passes_nor_hides_a_fault(repository: Path) -> None:
    rubbish = repository / "scale" / "1" / "model.pt"
    rubbish.write_bytes(b"rubbish")
    status, reason = verdict(repository)
    assert status == "blocked"
    assert "scale: version 1: the file of scale cannot be loaded in torch" in reason
    assert "install the torch that the server has" in reason
    write(repository, 2, Scale(7))
    status, reason = verdict(repository)
    assert status == "fail"
    assert "version 2" in reason


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (ReferenceFailed("it hung", "do this"), "blocked", "version 1: it hung; do this"),
        (
            ReferenceRefused("scale", "index out of range"),
            "no_inputs",
            r"model.pt refuses generated inputs of batch 1 \(index out of range\): give --triton",
        ),
    ],
)
def test_what_a_reference_raises(
    repository: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: str, told: str
) -> None:
    def run(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(ScriptReference, "run", run)
    found = verdict(repository)
    assert found[0] == status
    assert re.search(told, found[1]), found[1]


def test_random_answers_are_judged_by_nobody(repository: Path) -> None:
    for version in (1, 2):
        write(repository, version, Scale(version, 1.0))
    status, reason = verdict(repository)
    assert status == "not_applicable"
    assert "scale: answers are random or have a state" in reason


@pytest.mark.parametrize("lack", ["torch", "files", "repository"])
def test_without_torch_or_files_it_does_not_apply(
    repository: Path, monkeypatch: pytest.MonkeyPatch, lack: str
) -> None:
    if lack == "torch":
        monkeypatch.setattr(references, "find_spec", lambda name: None)
    elif lack == "files":
        for version in (1, 2):
            (repository / "scale" / str(version) / "model.pt").unlink()
    status, reason = verdict(repository if lack != "repository" else None)
    assert status == "not_applicable"
    assert "pip install 'pytest-triton[torch]'" in reason


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"sequence_batching": {}}, "state"),
        ({"batch_input": [{"kind": "BATCH_ELEMENT_COUNT"}]}, "batch_input"),
        ({"model_transaction_policy": {"decoupled": True}}, "decoupled"),
        ({"cc_model_filenames": {"7.5": "x.pt"}}, "cc_model_filenames"),
        ({"input": [{"name": "IN", "data_type": "TYPE_STRING", "dims": [1]}]}, "TYPE_STRING"),
        ({"output": [{"name": "OUT", "data_type": "TYPE_BF16", "dims": [1]}]}, "TYPE_BF16"),
        (
            {"input": [{"name": "IN", "data_type": "TYPE_FP32", "allow_ragged_batch": True}]},
            "ragged",
        ),
    ],
)
def test_models_without_a_reference(changed: dict[str, Any], told: str) -> None:
    assert without_reference(CONFIGS["scale"]) is None
    assert told in str(without_reference({**CONFIGS["scale"], **changed}))


def test_where_a_file_is_looked_for(tmp_path: Path) -> None:
    directory = tmp_path / "m" / "1"
    directory.mkdir(parents=True)
    (directory / "net.pt").touch()
    (tmp_path / "secret.pt").touch()
    model = tmp_path / "m"
    assert script_file(model, "1", {}) is None
    assert script_file(model, "1", {"default_model_filename": "net.pt"}) == directory / "net.pt"
    for name in ("../../secret.pt", str(tmp_path / "secret.pt")):
        assert script_file(model, "1", {"default_model_filename": name}) is None
    (directory / "model.py").touch()
    assert script_file(model, "1", {"default_model_filename": "net.pt"}) is None
