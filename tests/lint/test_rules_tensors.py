"""Rules of tensors, their labels and their shapes."""

# ruff: noqa: E501  (a case is one line)

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from lint_model import CODE, MODEL, PYTHON, X, Y, alone, found, write

from pytest_triton.repository.config import parse_config
from pytest_triton.repository.lint import lint
from pytest_triton.repository.lint.finding import apply_edits

# -- tensors -----------------------------------------------------------------------------

UNNAMED = "input [ { data_type: TYPE_FP32 dims: [ 4 ] } ]\n" + Y
UNTYPED = X + 'output [ { name: "y" dims: [ 4 ] } ]\n'
WITHOUT_DIMS = 'input [ { name: "x" data_type: TYPE_FP32 } ]\n' + Y


@pytest.mark.parametrize(
    ("tensors", "rule"), [(UNNAMED, "TEN001"), (UNTYPED, "TEN002"), (WITHOUT_DIMS, "TEN003")]
)
@pytest.mark.parametrize(
    ("backend", "files", "severity"),
    [
        ("python", MODEL, "error"),
        ("python", {"1/model.py": CODE + "    def auto_complete_config(config): ...\n"}, "warning"),
        ("python", {"1/model.py": "from base import TritonPythonModel\n"}, "warning"),
        ("python", {"2/other.py": ""}, "warning"),
        ("pytorch", {"1/model.pt": ""}, "error"),
        ("my_own", {"1/x": ""}, "warning"),
        ("onnxruntime", {"1/model.onnx": ""}, ""),
        ("tensorrt", {"1/model.plan": ""}, ""),
        ("openvino", {"1/model.xml": ""}, ""),
    ],
)
def test_what_a_backend_fills_in_is_not_missing(
    tmp_path: Path, tensors: str, rule: str, backend: str, files: Mapping[str, str], severity: str
) -> None:
    told = found(tmp_path, f'backend: "{backend}"\n{tensors}', files)
    assert [one.rpartition(" ")[0] for one in told] == ([f"{severity} {rule}"] if severity else [])


def test_what_is_misspelled_is_not_missing(tmp_path: Path) -> None:
    text = 'backend: "python"\ninput [ { name: "x" dtype: TYPE_FP32 dims: [ 4 ] } ]\n' + Y
    assert found(tmp_path, text) == ["error CFG003 2:21"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ('input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] },\n { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]\n' + Y, ["error TEN004 3:10"]),
        (X + 'output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]\n' + Y, ["error TEN004 4:18"]),
        (X + Y.replace('"y"', '"x"'), ["warning TEN005 3:18"]),
        (X.replace("dims", "format: FORMAT_NHWC dims") + Y, ["error TEN010 2:50"]),
        (X.replace("dims: [ 4 ]", "format: FORMAT_NHWC dims: [ 8, 8, 3 ]") + Y, []),
        (X.replace("dims", "format: FORMAT_NONE dims") + Y, []),
        (X + Y.replace("dims", "is_shape_tensor: true dims"), ["error TEN011 3:60"]),
        (X + Y.replace("dims", "is_shape_tensor: false dims"), []),
        (X.replace("dims", "allow_ragged_batch: true dims") + Y, ["warning TEN012 2:62"]),
        ("max_batch_size: 4\ndynamic_batching { }\n" + X.replace("dims", "allow_ragged_batch: true dims") + Y, []),
        (X, ["warning TEN013 1:1"]),
        (Y, ["info TEN013 1:1"]),
        (X.replace("TYPE_FP32", "TYPE_BF16") + Y, ["info TEN009 2:32"]),
        (X.replace("TYPE_FP32", "99") + Y, ["warning CFG004 2:32"]),
    ],
)  # fmt: skip
def test_tensors(tmp_path: Path, config: str, expected: list[str]) -> None:
    assert found(tmp_path, 'backend: "python"\n' + config) == expected


@pytest.mark.parametrize("kind", ["TYPE_FP64", "TYPE_STRING", "TYPE_UINT16", "TYPE_INT16"])
def test_types_that_tensorrt_does_not_have(tmp_path: Path, kind: str) -> None:
    text = 'platform: "tensorrt_plan"\n' + X.replace("TYPE_FP32", kind) + Y
    assert alone(tmp_path, text) == ["error TEN009"]


def test_tensorrt_has_what_is_its_own(tmp_path: Path) -> None:
    text = 'backend: "tensorrt"\n' + X.replace("dims", "is_shape_tensor: true dims") + Y
    text += 'instance_group [ { kind: KIND_GPU profile: [ "0", "1" ] } ]'
    assert alone(tmp_path, text) == []


LABELLED = X + Y.replace("dims", 'label_filename: "labels.txt" dims')


