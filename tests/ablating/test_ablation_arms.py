"""Which arms there are, what changes in each, and how they become models of a repository."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pytest_triton.ablating.arms import Arm, arms_of, control
from pytest_triton.ablating.building import build, why
from pytest_triton.ablating.judging import ROUNDING, ROUNDING_ON_GPU
from pytest_triton.ablating.session import NotMeasured, Session, Wanted
from pytest_triton.ablating.sources import Module
from pytest_triton.ablating.stored import Repository, copied
from pytest_triton.cli import cli
from pytest_triton.errors import Misused, ToolError
from pytest_triton.export.interface import ExportRefused
from pytest_triton.load.paired import Paired
from pytest_triton.repository.config import read_config
from pytest_triton.repository.sidecar import read_sidecar

NET = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.head = torch.nn.Linear(4, 8), torch.nn.Linear(8, 3)
    def forward(self, features):
        return self.head(self.inner(features).relu())
class Numbers(torch.nn.Module):
    def forward(self, features):
        return features * 2
"""
OPTIONS: dict[str, Any] = {
    "inputs": ("features:FP32:4",), "axes": (), "ranges": (), "max_batch_size": 4,
    "method": "trace", "variant": "plain", "seed": 0,
}  # fmt: skip


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


def quiet(text: str) -> None:
    pass


def names(**options: Any) -> list[str]:
    return [arm.name for arm in arms_of(**{"files": True, "cores": 8, **options})]


def test_one_arm_for_each_change() -> None:
    assert names() == [
        "control", "frozen", "optimized", "float16", "bfloat16", "no_inference_mode",
        "no_optimized_execution", "threads_1", "threads_4", "threads_8",
    ]  # fmt: skip
    assert names(files=False, cores=2) == [
        "control", "no_inference_mode", "no_optimized_execution", "threads_1", "threads_2",
    ]  # fmt: skip
    assert names(wanted=["threads", "frozen"], threads=(3,)) == ["control", "frozen", "threads_3"]
    assert names(wanted=["frozen"], parameters=["A_B=off"]) == ["control", "frozen", "set_a_b_off"]


def test_each_changes_one_thing() -> None:
    for arm in arms_of(files=True, cores=4, parameters=["KEY=x"])[1:]:
        changes = [arm.variant != "plain", bool(arm.dtype), *arm.parameters]
        assert sum(map(bool, changes)) == 1, arm
    assert control.parameters == {}
    assert not control.own_file


def test_what_the_base_has_already_is_no_change_and_is_said() -> None:
    given = {"INFERENCE_MODE": "false", "INTRA_OP_THREAD_COUNT": "1"}
    said: list[str] = []
    left = names(files=False, cores=2, given=given, say=said.append,
                 parameters=["INFERENCE_MODE=false"])  # fmt: skip
    assert left == ["control", "no_optimized_execution", "threads_2"]
    assert said == [
        "leaving out INFERENCE_MODE=false: the base has it already",
        "leaving out INTRA_OP_THREAD_COUNT=1: the base has it already",
        "leaving out INFERENCE_MODE=false: the base has it already",
    ]  # fmt: skip


def test_parameters_that_are_spelled_alike_are_models_of_their_own() -> None:
    given = ["A=true", "A=TRUE", "A = true", "A=tru!e", "A= TRUE"]
    arms = arms_of(files=False, cores=2, wanted=["threads"], threads=(1,), parameters=given)
    assert [(arm.name, arm.title) for arm in arms[2:]] == [
        ("set_a_true", "A=true"), ("set_a_true_2", "A=TRUE"), ("set_a_tru_e", "A=tru!e"),
    ]  # fmt: skip


def test_nothing_is_removed_that_was_there(net: Path, tmp_path: Path) -> None:
    source = Module(f"{net}:Net", OPTIONS, "cpu", quiet)
    twice = [Arm("same", "one", parameters={"A": "1"}), Arm("same", "two", parameters={"A": "2"})]
    with pytest.raises(Misused, match="two arms are called same"):
        build(source, twice, tmp_path / "r", quiet)
    assert (tmp_path / "r" / "same" / "1" / "model.pt").exists()


