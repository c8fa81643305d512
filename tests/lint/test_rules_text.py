"""Rules of the text, of names, platforms and backends, and of fields of no other family."""

# ruff: noqa: E501  (a case is one line)

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from lint_model import MODEL, PYTHON, X, Y, alone, found, write

from pytest_triton.repository.config import parse_config
from pytest_triton.repository.lint import lint
from pytest_triton.repository.lint.finding import apply_edits

# -- the text ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected", "said", "fix"),
    [
        ('backend = "python"\n' + X + Y, "CFG002 1:9", "colon", "write  :"),
        ("backend:\u00a0\"python\"\n" + X + Y, "CFG002 1:9", "no-break space", "plain space"),
        ("backend: “python”\n" + X + Y, "CFG002 1:10", "left double quotation mark", "plain quote"),
        ("\ufeff" + PYTHON, "CFG002 1:1", "byte order mark", "without one"),
        ("// the model\n" + PYTHON, "CFG002 1:1", "comments begin with #", "write  #"),
        (PYTHON.replace("[ 4 ]", "[ 4, ]", 1), "CFG002 2:53", "comma", "take the comma out"),
        (PYTHON.replace("dims: [ 4 ]", "dims [ 4 ]", 1), "CFG002 2:47", "colon is missing", "name: value"),
        (PYTHON.replace("[ 4 ]", "[ 4 5 ]", 1), "CFG002 2:52", "comma is missing", "add a comma"),
        (PYTHON + "version_policy { specific { versions: [ 1 } }", "CFG002 4:43", "comma is missing", "add a comma"),
        (PYTHON.replace("} ]", "}", 1), "CFG002 3:1", "before the list is closed", "add  ]"),
        (PYTHON + "instance_group [ { }\n", "CFG002 5:1", "the file ends before the list", "add  ]"),
        (PYTHON + "parameters {\n", "CFG002 4:12", "the file ends inside", "close it with"),
        ('{ "backend": "python" }', "CFG002 1:1", "bracket", "not JSON"),
        (PYTHON + 'metric_tags { key: "a" value: "\\d" }', "CFG002 4:32", "escape", "two backslashes"),
        ('backend: "python\n' + X, "CFG002 1:10", "does not end on its line", "close it"),
        (PYTHON + "max_batch_size: 8.0", "CFG007 4:17", "takes an integer, not 8.0", "write 8"),
        (PYTHON + "max_batch_size: '8'", "CFG007 4:17", "takes an integer", "write 8"),
        (PYTHON.replace("TYPE_FP32", '"TYPE_FP32"', 1), "CFG007 2:32", "DataType", "write TYPE_FP32"),
        (PYTHON + "max_batch_size: 2147483648", "CFG007 4:17", "to 2147483647, not 2147483648", "that range"),
        (PYTHON + "}\n", "CFG002 4:1", "is expected, not '}'", "take it out"),
        (PYTHON + "dynamic_batching 3", "CFG002 4:18", "not '3'", "write  name { … }"),
        (PYTHON + "name:", "CFG002 4:6", "not the end of the file", "write  name: value"),
        ("\ufffd\ufffdb\0a\0c\0k\0e\0n\0d\0", "CFG002 1:1", "UTF-16", "save it as UTF-8"),
        (PYTHON + "response_cache { enable: OFF }", "CFG007 4:26", "true or false", "write false"),
        (PYTHON.replace('"python"', "python"), "CFG007 1:10", "takes a string", 'write "python"'),
        (PYTHON + 'name: "m"\nname: "m"', "CFG005 5:1", "name is set twice", "keep one name"),
        (PYTHON + "version_policy { all {} latest { num_versions: 1 } }", "CFG006 4:25", "beside all", "take out latest or all"),
        (PYTHON + "max_batchsize: 8", "CFG003 4:1", "no field 'max_batchsize'", "write max_batch_size"),
        (PYTHON.replace("TYPE_FP32", "FLOAT32", 1), "CFG004 2:32", "no value FLOAT32", "write TYPE_FP32"),
    ],
)  # fmt: skip
def test_text(tmp_path: Path, text: str, expected: str, said: str, fix: str) -> None:
    result = lint(write(tmp_path, text, MODEL))
    (one,) = [finding for finding in result.findings if finding.severity == "error"]
    assert f"{one.rule} {one.line}:{one.column}" == expected
    assert said in one.message
    assert "Triton refuses the file" in one.message
    assert fix in one.fix
    if one.edits:
        assert "\n".join(apply_edits(text, one.edits).split("\n")) != text