@pytest.mark.parametrize(
    ("config", "files", "expected"),
    [
        (LABELLED, {}, ["error TEN006 3:59"]),
        (LABELLED, {"1/labels.txt": "a\nb\nc\nd\n"}, ["error TEN006 3:59"]),
        (LABELLED, {"labels.txt/x": ""}, ["error TEN006 3:59"]),
        (LABELLED, {"labels.txt": "a\nb\n"}, ["warning TEN007 3:59"]),
        (LABELLED, {"labels.txt": "a\nb\nc\nd\n\n"}, ["warning TEN007 3:59"]),
        (LABELLED, {"labels.txt": ""}, ["warning TEN007 3:59"]),
        (LABELLED, {"labels.txt": "a\nb\nc\nd"}, []),
        (LABELLED, {"labels.txt": b"\xff\n\xfe\nc\nd\n"}, []),
        (LABELLED.replace('"labels', '"/labels'), {"labels.txt": "a\nb\nc\nd\n"}, []),
        (LABELLED.replace("[ 4 ] } ]\n", "[ -1 ] } ]\n"), {"labels.txt": "a\n"}, []),
        (LABELLED.replace("[ 4 ]", "[ 128, 9 ]"), {"labels.txt": "a\n" * 9}, []),
        (LABELLED.replace("[ 4 ]", "[ 128, 9 ]"), {"labels.txt": "a\n" * 10}, ["warning TEN007 3:59"]),
        (X + Y.replace("dims", 'label_filename: "labels.txt" dims').replace("TYPE_FP32", "TYPE_STRING"), {"labels.txt": "a\nb\nc\nd\n"}, ["warning TEN008 3:61"]),
    ],
)  # fmt: skip
def test_labels(
    tmp_path: Path, config: str, files: Mapping[str, str | bytes], expected: list[str]
) -> None:
    assert found(tmp_path, 'backend: "python"\n' + config, {**MODEL, **files}) == expected


def test_labels_of_a_lone_configuration_are_not_looked_for(tmp_path: Path) -> None:
    assert alone(tmp_path, 'backend: "python"\n' + LABELLED) == []


# -- shapes ------------------------------------------------------------------------------


def batching(backend: str, dims: str, name: str = "x", output: str = "[ 4 ]") -> str:
    return (
        f'backend: "{backend}"\nmax_batch_size: 8\n'
        f'input [ {{ name: "{name}" data_type: TYPE_FP32 dims: {dims} }} ]\n'
        f'output [ {{ name: "y" data_type: TYPE_FP32 dims: {output} }} ]\ndynamic_batching {{ }}\n'
    )


@pytest.mark.parametrize("backend", ["pytorch", "onnxruntime", "tensorrt", "tensorflow"])
@pytest.mark.parametrize(
    "dims",
    ["[ -1, 3, 224, 224 ]", "[ -1, 1, 28, 28 ]", "[ -1, -1, -1, 3 ]", "[ -1, 3, -1, -1 ]", "[ -1, 640, 480, 4 ]"],
)  # fmt: skip
def test_an_image_with_its_batch(tmp_path: Path, backend: str, dims: str) -> None:
    assert "error SHP001" in alone(tmp_path, batching(backend, dims))


def test_the_place_of_a_batch_is_dims(tmp_path: Path) -> None:
    text = batching("pytorch", "[ -1, 3, 224, 224 ]", output="[ -1, 1000 ]")
    findings = [one for one in lint(write(tmp_path, text, {})).findings if one.rule == "SHP001"]
    assert [(one.severity, one.line, one.column) for one in findings] == [
        ("error", 3, 42), ("warning", 4, 43),
    ]  # fmt: skip
    assert "[-1, -1, 3, 224, 224]" in findings[0].message
    mended = parse_config(apply_edits(text, findings[0].edits + findings[1].edits))
    assert list(mended.input[0].dims) == [3, 224, 224]
    assert list(mended.output[0].dims) == [1000]
    lines = text.replace("dims: [ -1, 3, 224, 224 ]", "dims: -1 dims: 3 dims: 224 dims: 224")
    (tmp_path / "m" / "config.pbtxt").write_text(lines)
    (edit,) = next(one for one in lint(tmp_path).findings if one.rule == "SHP001").edits
    assert list(parse_config(apply_edits(lines, (edit,))).input[0].dims) == [3, 224, 224]


