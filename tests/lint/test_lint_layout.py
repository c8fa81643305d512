"""Files of a repository that no case of the corpus can have: names, rights, links, sizes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lint_corpus import IDENTITY, torchscript

from pytest_triton.repository.lint import Finding, LintOptions, lint

CONFIG = """\
backend: "python"
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
TORCH = CONFIG.replace('backend: "python"', 'platform: "pytorch_libtorch"')
ENVIRONMENT = """\
parameters { key: "EXECUTION_ENV_PATH" value { string_value: "WHERE" } }
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    return path


def model(repository: Path, name: str = "net", config: str = CONFIG) -> Path:
    """A Python model as it should be."""
    directory = repository / name
    (directory / "1").mkdir(parents=True)
    (directory / "config.pbtxt").write_text(config)
    (directory / "1" / "model.py").write_text(IDENTITY)
    return directory


def torch_model(repository: Path, config: str = TORCH, export: str = "one") -> Path:
    directory = repository / "net"
    (directory / "1").mkdir(parents=True)
    (directory / "config.pbtxt").write_text(config)
    (directory / "1" / "model.pt").write_bytes(torchscript(export))
    return directory


def found(path: Path, *rules: str, options: LintOptions | None = None) -> list[Finding]:
    """Findings of these rules, or families; nobody may see what cannot be printed."""
    result = lint(path, options)
    for one in result.findings:
        json.dumps(one.to_json()).encode("ascii")
        f"{one.file} {one.message} {one.fix}".encode()
    return [one for one in result.findings if one.rule.startswith(rules or ("",))]


def told(path: Path, *rules: str) -> list[tuple[str, str, str]]:
    return [(one.severity, one.rule, one.file) for one in found(path, *rules)]


def test_a_repository_as_it_should_be_has_nothing(repository: Path) -> None:
    model(repository)
    assert told(repository, "LAY", "SEC", "PT") == []


# -- beside the models -----------------------------------------------------------------


def test_every_directory_is_a_model(repository: Path) -> None:
    """LAY010, LAY015."""
    model(repository)
    (repository / ".git" / "objects").mkdir(parents=True)
    (repository / "__pycache__").mkdir()
    (repository / "README.md").write_text("text")
    (repository / "net.onnx").write_text("a model")
    (repository / "config.pbtxt").write_text(CONFIG)
    assert told(repository, "LAY") == [
        ("error", "LAY010", ".git"),
        ("error", "LAY010", "__pycache__"),
        ("warning", "LAY015", "config.pbtxt"),
        ("warning", "LAY015", "net.onnx"),
    ]


def test_a_dead_link_beside_the_models(repository: Path) -> None:
    """LAY014."""
    model(repository)
    (repository / "old").symlink_to("/nowhere")
    (repository / "loop").symlink_to("loop")
    assert told(repository, "LAY") == [("error", "LAY014", "loop"), ("error", "LAY014", "old")]


def test_a_link_to_anywhere_is_not_gone_through(repository: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside" / "a" / "b"
    outside.mkdir(parents=True)
    (outside / "dead").symlink_to("/nowhere")
    (repository / "link").symlink_to(tmp_path / "outside")
    assert told(repository, "LAY") == [("error", "LAY010", "link")]


def test_one_model_alone_is_not_asked_for_others(repository: Path) -> None:
    directory = model(repository)
    (repository / ".git").mkdir()
    assert told(directory, "LAY") == []
    (directory / "config.pbtxt").unlink()
    assert [one.rule for one in found(directory, "LAY")] == ["LAY008"]  # still that model


# -- names -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["my net", "net(1)", "a$b", "naïve", "a;b", "#net", "a{b,c}"])
def test_names_that_hang_a_python_model(repository: Path, name: str) -> None:
    """LAY012."""
    model(repository, name)
    assert [one.severity for one in found(repository, "LAY012")] == ["error"]


@pytest.mark.parametrize("name", ["net-1.2", "net_v1", "Net", "1", "net~", "a{b}"])
def test_names_that_do_not(repository: Path, name: str) -> None:
    model(repository, name)
    assert not [one for one in found(repository, "LAY012") if one.severity == "error"]


def test_a_blank_does_not_hang_other_backends(repository: Path) -> None:
    directory = model(repository, "my net", CONFIG.replace('"python"', '"onnxruntime"'))
    (directory / "1" / "model.onnx").write_text("a model")
    assert told(repository, "LAY") == [("warning", "LAY012", "my net")]


def test_a_name_that_is_not_utf_8(repository: Path) -> None:
    """LAY013; the bytes are shown as \\xNN."""
    model(repository, os.fsdecode(b"net\xff"))
    assert told(repository, "LAY") == [("error", "LAY013", "net\\xff")]
    result = lint(repository)
    assert result.models == ("net\\xff",)


def test_files_whose_names_obey_a_terminal(repository: Path) -> None:
    directory = model(repository)
    (directory / "a\nb\x1b[31m").symlink_to("/nowhere")
    (directory / "1" / os.fsdecode(b"\xe4")).symlink_to("/nowhere")
    assert told(repository, "LAY006") == [
        ("warning", "LAY006", "net/1/\\xe4"),
        ("error", "LAY006", "net/a\\x0ab\\x1b[31m"),
    ]


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_the_command_prints_every_name(repository: Path, locale: str) -> None:
    model(repository, os.fsdecode(b"net\xff"))
    model(repository, "naïve")
    for shape in ("text", "json", "github", "sarif"):
        made = subprocess.run(
            [sys.executable, "-m", "pytest_triton.cli", "lint", str(repository), "--format", shape],
            capture_output=True, timeout=60,
            env={**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        )  # fmt: skip
        assert b"Traceback" not in made.stderr
        assert made.returncode == 1, made.stderr
        if shape != "sarif":  # which has URIs
            assert b"net\\xff" in made.stdout.replace(b"\\\\", b"\\")


# -- rights, links, kinds --------------------------------------------------------------


@contextmanager
def as_nobody() -> Iterator[None]:
    """What root may read says nothing."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def open_repository() -> Iterator[Path]:
    """Outside of pytest's own directory, into which nobody else may look."""
    path = Path(tempfile.mkdtemp(prefix="lint-layout-"))
    path.chmod(0o755)
    yield path
    for folder in path.rglob("*"):
        if not folder.is_symlink():
            folder.chmod(0o755)
    shutil.rmtree(path)