@pytest.mark.parametrize(
    "text",
    [
        'backend = "python"\n' + X + Y,
        "backend:\u00a0\"python\"\n" + X + Y,
        PYTHON.replace("[ 4 ]", "[ 4, ]", 1),
        PYTHON + 'metric_tags { key: "a" value: "\\d" }',
        PYTHON + "max_batch_size: '8'\ndynamic_batching { preserve_ordering: TRUE }",
        PYTHON.replace("TYPE_FP32", '"TYPE_FP32"', 1) + "max_batchsize: 0",
        "// the model\n" + PYTHON,
        "\ufeff" + PYTHON,
    ],
)  # fmt: skip
def test_the_edits_of_a_text_make_it_one(tmp_path: Path, text: str) -> None:
    edits = tuple(e for one in lint(write(tmp_path, text, MODEL)).findings for e in one.edits)
    assert parse_config(apply_edits(text, edits)).backend == "python"


def test_other_defects_are_found_beside_those_of_the_text(tmp_path: Path) -> None:
    text = PYTHON.replace("TYPE_FP32", "FP32", 1).replace("[ 4 ]", "[ 0 ]") + "foo: 3\nname: 'n'"
    assert found(tmp_path, text) == [
        "error CFG004 2:32", "error SHP002 2:45", "error SHP002 3:51", "error CFG003 4:1",
        "error CFG009 5:7",
    ]  # fmt: skip


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    value = PYTHON.encode() + b'parameters { key: "a" value { string_value: "\xfc" } }\n'
    assert found(tmp_path, value) == ["warning CFG008 4:46"]
    (tmp_path / "m" / "config.pbtxt").write_bytes(PYTHON.encode() + b"# f\xfcr\nname: 'n'\n")
    findings = [one for one in lint(tmp_path).findings if one.rule.startswith("CFG")]
    assert [f"{one.severity} {one.rule} {one.line}" for one in findings] == [
        "info CFG008 4", "error CFG009 5",
    ]  # fmt: skip
    assert not findings[1].edits, "columns of what was replaced fit no bytes"


def test_utf16(tmp_path: Path) -> None:
    assert "error CFG002 1:1" in found(tmp_path, PYTHON.encode("utf-16"))


# -- name, platform, backend -------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "files", "expected"),
    [
        ('name: "n"\n' + PYTHON, MODEL, ["error CFG009 1:7"]),
        ('name: "m"\n' + PYTHON, MODEL, []),
        (PYTHON + "max_batch_size: -3", MODEL, ["error CFG010 4:17"]),
        ('platform: "pytorch"\n' + X + Y, {"1/model.pt": "x"}, ["error CFG011 1:11"]),
        ('platform: "Pytorch_LibTorch"\n' + X + Y, {"1/model.pt": "x"}, ["error CFG011 1:11"]),
        ('platform: "caffe2_netdef"\n' + X + Y, {"1/model.netdef": "x"}, ["error CFG011 1:11"]),
        ('platform: "anything"\n' + PYTHON, MODEL, []),
        ('platform: "onnxruntime_onnx"\nbackend: "tensorrt"\n' + X + Y, {"1/model.plan": "x"}, ["error CFG012 1:11"]),
        ('platform: "pytorch_libtorch"\n' + PYTHON, MODEL, ["warning CFG013 1:11"]),
        ('platform: "pytorch_libtorch"\nbackend: "pytorch"\n' + X + Y, {"1/model.pt": "x"}, []),
        ('platform: "tensorflow_graphdef"\nbackend: "my_own"\n' + X + Y, {"1/x": ""}, ["warning CFG013 1:11"]),
        ('backend: "Python"\n' + X + Y, MODEL, ["error CFG014 1:10"]),
        ('backend: "onnx"\n' + X + Y, {"1/model.onnx": "x"}, ["error CFG014 1:10"]),
        ('backend: "pythn"\n' + X + Y, MODEL, ["warning CFG014 1:10"]),
        ('backend: "my_own"\n' + X + Y, {"1/x": ""}, []),
        (X + Y, {"1/": ""}, ["error CFG015 1:1"]),
        (X + Y, {"1/weights.bin": "x"}, ["error CFG015 1:1"]),
        (X + Y, MODEL, []),
        (X + Y, {"1/model.onnx": "x"}, []),
        ('default_model_filename: "model.plan"\n' + X + Y, {"1/x": ""}, []),
        ('default_model_filename: "net.pt"\n' + X + Y, {"1/net.pt": ""}, ["error CFG015 1:1"]),
        ('backend: "tensorflow"\n' + X + Y, {"1/net/": ""}, ["error CFG012 1:10", "info REL002 1:10"]),
        ('backend: "tensorflow"\n' + X + Y, {"1/model.savedmodel/": ""}, ["info REL002 1:10"]),
        (None, MODEL, []),
        (None, {"1/model.onnx": "x"}, []),
    ],
)  # fmt: skip
def test_platforms(
    tmp_path: Path, config: str | None, files: Mapping[str, str], expected: list[str]
) -> None:
    assert found(tmp_path, config, files) == expected


