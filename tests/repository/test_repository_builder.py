"""Repositories in code: what is written, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_triton.repository.builder import (
    BuildRefused,
    ControlInput,
    Direct,
    DynamicBatching,
    InstanceGroup,
    Latest,
    ModelWarmup,
    Oldest,
    QueuePolicy,
    RateLimiter,
    RepositoryBuilder,
    SequenceBatching,
    State,
    Step,
    TensorSpec,
    WarmupInput,
)
from pytest_triton.repository.config import is_complete, parse_config, read_config
from pytest_triton.repository.layout import list_models
from pytest_triton.repository.lint import LintOptions, lint

X, Y = TensorSpec("x", "FP32", (4,)), TensorSpec("y", "BYTES", ("n",))
CODE = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"


def written(path: Path) -> object:
    """The configuration without its name."""
    config = read_config(path)
    config.ClearField("name")
    return config


def test_a_model_with_everything(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "repository", checked=False)
    directory = builder.torchscript(
        "m",
        {1: b"one", 3: lambda version: (version / "net.pt").write_bytes(b"three")},
        inputs=[X, TensorSpec("z", "BOOL", (1,))],
        outputs=[Y],
        max_batch_size=16,
        dynamic_batching=DynamicBatching(100, (4, 8)),
        version_policy=[1, 3],
        instance_group=[
            InstanceGroup(2, "KIND_CPU"),
            InstanceGroup(1, "KIND_GPU", (0,), "first", RateLimiter({"R": 2}, 1), passive=True),
        ],
        parameters={"INFERENCE_MODE": True, "INTRA_OP_THREAD_COUNT": 2},
        labels={"y": ["a", "b"]},
        reshape={"z": []},
        optional_inputs=["z"],
        default_model_filename="net.pt",
        response_cache=True,
        files={"notes/readme.txt": "hello"},
        edit=lambda config: config.batch_input.add(kind="BATCH_ITEM_SHAPE"),
    )
    assert read_config(directory) == parse_config(
        """
        name: "m" platform: "pytorch_libtorch" max_batch_size: 16
        default_model_filename: "net.pt"
        input [ { name: "x" data_type: TYPE_FP32 dims: 4 },
                { name: "z" data_type: TYPE_BOOL dims: 1 reshape { } optional: true } ]
        output { name: "y" data_type: TYPE_STRING dims: -1 label_filename: "y_labels.txt" }
        dynamic_batching { preferred_batch_size: [4, 8] max_queue_delay_microseconds: 100 }
        version_policy { specific { versions: [1, 3] } }
        instance_group [
          { count: 2 kind: KIND_CPU },
          { count: 1 kind: KIND_GPU gpus: 0 name: "first" passive: true
            rate_limiter { resources { name: "R" count: 2 } priority: 1 } } ]
        parameters { key: "INFERENCE_MODE" value { string_value: "true" } }
        parameters { key: "INTRA_OP_THREAD_COUNT" value { string_value: "2" } }
        response_cache { enable: true }
        batch_input { kind: BATCH_ITEM_SHAPE }
        """
    )
    assert is_complete(read_config(directory))
    assert (directory / "1" / "net.pt").read_bytes() == b"one"
    assert (directory / "3" / "net.pt").read_bytes() == b"three"
    assert (directory / "y_labels.txt").read_text() == "a\nb\n"
    assert (directory / "notes" / "readme.txt").read_text() == "hello"
    assert [path.name for path in tmp_path.iterdir()] == ["repository"]


def test_priorities_and_queue_policies(tmp_path: Path) -> None:
    path = RepositoryBuilder(tmp_path).python(
        "m",
        CODE,
        inputs=[X],
        outputs=[Y],
        max_batch_size=4,
        dynamic_batching=DynamicBatching(
            priority_levels=2,
            default_priority_level=2,
            default_queue_policy=QueuePolicy(max_queue_size=8),
            priority_queue_policy={1: QueuePolicy("DELAY", 100, allow_timeout_override=True)},
        ),
    )
    assert written(path) == parse_config(
        """
        backend: "python" max_batch_size: 4
        input { name: "x" data_type: TYPE_FP32 dims: 4 }
        output { name: "y" data_type: TYPE_STRING dims: -1 }
        dynamic_batching {
          priority_levels: 2 default_priority_level: 2
          default_queue_policy { max_queue_size: 8 }
          priority_queue_policy { key: 1 value {
            timeout_action: DELAY default_timeout_microseconds: 100 allow_timeout_override: true
          } }
        }
        """
    )


def test_sequences(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path)
    path = builder.python(
        "m",
        CODE,
        inputs=[X],
        outputs=[Y],
        sequence_batching=SequenceBatching(
            Oldest(max_candidate_sequences=16),
            [
                ControlInput("START", "CONTROL_SEQUENCE_START", (False, True)),
                ControlInput("END", "CONTROL_SEQUENCE_END", (0.0, 1.0)),
                ControlInput("ID", "CONTROL_SEQUENCE_CORRID", datatype="BYTES"),
            ],
            [
                State("held", "kept", "FP32", (2, -1)),
                State("table", "table_out", "INT16", (2,), np.array([1, 2], ">i2")),
                State("blank", "blank_out", "INT8", (1,), None),
            ],
            max_sequence_idle_microseconds=5_000_000,
        ),
    )
    assert written(path) == parse_config(
        """
        backend: "python" max_batch_size: 8
        input { name: "x" data_type: TYPE_FP32 dims: 4 }
        output { name: "y" data_type: TYPE_STRING dims: -1 }
        sequence_batching {
          oldest { max_candidate_sequences: 16 }
          max_sequence_idle_microseconds: 5000000
          control_input { name: "START" control { bool_false_true: [ false, true ] } }
          control_input { name: "END" control {
            kind: CONTROL_SEQUENCE_END fp32_false_true: [ 0, 1 ] } }
          control_input { name: "ID" control {
            kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_STRING } }
          state { input_name: "held" output_name: "kept" data_type: TYPE_FP32 dims: [ 2, -1 ]
            initial_state { name: "held" data_type: TYPE_FP32 dims: [ 2, 1 ] zero_data: true } }
          state { input_name: "table" output_name: "table_out" data_type: TYPE_INT16 dims: 2
            initial_state { name: "table" data_type: TYPE_INT16 dims: 2 data_file: "table.bin" } }
          state { input_name: "blank" output_name: "blank_out" data_type: TYPE_INT8 dims: 1 }
        }
        """
    )
    assert (path / "initial_state" / "table.bin").read_bytes() == b"\1\0\2\0"
    direct = builder.python(
        "d", CODE, inputs=[X], outputs=[Y], sequence_batching=SequenceBatching(Direct(100, 0.5))
    )
    assert read_config(direct).sequence_batching.direct.minimum_slot_utilization == 0.5


def test_warm_up(tmp_path: Path) -> None:
    path = RepositoryBuilder(tmp_path).python(
        "m",
        CODE,
        inputs=[
            TensorSpec("ids", "INT64", ("length",)),
            TensorSpec("word", "BYTES", (2,)),
            TensorSpec("noise", "FP32", (3, -1)),
            TensorSpec("extra", "FP32", (1,)),
        ],
        outputs=[Y],
        optional_inputs=["extra"],
        model_warmup=[
            ModelWarmup(
                inputs={
                    "word": np.array([b"ab", "c"], object),
                    "noise": WarmupInput((3, 7), "random_data"),
                },
                axes={"length": 16},
            ),
            ModelWarmup("one", 1, 2, {"noise": WarmupInput((3, 1))}, {"length": 4}),
        ],
    )
    first, second = read_config(path).model_warmup
    assert (first.batch_size, first.count, first.inputs["ids"].dims) == (8, 1, [16])
    assert first.inputs["ids"].zero_data
    assert first.inputs["noise"].random_data
    assert set(first.inputs) == {"ids", "word", "noise"}
    raw = (path / "warmup" / first.inputs["word"].input_data_file).read_bytes()
    assert raw == b"\2\0\0\0ab\1\0\0\0c"
    assert (second.batch_size, second.count, second.inputs["ids"].dims) == (1, 2, [4])


@pytest.mark.parametrize(
    ("options", "batching"),
    [
        ({}, True),
        ({"max_batch_size": 1}, False),
        ({"max_batch_size": 0}, False),
        ({"dynamic_batching": False}, False),
        ({"decoupled": True}, False),
        ({"sequence_batching": SequenceBatching(Oldest())}, False),
        ({"max_batch_size": 1, "dynamic_batching": DynamicBatching()}, True),
    ],
)
def test_what_batches_by_default(
    tmp_path: Path, options: dict[str, object], batching: bool
) -> None:
    path = RepositoryBuilder(tmp_path).python("m", CODE, inputs=[X], outputs=[Y], **options)
    assert read_config(path).HasField("dynamic_batching") is batching


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (None, ""),
        ("latest", "latest { num_versions: 1 }"),
        (Latest(2), "latest { num_versions: 2 }"),
        ("all", "all { }"),
        ([2], "specific { versions: 2 }"),
    ],
)
def test_version_policies(tmp_path: Path, policy: object, text: str) -> None:
    path = RepositoryBuilder(tmp_path).python(
        "m", {1: CODE, 2: CODE}, inputs=[X], outputs=[Y], version_policy=policy
    )
    expected = parse_config(f"version_policy {{ {text} }}" if text else "")
    assert read_config(path).version_policy == expected.version_policy
    assert [model.versions for model in list_models(tmp_path)] == [(1, 2)]


def test_python_models_and_ensembles(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path)
    builder.python("step", CODE, inputs=[X], outputs=[Y], decoupled=True, max_batch_size=0)
    whole = builder.ensemble(
        "whole", [Step("step", {"x": "x"}, {"y": "y"})], inputs=[X], outputs=[Y]
    )
    assert read_config(tmp_path / "step").model_transaction_policy.decoupled
    assert (tmp_path / "step" / "1" / "model.py").read_text() == CODE
    assert read_config(whole).ensemble_scheduling.step[0].output_map["y"] == "y"
    assert read_config(whole).ensemble_scheduling.step[0].model_version == -1
    assert read_config(whole).max_batch_size == 0, "as its step does not batch"
    assert [model.versions for model in list_models(tmp_path)] == [(1,), (1,)]


def test_an_ensemble_takes_what_all_of_its_steps_take(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path)
    for name, size in (("a", 16), ("b", 4)):
        builder.python(name, CODE, inputs=[X], outputs=[X], max_batch_size=size)
    steps = [Step("a", {"x": "in"}, {"x": "mid"}), Step("b", {"x": "mid"}, {"x": "out"})]
    ends = {
        "inputs": [TensorSpec("in", "FP32", (4,))],
        "outputs": [TensorSpec("out", "FP32", (4,))],
    }
    assert read_config(builder.ensemble("e", steps, **ends)).max_batch_size == 4
    with pytest.raises(BuildRefused, match="ENS016"):
        builder.ensemble("f", steps, **ends, max_batch_size=8)
    with pytest.raises(BuildRefused, match="ENS006"):
        builder.ensemble("g", [Step("c", {"x": "in"}, {"x": "out"})], **ends)
    builder.ensemble("h", [Step("c", {"x": "in"}, {"x": "out"})], **ends, checked=False)


@pytest.mark.filterwarnings("ignore:.torch.jit.load:DeprecationWarning")
def test_a_module_is_scripted_as_it_stands(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(4, 2)
    tensors = [TensorSpec("INPUT__0", "FP32", (4,))], [TensorSpec("OUTPUT__0", "FP32", (2,))]
    builder = RepositoryBuilder(tmp_path)
    path = builder.torchscript("m", module, inputs=tensors[0], outputs=tensors[1])
    loaded = torch.jit.load(str(path / "1" / "model.pt"))
    rows = torch.ones(3, 4)
    assert torch.equal(loaded(rows), module(rows))
    with pytest.raises(BuildRefused, match="PT001"):
        builder.torchscript("n", module, inputs=tensors[0] * 2, outputs=tensors[1])


def test_a_copy_can_be_renamed_and_changed(tmp_path: Path) -> None:
    first = RepositoryBuilder(tmp_path / "a").python("m", CODE, inputs=[X], outputs=[Y])
    builder = RepositoryBuilder(tmp_path / "b")
    untouched = builder.copy(first)
    assert (untouched / "config.pbtxt").read_bytes() == (first / "config.pbtxt").read_bytes()
    direct = builder.copy(
        first, name="direct", edit=lambda config: config.ClearField("dynamic_batching")
    )
    config = read_config(direct)
    assert (config.name, config.HasField("dynamic_batching")) == ("direct", False)
    assert (direct / "1" / "model.py").read_text() == CODE
    with pytest.raises(BuildRefused, match="CFG0"):
        builder.copy(first, name="bad", edit=lambda c: setattr(c, "max_batch_size", -1))
    builder.copy(first, name="bad", edit=lambda c: setattr(c, "max_batch_size", -1), checked=False)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        pytest.param("a b", {}, "no name", id="blank"),
        pytest.param("../m", {}, "no name", id="escape"),
        pytest.param(".m", {}, "no name", id="hidden"),
        pytest.param("m", {"inputs": [X, X]}, "TEN0", id="twice"),
        pytest.param("m", {"inputs": []}, "no input", id="none"),
        pytest.param("m", {"outputs": [TensorSpec("y", "FP32", (0,))]}, "SHP0", id="zero-dim"),
        pytest.param("m", {"source": {0: ""}}, "versions", id="version-0"),
        pytest.param("m", {"source": {}}, "versions", id="no-version"),
        pytest.param(
            "m", {"max_batch_size": 0, "dynamic_batching": DynamicBatching()}, "never", id="batch-0"
        ),
        pytest.param(
            "m", {"dynamic_batching": DynamicBatching(0, (16,))}, "BAT003", id="preferred"
        ),
        pytest.param("m", {"labels": {"q": []}}, "'q'", id="labels"),
        pytest.param("m", {"reshape": {"q": []}}, "'q'", id="reshape"),
        pytest.param("m", {"reshape": {"x": [5]}}, "SHP0", id="reshape-size"),
        pytest.param(
            "m", {"model_warmup": [ModelWarmup(inputs={"q": WarmupInput((1,))})]}, "'q'", id="warm"
        ),
        pytest.param(
            "m",
            {"model_warmup": [ModelWarmup()], "inputs": [TensorSpec("x", "FP32", ("n",))]},
            "WRM004",
            id="warm-axis",
        ),
        pytest.param(
            "m", {"model_warmup": [ModelWarmup(inputs={"x": np.zeros(4)})]}, "FP64", id="warm-type"
        ),
        pytest.param(
            "m",
            {
                "dynamic_batching": DynamicBatching(),
                "sequence_batching": SequenceBatching(Oldest()),
            },
            "one scheduler",
            id="two-schedulers",
        ),
        pytest.param("m", {"version_policy": "newest"}, "'newest'", id="policy"),
        pytest.param("m", {"labels": {"y": ["a\nb"]}}, "several lines", id="label-lines"),
        pytest.param("m", {"files": {"../../out": ""}}, "leads out", id="file-escape"),
        pytest.param("m", {"files": {"/tmp/out": ""}}, "leads out", id="file-absolute"),
        pytest.param("m", {"config": "nonsense {"}, "CFG0", id="text"),
        pytest.param("m", {"config": 'name: "n" backend: "python"'}, "CFG0", id="other-name"),
    ],
)
def test_what_triton_could_not_serve_is_refused(
    tmp_path: Path, name: str, options: dict[str, object], message: str
) -> None:
    call = {"source": CODE, "inputs": [X], "outputs": [Y], **options}
    with pytest.raises(BuildRefused, match=message) as refused:
        RepositoryBuilder(tmp_path / "r").python(name, **call)  # type: ignore[arg-type]
    assert refused.value.remedy
    assert list((tmp_path / "r").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_a_refusal_quotes_rules_and_fixes(tmp_path: Path) -> None:
    with pytest.raises(BuildRefused) as refused:
        RepositoryBuilder(tmp_path).python(
            "m", CODE, inputs=[X], outputs=[Y], dynamic_batching=DynamicBatching(0, (16,))
        )
    text = str(refused.value)
    assert "BAT003 preferred_batch_size 16 is above max_batch_size 8" in text
    assert "write at most 8, or raise max_batch_size" in text
    assert "checked=False" in text
    assert [one.rule for one in refused.value.findings] == ["BAT003"]


def test_what_is_known_of_the_server_counts(tmp_path: Path) -> None:
    sequence = SequenceBatching(Oldest(), iterative_sequence=True)
    call = {"inputs": [X], "outputs": [Y], "sequence_batching": sequence}
    old = RepositoryBuilder(tmp_path, lint=LintOptions(release="23.10"))
    with pytest.raises(BuildRefused, match="REL001"):
        old.python("m", CODE, **call)
    RepositoryBuilder(tmp_path, lint=LintOptions(release="24.10")).python("m", CODE, **call)


def test_warnings_are_kept_and_do_not_refuse(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path)
    builder.python("m", CODE, inputs=[X], outputs=[Y], dynamic_batching=False)
    assert [one.rule for one in builder.findings if one.severity == "warning"] == ["BAT002"]
    builder.python("n", CODE, inputs=[X], outputs=[Y])
    assert {one.model for one in builder.findings if one.severity == "warning"} == {"m"}
    assert lint(tmp_path).errors == ()


def test_unchecked_writes_what_is_asked_for(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path, checked=False)
    builder.torchscript("a b", b"", inputs=[X], outputs=[Y], config="nonsense {")
    assert (tmp_path / "a b" / "config.pbtxt").read_text() == "nonsense {"
    with pytest.raises(BuildRefused, match="no name"):
        builder.torchscript("../a", b"", inputs=[X], outputs=[Y])


def test_one_model_can_go_unchecked(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path)
    builder.python("m", CODE, inputs=[X, X], outputs=[Y], checked=False)
    with pytest.raises(BuildRefused):
        builder.python("n", CODE, inputs=[X, X], outputs=[Y])


def test_a_failing_source_leaves_nothing(tmp_path: Path) -> None:
    builder = RepositoryBuilder(tmp_path / "r")
    with pytest.raises(FileNotFoundError):
        builder.python("m", tmp_path / "absent.py", inputs=[X], outputs=[Y])
    assert list((tmp_path / "r").iterdir()) == []
    builder.python("m", CODE, inputs=[X], outputs=[Y])
    with pytest.raises(BuildRefused, match="exists"):
        builder.python("m", CODE, inputs=[X], outputs=[Y])


def test_labels_of_an_output_with_a_path_for_a_name_stay_in_the_model(tmp_path: Path) -> None:
    output = TensorSpec("../y", "FP32", (2,))
    directory = RepositoryBuilder(tmp_path / "r").python(
        "m", CODE, inputs=[X], outputs=[output], labels={"../y": ["a", "b"]}
    )
    name = read_config(directory).output[0].label_filename
    assert (directory / name).read_text() == "a\nb\n"
    assert (directory / name).resolve().parent == directory.resolve()
