"""Rules of versions, releases, the response cache and instance groups."""

# ruff: noqa: E501  (a case is one line)

from __future__ import annotations

from pathlib import Path

import pytest
from lint_model import CODE, MODEL, PYTHON, X, Y, found, write

from pytest_triton.repository.lint import LintOptions, lint

# -- versions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "versions", "expected"),
    [
        ("latest { num_versions: 0 }", "12", ["error VER001 4:41"]),
        ("latest { }", "12", ["error VER001 4:18"]),
        ("latest { num_versions: 9 }", "12", []),
        ("all { }", "12", []),
        ("", "12", ["warning VER003 4:16"]),
        ("specific { versions: [ 2 ] }", "12", []),
        ("specific { versions: [ 1, 7, 8 ] }", "12", ["warning VER002 4:44"]),
        ("specific { versions: [ 7 ] }", "12", ["error VER001 4:27"]),
        ("specific { }", "12", ["error VER001 4:27"]),
        ("specific { versions: [ 7 ] }", "", []),
    ],
)
def test_version_policy(tmp_path: Path, policy: str, versions: str, expected: list[str]) -> None:
    files = {f"{version}/model.py": CODE for version in versions}
    assert found(tmp_path, f"{PYTHON}version_policy {{ {policy} }}", files) == expected


def test_version_directories(tmp_path: Path) -> None:
    files = {f"{name}/model.py": CODE for name in ("0", "20240101120000", "9" * 19)}
    write(tmp_path, PYTHON, files)
    told = {(one.rule, one.file) for one in lint(tmp_path).findings if one.rule[:3] == "VER"}
    assert told == {("VER004", "m/0"), ("VER005", f"m/{'9' * 19}")}


# -- releases ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "first", "before"),
    [
        ("sequence_batching { iterative_sequence: true }", "23.11", "23.10"),
        ('sequence_batching { state [ { input_name: "a" output_name: "b" data_type: TYPE_FP32 dims: [ 1 ] use_growable_memory: true } ] }', "23.11", "23.10"),
        ('runtime: "model.py"', "24.01", "23.12"),
        ('model_metrics { metric_control: [ { metric_identifier: { family: "f" } histogram_options: { buckets: [ 1 ] } } ] }', "24.11", "24.10"),
        ("ensemble_scheduling { max_inflight_requests: 4 }", "25.11", "25.10"),
    ],
)  # fmt: skip
def test_fields_and_releases(tmp_path: Path, field: str, first: str, before: str) -> None:
    path = write(tmp_path, PYTHON + field, MODEL)

    def told(release: str) -> list[str]:
        result = lint(path, LintOptions(release=release))
        return [one.severity for one in result.findings if one.rule == "REL001"]

    assert told("") == ["info"]
    assert told(before) == ["error"]
    assert told(first) == told("26.08") == []


def test_a_key_that_is_called_like_a_field(tmp_path: Path) -> None:
    text = PYTHON + 'parameters { key: "runtime" value { string_value: "x" } }'
    assert found(tmp_path, text, release="23.10") == []


def test_an_old_tritonclient_does_not_make_a_new_field_a_mistake() -> None:
    from pytest_triton.repository.lint.gates import gate_of
    from pytest_triton.repository.positions import Mistake, Position

    def unknown(name: str, within: str) -> Mistake:
        return Mistake("field", Position(1, 1), "", name, within, (), (name,))

    assert gate_of(unknown("max_inflight_requests", "ModelEnsembling")) == "25.11"
    assert gate_of(unknown("max_inflight_request", "ModelEnsembling")) == ""
    assert gate_of(unknown("model_metrics", "ModelInput")) == ""


@pytest.mark.parametrize(
    ("platform", "release", "expected"),
    [
        ("tensorflow_savedmodel", "", ["info REL002"]),
        ("tensorflow_savedmodel", "25.02", []),
        ("tensorflow_graphdef", "25.03", ["error REL002"]),
        ("torch_aoti", "", ["info REL003"]),
        ("torch_aoti", "26.02", ["error REL003"]),
        ("torch_aoti", "26.03", []),
        ("libtorch", "", ["warning REL003"]),
        ("libtorch", "24.07", ["error REL003"]),
        ("onnxruntime_onnx", "26.08", []),
    ],
)
def test_platforms_and_releases(
    tmp_path: Path, platform: str, release: str, expected: list[str]
) -> None:
    path = write(tmp_path, f'platform: "{platform}"\n' + X + Y, {}) / "m" / "config.pbtxt"
    result = lint(path, LintOptions(release=release))
    assert [
        f"{one.severity} {one.rule}" for one in result.findings if one.rule[:3] == "REL"
    ] == expected