@pytest.mark.parametrize(
    "text",
    [
        batching("pytorch", "[ -1 ]"),
        batching("pytorch", "[ -1, 768 ]"),
        batching("pytorch", "[ -1, 80, 3000 ]"),
        batching("pytorch", "[ 3, 224, 224 ]"),
        batching("pytorch", "[ -1, 12, 64, 64 ]"),
        batching("pytorch", "[ -1, 3, 4, 4 ]"),
        batching("pytorch", "[ -1, 3, 224, 224 ]", name="frames"),
        batching("pytorch", "[ 1, 3, 224, 224 ]", name="video"),
        batching("pytorch", "[ -1, 3, 224, 224 ] reshape { shape: [ -1, 150528 ] }"),
        batching("pytorch", "[ 1, 28, 28 ]"),
        batching("python", "[ 4 ]", output="[ -1, 1, 32, 100 ]"),
        batching("dali", "[ -1 ]", output="[ 3, 224, 224 ]"),
        batching("pytorch", "[ -1, -1 ]"),
        batching("pytorch", "[ -1, 3, 224, 224 ]").replace("max_batch_size: 8", "").replace("dynamic_batching { }", ""),
    ],
)  # fmt: skip
def test_a_variable_axis_is_no_batch(tmp_path: Path, text: str) -> None:
    assert not [one for one in alone(tmp_path, text) if "SHP" in one]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (batching("python", "[ -1, 3, 224, 224 ]"), "warning SHP001"),
        (batching("onnxruntime", "[ 1, 3, 224, 224 ]"), "warning SHP005"),
        (batching("onnxruntime", "[ -1, -1 ]", name="input_ids"), "warning SHP001"),
        (batching("pytorch", "[ 150528 ] reshape { shape: [ 1, 3, 224, 224 ] }"), "warning SHP005"),
    ],
)
def test_weaker_evidence_is_a_warning(tmp_path: Path, text: str, expected: str) -> None:
    assert [one for one in alone(tmp_path, text) if "SHP" in one] == [expected]


def record(batch: int, shape: list[int]) -> str:
    tensor = {"name": "x", "shape": shape}
    return json.dumps({"max_batch_size": batch, "inputs": [tensor], "outputs": []})


@pytest.mark.parametrize(
    ("dims", "record", "expected"),
    [
        ("[ -1, 16 ]", record(8, [-1, 16]), ["error SHP001 3:42"]),
        ("[ 1, 16 ]", record(8, [-1, 16]), ["error SHP001 3:42"]),
        ("[ -1, 16 ]", record(8, [-1, -1, 16]), []),
        ("[ -1, 3, 224, 224 ]", record(8, [-1, -1, 3, 224, 224]), []),
        ("[ -1, 16 ]", record(0, [-1, 16]), []),
        ("[ -1, 16 ]", "[", []),
        ("[ -1, 16 ]", '{"max_batch_size": 8, "inputs": [3], "outputs": 4}', []),
    ],
)
def test_what_the_exporter_recorded_is_evidence(
    tmp_path: Path, dims: str, record: str, expected: list[str]
) -> None:
    files = {"1/model.pt": "", "1/export.json": record}
    told = found(tmp_path, batching("pytorch", dims), files)
    assert [one for one in told if "SHP" in one] == expected


@pytest.mark.parametrize(
    ("dims", "shape", "rule"),
    [
        ("4", "2, 2", ""),
        ("4", "1, 4, 1", ""),
        ("4", "2, 3", "SHP003"),
        ("4", "0", "SHP003"),
        ("4", "-1", "SHP003"),
        ("-1", "4", "SHP003"),
        ("-1, 4", "-1, 2, 2", ""),
        ("-1, 4", "4, -1", "SHP003"),
        ("2, -1, 3, -1, 4", "-1, 3, -1, 4", "SHP003"),
        ("2, 1, -1, 3, -1", "2, -1, 1, 3, -1", ""),
        ("-1, -1", "-1", "SHP003"),
        ("1", "", "SHP004"),
        ("4", "", "SHP004"),
        ("0", "0", "SHP002"),
        ("-2", "", "SHP002"),
    ],
)
def test_reshape(tmp_path: Path, dims: str, shape: str, rule: str) -> None:
    text = PYTHON.replace("dims: [ 4 ]", f"dims: [ {dims} ] reshape {{ shape: [ {shape} ] }}", 1)
    assert [one.split()[1] for one in found(tmp_path, text)] == ([rule] if rule else [])


@pytest.mark.parametrize(("dims", "expected"), [("1", []), ("1, 1", []), ("4", ["error SHP003"])])
def test_an_empty_reshape_needs_a_batch(tmp_path: Path, dims: str, expected: list[str]) -> None:
    assert alone(tmp_path, batching("python", f"[ {dims} ] reshape {{ shape: [ ] }}")) == expected


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("-1, 4", "-1, 4", True),
        ("-1, 4", "4", False),
        ("-1, -1", "-1, 4", False),
        ("-1", "-1", False),
    ],
)
def test_a_leading_variable_size_everywhere_is_an_info(
    tmp_path: Path, first: str, second: str, told: bool
) -> None:
    text = (
        'backend: "python"\nmax_batch_size: 8\ndynamic_batching { }\n'
        + X.replace("[ 4 ]", f"[ {first} ]") + Y.replace("[ 4 ]", f"[ {second} ]")
    )  # fmt: skip
    said = [one for one in lint(write(tmp_path, text, MODEL)).findings if one.rule == "SHP001"]
    assert [(one.severity, one.line, one.edits) for one in said] == [("info", 4, ())] * told
