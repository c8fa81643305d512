"""Repositories in code: what is written, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.repository.builder import (
    BuildRefused,
    DynamicBatching,
    InstanceGroup,
    RepositoryBuilder,
    Step,
    TensorSpec,
)
from pytest_triton.repository.config import is_complete, parse_config, read_config
from pytest_triton.repository.layout import list_models

X, Y = TensorSpec("x", "FP32", (4,)), TensorSpec("y", "BYTES", ("n",))


def test_a_model_with_everything(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "repository")
    directory = builder.torchscript(
        "m",
        {1: b"one", 3: lambda version: (version / "model.pt").write_bytes(b"three")},
        inputs=[X, TensorSpec("z", "BOOL", (1,))],
        outputs=[Y],
        max_batch_size=16,
        dynamic_batching=DynamicBatching(100, (4, 8)),
        version_policy=[1, 3],
        instance_groups=[InstanceGroup(2, "KIND_CPU")],
        parameters={"INFERENCE_MODE": "true"},
        labels={"y": ["a", "b"]},
        optional_inputs=["z"],
        files={"notes/readme.txt": "hello"},
        edit=lambda config: config.response_cache.SetInParent(),
    )
    assert read_config(directory) == parse_config(
        """
        name: "m" platform: "pytorch_libtorch" max_batch_size: 16
        input [ { name: "x" data_type: TYPE_FP32 dims: 4 },
                { name: "z" data_type: TYPE_BOOL dims: 1 optional: true } ]
        output { name: "y" data_type: TYPE_STRING dims: -1 label_filename: "y_labels.txt" }
        dynamic_batching { preferred_batch_size: [4, 8] max_queue_delay_microseconds: 100 }
        version_policy { specific { versions: [1, 3] } }
        instance_group { count: 2 kind: KIND_CPU }
        parameters { key: "INFERENCE_MODE" value { string_value: "true" } }
        response_cache { }
        """
    )
    assert is_complete(read_config(directory))
    assert (directory / "3" / "model.pt").read_bytes() == b"three"
    assert (directory / "y_labels.txt").read_text() == "a\nb\n"
    assert (directory / "notes" / "readme.txt").read_text() == "hello"
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]


def test_python_models_and_ensembles(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path)
    builder.python("step", "print()\n", inputs=[X], outputs=[Y], decoupled=True, max_batch_size=0)
    whole = builder.ensemble(
        "whole", [Step("step", {"x": "x"}, {"y": "y"})], inputs=[X], outputs=[Y]
    )
    assert read_config(tmp_path / "step").model_transaction_policy.decoupled
    assert (tmp_path / "step" / "1" / "model.py").read_text() == "print()\n"
    assert read_config(whole).ensemble_scheduling.step[0].output_map["y"] == "y"
    assert [model.versions for model in list_models(tmp_path)] == [(1,), (1,)]


@pytest.mark.filterwarnings("ignore:.torch.jit.load:DeprecationWarning")
def test_a_module_is_scripted_as_it_stands(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(4, 2)
    path = RepositoryBuilder(tmp_path).torchscript("m", module, inputs=[X], outputs=[X])
    loaded = torch.jit.load(str(path / "1" / "model.pt"))
    rows = torch.ones(3, 4)
    assert torch.equal(loaded(rows), module(rows))


def test_a_copy_can_be_renamed_and_changed(tmp_path: Path) -> None:
    first = RepositoryBuilder(tmp_path / "a").torchscript(
        "m", b"weights", inputs=[X], outputs=[Y], dynamic_batching=DynamicBatching()
    )
    builder = RepositoryBuilder(tmp_path / "b")
    untouched = builder.copy(first)
    assert (untouched / "config.pbtxt").read_bytes() == (first / "config.pbtxt").read_bytes()
    direct = builder.copy(
        first, name="direct", edit=lambda config: config.ClearField("dynamic_batching")
    )
    config = read_config(direct)
    assert (config.name, config.HasField("dynamic_batching")) == ("direct", False)
    assert (direct / "1" / "model.pt").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        pytest.param("a b", {}, "no name", id="blank"),
        pytest.param("../m", {}, "no name", id="escape"),
        pytest.param(".m", {}, "no name", id="hidden"),
        pytest.param("m", {"inputs": [X, X]}, "twice", id="twice"),
        pytest.param("m", {"inputs": []}, "no input", id="none"),
        pytest.param("m", {"outputs": [TensorSpec("y", "FP32", (0,))]}, "dims", id="zero-dim"),
        pytest.param("m", {"model": {0: b""}}, "versions", id="version-0"),
        pytest.param("m", {"model": {}}, "versions", id="no-version"),
        pytest.param(
            "m", {"max_batch_size": 0, "dynamic_batching": DynamicBatching()}, "never", id="batch-0"
        ),
        pytest.param("m", {"labels": {"q": []}}, "'q'", id="labels"),
    ],
)
def test_what_triton_could_not_serve_is_refused(
    tmp_path: Path, name: str, options: dict[str, object], message: str
) -> None:
    call = {"model": b"", "inputs": [X], "outputs": [Y], **options}
    with pytest.raises(BuildRefused, match=message):
        RepositoryBuilder(tmp_path / "r").torchscript(name, **call)  # type: ignore[arg-type]
    assert list((tmp_path / "r").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_unchecked_writes_what_is_asked_for(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path, checked=False)
    builder.torchscript("a b", b"", inputs=[X], outputs=[Y], config="nonsense {")
    assert (tmp_path / "a b" / "config.pbtxt").read_text() == "nonsense {"


def test_a_failing_source_leaves_nothing(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "r")
    with pytest.raises(FileNotFoundError):
        builder.torchscript("m", tmp_path / "absent.pt", inputs=[X], outputs=[Y])
    assert list((tmp_path / "r").iterdir()) == []
    builder.torchscript("m", b"", inputs=[X], outputs=[Y])
    with pytest.raises(BuildRefused, match="exists"):
        builder.torchscript("m", b"", inputs=[X], outputs=[Y])