def test_directories_of_a_copy_are_writable_and_files_stay_as_they_are(tmp_path: Path) -> None:
    version = tmp_path / "served" / "1"
    version.mkdir(parents=True)
    (version / "model.pt").write_text("weights")
    (version / "model.pt").chmod(0o444)
    for place in (version, version.parent):
        place.chmod(0o555)
    copied(tmp_path / "served", tmp_path / "copy")
    for place in (tmp_path / "copy", tmp_path / "copy" / "1"):
        assert place.stat().st_mode & 0o700 == 0o700
    assert (version / "model.pt").stat().st_mode & 0o777 == 0o444
    assert version.stat().st_mode & 0o777 == 0o555
    for place in (version.parent, version):
        place.chmod(0o755)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wanted": ["quantized"]}, "there is no 'quantized'"),
        ({"wanted": ["frozen"], "files": False}, "there is no 'frozen'"),
        ({"parameters": ["INTER_OP"]}, "is not KEY=VALUE"),
        ({"parameters": ["=1"]}, "is not KEY=VALUE"),
    ],
)
def test_arms_that_are_none(options: dict[str, Any], message: str) -> None:
    with pytest.raises(Misused, match=message):
        names(**options)


def test_the_repository(net: Path, tmp_path: Path) -> None:
    source = Module(f"{net}:Net", OPTIONS, "cpu", quiet)
    arms = arms_of(files=True, cores=2, wanted=["frozen", "float16", "no_inference_mode"])
    signature, built = build(source, arms, tmp_path / "r", quiet)
    assert [one.arm.name for one in built if not one.refused] == [
        "base", "control", "frozen", "float16", "no_inference_mode",
    ]  # fmt: skip
    assert signature.max_batch_size == 4
    configs = {one.arm.name: read_config(tmp_path / "r" / one.arm.name) for one in built}
    bare = {}
    for name, config in configs.items():
        assert config.name == name
        found = {key: value.string_value for key, value in config.parameters.items()}
        assert found == ({"INFERENCE_MODE": "false"} if name == "no_inference_mode" else {})
        config.ClearField("parameters")
        config.ClearField("name")
        bare[name] = config
    # Beside the one change nothing differs, float16 included: it takes and gives FP32.
    assert all(config == bare["base"] for config in bare.values())
    files = {name: (tmp_path / "r" / name / "1" / "model.pt").read_bytes() for name in configs}
    assert files["control"] == files["base"] == files["no_inference_mode"]
    assert len({files["base"], files["frozen"], files["float16"]}) == 3
    record = read_sidecar(tmp_path / "r" / "float16" / "1")
    assert record is not None
    assert len(record.parity) > 1
    assert {one.datatype for one in (*record.inputs, *record.outputs)} == {"FP32"}


def test_what_is_not_possible_is_refused_with_its_reason(net: Path, tmp_path: Path) -> None:
    source = Module(f"{net}:Numbers", OPTIONS, "cpu", quiet)
    arms = arms_of(files=True, cores=2, wanted=["bfloat16", "no_inference_mode"])
    _, built = build(source, arms, tmp_path / "r", quiet)
    found = {one.arm.name: one.refused for one in built}
    assert found == {
        "base": "", "control": "", "no_inference_mode": "",
        "bfloat16": "the module has no float32 weights to make smaller",
    }  # fmt: skip
    assert not (tmp_path / "r" / "bfloat16").exists()


def test_a_script_has_no_half_precision(net: Path, tmp_path: Path) -> None:
    source = Module(f"{net}:Net", {**OPTIONS, "method": "script"}, "cpu", quiet)
    _, built = build(source, arms_of(files=True, cores=2, wanted=["float16"]), tmp_path / "r",
                     quiet)  # fmt: skip
    assert "by tracing" in built[-1].refused


def test_a_model_of_a_repository_keeps_its_file(net: Path, tmp_path: Path) -> None:
    made = Module(f"{net}:Net", OPTIONS, "cpu", quiet)
    made.make(Arm("served", "", parameters={"ENABLE_CACHE_CLEANING": "true"}), tmp_path / "served")
    before = {p: p.read_bytes() for p in (tmp_path / "served").rglob("*") if p.is_file()}
    source = Repository(tmp_path, "served", 16)
    assert source.parameters == {"ENABLE_CACHE_CLEANING": "true"}
    # The file takes and gives FP32, and nobody says what computes inside.
    assert source.precision == ""
    assert ROUNDING[source.precision] == ROUNDING_ON_GPU[source.precision] == 2e-2
    arms = arms_of(files=False, cores=2, wanted=["no_optimized_execution"])
    signature, _ = build(source, arms, tmp_path / "r", quiet)
    config = read_config(tmp_path / "r" / "no_optimized_execution")
    assert sorted(config.parameters) == ["DISABLE_OPTIMIZED_EXECUTION", "ENABLE_CACHE_CLEANING"]
    assert signature.inputs[0].shape == (4,)
    assert {p: p.read_bytes() for p in before} == before
    # without the side-car, config.pbtxt says the same
    (tmp_path / "served" / "1" / "export.json").unlink()
    again, _ = build(source, (), tmp_path / "again", quiet)
    assert replace(again, axes={}) == replace(signature, axes={})