def test_what_cannot_be_read(open_repository: Path) -> None:
    """LAY007, CFG001."""
    closed = model(open_repository, "closed")
    file = model(open_repository, "file")
    version = model(open_repository, "version")
    configuration = model(open_repository, "configuration")
    closed.chmod(0)
    (file / "1" / "model.py").chmod(0)
    (version / "1").chmod(0)
    (configuration / "config.pbtxt").chmod(0)
    with as_nobody():
        findings = told(open_repository, "LAY007", "CFG001")
    assert findings == [
        ("error", "LAY007", "closed"),
        ("error", "CFG001", "configuration/config.pbtxt"),
        ("error", "LAY007", "file/1/model.py"),
        ("error", "LAY007", "version/1"),
    ]


def test_fifos_and_sockets(repository: Path) -> None:
    """LAY006; nothing waits for their other end."""
    directory = model(repository)
    os.mkfifo(directory / "pipe")
    (directory / "1" / "model.py").unlink()
    os.mkfifo(directory / "1" / "model.py")
    other = model(repository, "other")
    (other / "config.pbtxt").unlink()
    os.mkfifo(other / "config.pbtxt")
    assert told(repository, "LAY006", "CFG001") == [
        ("error", "LAY006", "net/1/model.py"),
        ("warning", "LAY006", "net/pipe"),
        ("error", "CFG001", "other/config.pbtxt"),
    ]


def test_links_in_circles(repository: Path) -> None:
    directory = model(repository)
    (directory / "self").symlink_to(".")
    (directory / "1" / "up").symlink_to("..")
    (directory / "2").symlink_to("2")
    assert told(repository, "LAY", "SEC") == [("error", "LAY006", "net/2")]