# -- response cache ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("response_cache { enable: true }", ["info CCH003 4:26"]),
        ("response_cache { enable: true } sequence_batching { }", ["error CCH001 4:26"]),
        ("response_cache { enable: true } model_transaction_policy { decoupled: true }", ["error CCH002 4:26"]),
        ("response_cache { } sequence_batching { }", []),
        ("response_cache { enable: false } model_transaction_policy { decoupled: true }", []),
    ],
)  # fmt: skip
def test_response_cache(tmp_path: Path, config: str, expected: list[str]) -> None:
    assert found(tmp_path, PYTHON + config) == expected


# -- instance groups ---------------------------------------------------------------------


def resource(text: str) -> str:
    return f"{{ kind: KIND_CPU rate_limiter {{ resources [ {text} ] }} }}"


@pytest.mark.parametrize(
    ("groups", "gpus", "expected"),
    [
        ("{ count: 0 }", None, ["warning GRP001 4:27"]),
        ("{ count: -2 }", None, ["warning GRP001 4:27"]),
        ("{ }, { kind: KIND_CPU }", None, []),
        ("{ kind: KIND_CPU gpus: [ 0 ] }", None, ["error GRP002 4:43"]),
        ("{ kind: KIND_MODEL gpus: 0 }", None, ["error GRP002 4:43"]),
        ("{ kind: KIND_GPU }", None, []),
        ("{ kind: KIND_GPU }", 0, ["error GRP003 4:26"]),
        ("{ kind: KIND_GPU }", 1, []),
        ("{ kind: KIND_AUTO }", 0, []),
        ("{ gpus: [ 0 ] }", 0, ["error GRP003 4:28"]),
        ("{ kind: KIND_GPU gpus: [ 0, 3 ] }", 2, ["error GRP003 4:46"]),
        ("{ kind: KIND_GPU gpus: [ 0, 3 ] }", None, []),
        ("{ gpus: [ 1, 1, 2 ] }", None, ["warning GRP004 4:28"]),
        ("{ kind: KIND_CPU passive: true }", None, ["error GRP005 4:44"]),
        ("{ kind: KIND_CPU passive: true }, { kind: KIND_CPU }", None, []),
        ('{ name: "a" }, { name: "b" }', None, []),
        ('{ name: "a" kind: KIND_CPU }, { name: "a" kind: KIND_CPU }', None, ["warning GRP006 4:56"]),
        ("{ gpus: [ 0 ] }, { gpus: [ 1 ] }", None, []),
        ("{ gpus: [ 0 ] }, { gpus: [ 0, 1 ] }", None, ["warning GRP007 4:35"]),
        ("{ kind: KIND_GPU }, { gpus: [ 1 ] }", None, ["warning GRP007 4:38"]),
        ("{ kind: KIND_GPU count: 4 }, { kind: KIND_CPU }", None, []),
        (resource('{ name: "R" count: 1 }'), None, ["info GRP010 4:48"]),
        (resource("{ count: 1 }"), None, ["info GRP010 4:48", "warning GRP008 4:62"]),
        (resource('{ name: "R" }'), None, ["info GRP010 4:48", "warning GRP008 4:62"]),
        (resource('{ name: "R" count: 1 global: true }') + ",\n" + resource('{ name: "R" count: 1 }'), None, ["info GRP010 4:48", "warning GRP008 5:45"]),
        ("{ rate_limiter { priority: 2 } }", None, []),
        ('{ kind: KIND_CPU profile: "0" }', None, ["error GRP009 4:44"]),
        ('{ host_policy: "numa_1" kind: KIND_CPU }', None, []),
    ],
)  # fmt: skip
def test_instance_groups(
    tmp_path: Path, groups: str, gpus: int | None, expected: list[str]
) -> None:
    assert found(tmp_path, f"{PYTHON}instance_group [ {groups} ]", gpus=gpus) == expected


def test_instances_of_one_place_are_counted(tmp_path: Path) -> None:
    text = PYTHON + "instance_group [ { gpus: [ 0 ] count: 2 }, { gpus: [ 0 ] count: 3 } ]"
    write(tmp_path, text, MODEL)
    (one,) = [one for one in lint(tmp_path).findings if one.rule == "GRP007"]
    assert "gpu 0 (5 there)" in one.message
