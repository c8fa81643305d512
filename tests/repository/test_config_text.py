"""config.pbtxt: what is read out of it, and where an error is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_triton.repository.config import (
    MAX_CONFIG_BYTES,
    ConfigError,
    ModelTensor,
    backend_of,
    format_config,
    inputs_of,
    is_complete,
    missing_fields,
    model_file_of,
    outputs_of,
    parse_config,
    read_config,
    selected_versions,
    write_config,
)

WHOLE = """\
name: "m"
backend: "pytorch"
max_batch_size: 4
input [ { name: "ids" data_type: TYPE_INT64 dims: [ -1 ] optional: true } ]
output [ { name: "text" data_type: TYPE_STRING dims: [ 2, 3 ] label_filename: "l.txt" } ]
"""


def test_tensors_have_the_shapes_of_metadata() -> None:
    config = parse_config(WHOLE)
    assert inputs_of(config) == (ModelTensor("ids", "INT64", (-1, -1), optional=True),)
    assert outputs_of(config) == (ModelTensor("text", "BYTES", (-1, 2, 3), label_file="l.txt"),)
    config.max_batch_size = 0
    assert inputs_of(config)[0].shape == (-1,)


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        pytest.param('name: "m"\nmax_batch: 3\n', (2, 1), "max_batch", id="unknown-field"),
        pytest.param('name: "m\n', (1, 7), "", id="open-string"),
        pytest.param("input [ { dims: [ x ] } ]", (1, 19), "x", id="word-for-number"),
        pytest.param('input [ { name: "a" }', (1, 22), "", id="open-list"),
    ],
)
def test_a_syntax_error_has_a_position(
    tmp_path: Path, text: str, position: tuple[int, int], reason: str
) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert caught.value.line == position[0]
    assert reason in caught.value.reason
    assert str(caught.value).startswith(f"{path}:{caught.value.line}:{caught.value.column}: ")


def test_a_number_of_too_many_digits() -> None:
    with pytest.raises(ConfigError, match="out of range"):
        parse_config("max_batch_size: 99999999999999999999")


def test_two_schedulers_are_refused_as_the_server_does() -> None:
    with pytest.raises(ConfigError, match="scheduling_choice"):
        parse_config("dynamic_batching { }\nsequence_batching { }\n")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b'name: "m"\n# \xff\n', "2:3: not UTF-8", id="not-utf8"),
        pytest.param(b"#" * (MAX_CONFIG_BYTES + 1), "larger than", id="too-large"),
        pytest.param(b"input { " * 5000, "", id="deep"),
        pytest.param(b"\0\0", "", id="binary"),
    ],
)
def test_bad_files_are_config_errors(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "config.pbtxt").write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path)
    assert reason in str(caught.value)


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        pytest.param("", (10,), id="default-is-latest-1"),
        pytest.param("version_policy { latest { num_versions: 2 } }", (3, 10), id="latest-2"),
        pytest.param("version_policy { latest { } }", (), id="latest-0-serves-none"),
        pytest.param("version_policy { }", (1, 3, 10), id="an-empty-policy-serves-all"),
        pytest.param("version_policy { all { } }", (1, 3, 10), id="all"),
        pytest.param("version_policy { specific { versions: [3, 1, 7] } }", (1, 3), id="specific"),
        pytest.param("version_policy { specific { } }", (), id="specific-nothing"),
    ],
)
def test_version_policy(policy: str, served: tuple[int, ...]) -> None:
    assert selected_versions(parse_config(policy), [10, 1, 3]) == served


@pytest.mark.parametrize(
    ("text", "backend", "file"),
    [
        ('platform: "pytorch_libtorch"', "pytorch", "model.pt"),
        ('backend: "pytorch" default_model_filename: "a.pt"', "pytorch", "a.pt"),
        ('backend: "python"', "python", "model.py"),
        ('platform: "ensemble"', "ensemble", ""),
        ("ensemble_scheduling { }", "ensemble", ""),
        ("", "", ""),
    ],
)
def test_backend_and_file(text: str, backend: str, file: str) -> None:
    config = parse_config(text)
    assert (backend_of(config), model_file_of(config)) == (backend, file)


def test_complete_configurations_need_no_auto_complete() -> None:
    assert is_complete(parse_config(WHOLE))
    assert missing_fields(parse_config('backend: "pytorch"\ninput { name: "a" }')) == [
        "input[0].data_type",
        "input[0].dims",
        "output",
    ]


def test_round_trip_and_atomic_write(tmp_path: Path) -> None:
    config = parse_config(WHOLE)
    assert parse_config(format_config(config)) == config
    path = tmp_path / "config.pbtxt"
    write_config(config, path)
    assert read_config(tmp_path) == config
    assert [item.name for item in tmp_path.iterdir()] == ["config.pbtxt"]