def test_a_module_that_is_half_already(net: Path, tmp_path: Path) -> None:
    net.write_text(f"{NET}\ndef half():\n    return Net().half()\n")
    options = {**OPTIONS, "inputs": ("features:FP16:4",)}
    source = Module(f"{net}:half", options, "cpu", quiet)
    assert (source.precision, source.reference) == (
        "float16", "the module in eager float16, on the CPU",
    )  # fmt: skip
    _, built = build(source, arms_of(files=True, cores=2, wanted=["bfloat16"]), tmp_path / "r",
                     quiet)  # fmt: skip
    assert "no float32 weights" in built[-1].refused


def test_reasons_are_one_line() -> None:
    assert why(ExportRefused("it differs\nfar", "mend it")) == "it differs"
    assert why(RuntimeError("\"tril\" not implemented for 'Half'\nmore")) == (
        "RuntimeError: \"tril\" not implemented for 'Half'"
    )
    trace = "The following operation failed in the TorchScript interpreter.\nTrace\nRuntimeError: x"
    assert why(ToolError(trace)) == "RuntimeError: x"
    assert why(KeyError()) == "KeyError"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give DIRECTORY, --module PLACE:NAME, or --repository DIR"),
        ([".", "--module", "a:B"], "give DIRECTORY, --module PLACE:NAME, or --repository DIR"),
        (["--repository", "."], "go together"),
        ([".", "--model", "x"], "go together"),
        ([".", "--batch", "0"], "is not like 1,8,32"),
        ([".", "--threads", "a"], "is not like 1,8,32"),
        (["nowhere"], "does not exist"),
    ],
)
def test_command_lines_that_mean_nothing(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(cli, ["ablate", *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}", "--arms", "quantized"], "one of frozen, optimized"),
        (["{}"], "config.json"),
        (["--module", "{}/net.py:Other"], "has no 'Other'"),
        (["--repository", "{}", "--model", "missing"], "has no config.pbtxt"),
        (["--repository", "{}", "--model", "python"], "served by the backend python"),
        (["--repository", "{}", "--model", "python", "--arms", "frozen"], "only be made anew"),
        (["--repository", "{}", "--model", "four", "--batch", "1,8"], "takes 4 rows at most"),
    ],
)
def test_what_is_asked_of_the_wrong_thing(
    net: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "config.pbtxt").write_text('backend: "python"\n')
    (tmp_path / "four").mkdir()
    (tmp_path / "four" / "config.pbtxt").write_text('backend: "pytorch"\nmax_batch_size: 4\n')
    filled = [one.replace("{}", str(tmp_path)) for one in arguments]
    result = CliRunner().invoke(cli, ["ablate", "--device", "cpu", *filled])
    assert isinstance(result.exception, Misused), result.output
    assert message in str(result.exception)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        ("run A has 3 bad answers: 3× wrong value", NotMeasured, "run A"),
        ("run B got no answer within its window", NotMeasured, "more --seconds"),
        ("run B has 2 bad answers: 2× no whole answer within 60 s", NotMeasured, "no whole answer"),
        ("run B has 3 bad answers: 3× wrong value", ToolError, "wrong under load"),
        ("run B has 3 bad answers: 2× no whole answer within 60 s; 1× wrong value", ToolError,
         "wrong under load"),
    ],
)  # fmt: skip
def test_whose_fault_it_is(error: str, kind: type[ToolError], message: str) -> None:
    """Only wrong answers of the arm itself refuse it."""
    session = object.__new__(Session)
    session.wanted = Wanted((1,), (1,), 8, 0.2, 2, 0)
    asked: list[float] = []

    def measure(seconds: float) -> Paired:
        asked.append(seconds)
        raise AssertionError(error)

    with pytest.raises(ToolError, match=message) as found:
        session._again(measure, AssertionError(error))
    assert type(found.value) is kind
    assert asked == ([1.0] if kind is NotMeasured else [])  # what may pass is tried once more