def test_links_out_of_the_repository(repository: Path, tmp_path: Path) -> None:
    """SEC001: of a file, a version, a whole model."""
    outside = model(tmp_path / "elsewhere", "outside")
    directory = model(repository)
    (directory / "1" / "weights").symlink_to(outside / "1" / "model.py")
    (directory / "2").symlink_to(outside / "1")
    (repository / "outside").symlink_to(outside)
    inside = model(repository, "inside")
    (inside / "2").symlink_to("1")
    assert told(repository, "SEC") == [
        ("warning", "SEC001", "net/1/weights"),
        ("warning", "SEC001", "net/2"),
        ("warning", "SEC001", "outside"),
    ]


def test_leftovers(repository: Path) -> None:
    """LAY016."""
    directory = model(repository)
    (directory / "1" / ".ipynb_checkpoints").mkdir()
    (directory / "1" / "__pycache__").mkdir()
    (directory / ".DS_Store").touch()
    assert {(one.severity, one.file) for one in found(repository, "LAY016")} == {
        ("info", "net/.DS_Store"),
        ("info", "net/1/.ipynb_checkpoints"),
        ("info", "net/1/__pycache__"),
    }


# -- what runs in the server -----------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/opt/env.tar.gz", ["warning"]), ("$$TRITON_MODEL_DIRECTORY/../env", ["warning"]),
     ("$$TRITON_MODEL_DIRECTORY/env", [])],
)  # fmt: skip
def test_environments(repository: Path, path: str, expected: list[str]) -> None:
    """SEC003."""
    directory = model(repository, config=CONFIG + ENVIRONMENT.replace("WHERE", path))
    (directory / "env").mkdir()
    assert [one.severity for one in found(repository, "SEC003")] == expected


def test_libraries(repository: Path) -> None:
    """SEC004: only the library of the model's own backend is loaded."""
    directory = model(repository)
    (directory / "libtriton_python.so").touch()
    (directory / "1" / "libextra.so.1").touch()
    assert told(repository, "SEC004") == [
        ("info", "SEC004", "net/1/libextra.so.1"),
        ("warning", "SEC004", "net/libtriton_python.so"),
    ]


def test_files_open_to_all(repository: Path) -> None:
    """SEC006: once for a model."""
    directory = model(repository)
    (directory / "1" / "model.py").chmod(0o666)
    (directory / "config.pbtxt").chmod(0o666)
    (one,) = found(repository, "SEC006")
    assert one.severity == "info"
    assert "and 1 more" in one.message


# -- TorchScript and what lint is told -------------------------------------------------


@pytest.mark.parametrize(
    ("torch", "release", "expected"),
    [("2.6.0+cpu", "24.10", True), ("2.5.1", "24.10", False), ("2.13.0", "26.06", False),
     ("2.13.0", "26.04", True), ("2.13.0", "", False), ("nonsense", "24.10", False)],
)  # fmt: skip
def test_torch_newer_than_the_release(
    repository: Path, torch: str, release: str, expected: bool
) -> None:
    """PT019."""
    pytest.importorskip("torch")
    directory = torch_model(repository)
    (directory / "1" / "export.json").write_text(json.dumps({"torch_version": torch}))
    findings = found(repository, "PT019", options=LintOptions(release=release))
    assert bool(findings) is expected


@pytest.mark.parametrize("text", ["[", "[]", '"x"', '{"torch_version": 3}', "\0" * 100])
def test_a_side_car_that_is_none(repository: Path, text: str) -> None:
    pytest.importorskip("torch")
    (torch_model(repository) / "1" / "export.json").write_text(text)
    assert not found(repository, "PT019", options=LintOptions(release="24.10"))