def test_a_name_with_a_dot_names_its_backend(tmp_path: Path) -> None:
    model = tmp_path / "model.identity"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(X + Y)
    assert "CFG015" not in {one.rule for one in lint(tmp_path).findings}


def test_the_name_of_a_lone_configuration_may_come_to_fit(tmp_path: Path) -> None:
    assert alone(tmp_path, 'name: "n"\n' + PYTHON) == ["warning CFG009"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ('parameters { key: "a" value { string_value: "1" } } parameters { key: "a" value { string_value: "2" } }', ["warning CFG016 4:53"]),
        ('parameters { key: "a" }', ["warning CFG016 4:12"]),
        ('parameters { value { string_value: "1" } }', ["warning CFG016 4:12"]),
        ('parameters { key: "a" value { string_value: "" } }', []),
        ('metric_tags { key: "cost-center" value: "1" }', ["error CFG017 4:13"]),
        ('metric_tags { key: "_private" value: "1" }', ["error CFG017 4:13"]),
        ('metric_tags { key: "größe" value: "1" }', ["error CFG017 4:13"]),
        ('metric_tags { key: "1st" value: "any thing" } metric_tags { key: "model" value: "x" }', []),
        ("optimization { cuda { graphs: true } graph { level: 1 } }", ["warning CFG018 4:21", "warning CFG018 4:44"]),
        ("optimization { priority: PRIORITY_MAX eager_batching: true input_pinned_memory { enable: false } }", []),
        ("optimization { cuda { graphs: false } }", []),
        ("model_transaction_policy { decoupled: true }", []),
        ('model_operations { op_library_filename: "a.so" }', ["warning CFG020 4:18"]),
        ('parameters { key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/env.tar.gz" } }', ["error CFG022 4:62"]),
        ('parameters { key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/1/model.py" } }', []),
        ('parameters { key: "EXECUTION_ENV_PATH" value { string_value: "/elsewhere/env.tar.gz" } }', []),
    ],
)  # fmt: skip
def test_general(tmp_path: Path, config: str, expected: list[str]) -> None:
    assert found(tmp_path, PYTHON + config) == expected


def test_decoupled_where_it_gives_nothing(tmp_path: Path) -> None:
    text = 'backend: "pytorch"\n' + X + Y + "model_transaction_policy { decoupled: true }"
    assert "warning CFG019" in alone(tmp_path, text)


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ("{ }", ["error CFG021"]),
        ('{ metric_identifier { family: "f" } }', ["error CFG021"]),
        ("{ histogram_options { buckets: [ 1 ] } }", ["error CFG021"]),
        ('{ metric_identifier { family: "f" } histogram_options { buckets: [ 1 ] } }', []),
    ],
)
def test_model_metrics(tmp_path: Path, control: str, expected: list[str]) -> None:
    text = PYTHON + f"model_metrics {{ metric_control: [ {control} ] }}"
    assert alone(tmp_path, text) == ["info REL001", *expected]
