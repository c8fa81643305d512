"""What a learner sees before handing in, and what is refused for its content."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pytest_triton.errors import Refused
from pytest_triton.grade import policy
from pytest_triton.grade.found import PIECES, rows
from pytest_triton.handed_in import look
from pytest_triton.submission_toml import FILES

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "handed_in"


def cli(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest_triton.cli", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "model_repository" / "m" / "config.pbtxt"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return tmp_path


def test_every_piece_has_its_key() -> None:
    assert [piece.key for piece in PIECES if piece.key not in FILES] == []
    assert {piece.key for piece in PIECES} == set(FILES)


def test_the_example() -> None:
    done = cli("submission", "--check", EXAMPLE)
    assert done.returncode == 0, done.stderr
    lines = {line[12:39].strip(): line for line in done.stdout.splitlines()}
    assert "✓ found" in lines["load test"]
    assert "locustfile.py" in lines["load test"]
    assert "✗ missing" in lines["model repository"]
    assert "B1, B2, B3, B4, A1, A4, E1, E2: missing" in lines["model repository"]
    assert "– absent" in lines["notebooks"]
    assert "would be taken in" in done.stdout


def test_the_layout_is_told() -> None:
    done = cli("submission")
    assert done.returncode == 0
    assert all(piece.key in done.stdout for piece in PIECES)


@pytest.mark.parametrize(
    "piece", [piece for piece in PIECES if "*" not in piece.place], ids=lambda piece: piece.key
)
def test_what_lies_at_its_place_is_found(piece, tmp_path: Path) -> None:
    path = tmp_path / piece.place
    path.parent.mkdir(parents=True, exist_ok=True)
    if piece.place.endswith("/"):
        path.mkdir()
        path = path / "a.csv"
    path.write_text("")
    (row,) = [row for row in rows(look(tmp_path)) if row.piece == piece]
    assert row.names
    assert row.consequence == ""


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.key)
def test_what_the_manifest_names_is_found(piece, tmp_path: Path) -> None:
    name = "own/place" if piece.key == "model_repository" else "own/name.json"
    path = tmp_path / name
    path.parent.mkdir()
    if piece.key == "model_repository":
        path.mkdir()
    else:
        path.write_text("{}")
    (tmp_path / "submission.toml").write_text(f'[files]\n{piece.key} = "{name}"\n')
    (row,) = [row for row in rows(look(tmp_path)) if row.piece == piece]
    assert row.names == (name,)


@pytest.mark.parametrize("key", FILES)
@pytest.mark.parametrize(
    "value", ['"/etc/passwd"', '"../../etc/passwd"', '"x/../../y"', '["/etc"]']
)
def test_a_manifest_that_names_what_lies_outside(tmp_path: Path, key: str, value: str) -> None:
    (tmp_path / "submission.toml").write_text(f"[files]\n{key} = {value}\n")
    with pytest.raises(Refused, match=r"submission\.toml") as caught:
        look(tmp_path)
    assert caught.value.remedy


def test_a_table_that_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "submission.toml").write_text("[waivers]\nid = 'INF-04'\n")
    done = cli("submission", "--check", tmp_path)
    assert done.returncode == 11
    assert "there is no table [waivers]" in done.stderr


def test_an_archive_is_checked_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("lab/loadtest.py", "")
        archive.writestr("lab/submission.toml", "")
    done = cli("submission", "--check", tmp_path / "s.zip")
    assert done.returncode == 0, done.stderr
    assert "loadtest.py" in done.stdout


def test_a_submission_that_is_not_there() -> None:
    done = cli("submission", "--check", "/nonexistent")
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('default_model_filename: "../../../secret/model.py"', "default_model_filename"),
        ('default_model_filename: "/etc/passwd"', "default_model_filename"),
        ('cc_model_filenames { key: "7.5" value: "../x.pt" }', "cc_model_filenames"),
        ('output { name: "Y" label_filename: "../../../etc/passwd" }', "label_filename"),
        ('model_warmup { name: "w" inputs { key: "X" value { input_data_file: "../../../etc/x" } } }',
         "input_data_file"),
        ('model_warmup { name: "../w" }', "model_warmup"),
        ('sequence_batching { state { initial_state { name: "s" data_file: "../../x" } } }',
         "data_file"),
        ('model_operations { op_library_filename: "/tmp/x.so" }', "op_library_filename"),
        ('parameters { key: "EXECUTION_ENV_PATH" value { string_value: '
         '"$$TRITON_MODEL_DIRECTORY/env" } }', "EXECUTION_ENV_PATH"),
        ('backend: "../../tmp/evil"', "backend"),
        ('runtime: "../evil.so"', "runtime"),
        ('model_repository_agents { agents { name: "../x" } }', "agents"),
    ],
)  # fmt: skip
def test_configurations_that_lead_outside(tmp_path: Path, text: str, rule: str) -> None:
    root = config(tmp_path, text)
    with pytest.raises(Refused, match=rf"m/config\.pbtxt: .*{rule}") as caught:
        policy.check(root / "model_repository", root)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        'default_model_filename: "net.pt" output { name: "Y" label_filename: "labels/a.txt" }',
        'backend: "python" parameters { key: "INFERENCE_MODE" value { string_value: "true" } }',
        'platform: "pytorch_libtorch"',
        "no configuration at all {",
    ],
)
def test_configurations_that_are_fine(tmp_path: Path, text: str) -> None:
    root = config(tmp_path, text)
    policy.check(root / "model_repository", root)


def test_native_code(tmp_path: Path) -> None:
    root = config(tmp_path, 'backend: "foo"')
    (root / "model_repository" / "m" / "libtriton_foo.so").write_bytes(b"\x7fELF\x02\x01\x01")
    with pytest.raises(Refused, match=r"libtriton_foo\.so: native code"):
        policy.check(root / "model_repository", root)