def test_operators_of_other_libraries(repository: Path) -> None:
    """PT029; torchvision's are in NVIDIA's image."""
    pytest.importorskip("torch")
    import zipfile

    directory = torch_model(repository)
    path = directory / "1" / "model.pt"
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    for operator, expected in (("mine.twice", 1), ("torchvision.nms", 0), ("aten.add", 0)):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in records.items():
                if name.endswith("corpus_torch.py"):
                    data += f"    _0 = ops.{operator}(x)\n".encode()
                archive.writestr(name, data)
        assert len(found(repository, "PT029")) == expected


@pytest.mark.parametrize(
    ("export", "more", "gpus", "expected"),
    [
        ("positions_traced", "", None, ["PT020"]),
        ("positions_traced", "", 0, []),
        ("positions_traced", "instance_group [ { kind: KIND_GPU } ]", 2, ["PT020"]),
        ("positions_traced", "instance_group [ { kind: KIND_CPU } ]", 2, []),
        ("positions_traced", "instance_group [ { kind: KIND_MODEL } ]", 2, []),
        ("positions_scripted", "", None, ["PT020"]),
        ("on_gpu", "", None, []),
        ("on_gpu", "", 0, ["PT021"]),
        ("on_gpu", "", 2, ["PT021"]),
        ("on_gpu", "instance_group [ { kind: KIND_GPU gpus: [ 1 ] } ]", 2, ["PT021"]),
        ("on_gpu", "instance_group [ { kind: KIND_GPU gpus: [ 0 ] } ]", 2, []),
    ],
)
def test_devices(
    repository: Path, export: str, more: str, gpus: int | None, expected: list[str]
) -> None:
    """PT020 and PT021, by what serves."""
    pytest.importorskip("torch")
    torch_model(repository, TORCH + more, export)
    findings = found(repository, "PT020", "PT021", options=LintOptions(gpus=gpus))
    if export == "positions_scripted":
        expected = []  # scripted, arange has no device of its own
    assert [one.rule for one in findings] == expected


# -- sizes -----------------------------------------------------------------------------


def test_a_configuration_of_100_mb(repository: Path) -> None:
    directory = model(repository)
    with (directory / "config.pbtxt").open("ab") as file:
        file.truncate(100 << 20)
    begun = time.process_time()
    (one,) = found(repository, "CFG001")
    assert one.severity == "warning"  # Triton would read it
    assert one.fix
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    "text",
    ["dims: 1 ", "input { ", "# x\n", "foo: 1\n", '"', "\\", "name: 'a'\n", "[", "{", "\x00", "é"],
)
def test_large_texts_are_bounded(repository: Path, text: str) -> None:
    """Whatever they say: no exception, no endless list."""
    directory = model(repository)
    size = 400_000 // len(text.encode())
    (directory / "config.pbtxt").write_text(f'backend: "python"\n{text * size}', encoding="utf-8")
    begun = time.process_time()
    findings = found(repository)
    assert len(findings) <= 1001
    assert time.process_time() - begun < 10


def test_a_directory_of_many_files(repository: Path) -> None:
    directory = model(repository)
    for number in range(6000):
        (directory / "1" / f"{number}.bin").touch()
    begun = time.process_time()
    lint(repository)
    assert time.process_time() - begun < 5


def test_a_deep_tree(repository: Path) -> None:
    path = model(repository) / "1"
    for number in range(200):
        path /= f"{number}"
        path.mkdir()
    begun = time.process_time()
    assert told(repository, "LAY", "SEC") == []
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        ("", "error"),
        ("\0", "error"),
        ("print 'ready'\n", "error"),
        ("class Model: pass\n", "error"),
        ("(" * 5000, "error"),
        ("from base import TritonPythonModel\n", ""),
        ("globals()['Triton' + 'PythonModel'] = object\n", ""),
        ("# " + "x" * 300_000, ""),  # larger than what is read
        ("class TritonPythonModel:\n    pattern = '\\d'\n", ""),
    ],
)
def test_python_is_read_and_never_executed(repository: Path, code: str, severity: str) -> None:
    """LAY017."""
    (model(repository) / "1" / "model.py").write_text(code)
    assert [one.severity for one in found(repository, "LAY017")] == [severity] * bool(severity)
