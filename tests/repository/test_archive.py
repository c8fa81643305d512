"""TorchScript read as an archive, beside what torch itself says of the same files."""

from __future__ import annotations

import inspect
import struct
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import archive_modules
import pytest
import torch

from pytest_triton.repository.archive import Archive, read_archive

pytestmark = pytest.mark.filterwarnings("ignore")

MODULES = {
    name: made
    for name, made in vars(archive_modules).items()
    if inspect.isclass(made)
    and issubclass(made, torch.nn.Module)
    and made.__module__ == "archive_modules"
    and name not in ("Other", "Custom", "Awakened", "Scorer")
}
#: How a module becomes a file.
WAYS: dict[str, Callable[[torch.nn.Module], object]] = {
    "scripted": torch.jit.script,
    "frozen": lambda module: torch.jit.freeze(torch.jit.script(module.eval())),
}


def saved(module: object, path: Path) -> Path:
    torch.jit.save(module, str(path))
    return path


def compare(path: Path) -> Archive:
    """The signature that we read against the one of the loaded module."""
    archive = read_archive(path)
    schema = torch.jit.load(str(path))._c._get_method("forward").schema
    wanted = [
        (item.name, item.type.annotation_str, item.has_default_value())
        for item in schema.arguments[1:]
    ]
    assert archive.kind == "torchscript"
    assert not archive.problem
    assert archive.forward is not None
    read = [
        (item.name, str(item.type), item.default is not None) for item in archive.forward.arguments
    ]
    assert read == wanted
    returned = schema.returns[0].type
    assert str(archive.forward.returns) == returned.annotation_str
    kinds = returned.containedTypes() if returned.kind() == "TupleType" else [returned]
    assert [str(kind) for kind in archive.forward.results] == [k.annotation_str for k in kinds]
    assert archive.format_version in range(3, 11)
    return archive


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODULES)
def test_forward_is_what_torch_says(name: str, way: str, tmp_path: Path) -> None:
    module = MODULES[name]()
    try:
        made = WAYS[way](module)
    except RuntimeError as error:
        pytest.skip(f"torch cannot do that: {error}"[:200])
    compare(saved(made, tmp_path / "model.pt"))


def test_traced_modules(tmp_path: Path) -> None:
    layers = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    compare(saved(torch.jit.trace(layers.eval(), torch.zeros(1, 4)), tmp_path / "a.pt"))
    mapping = archive_modules.Mapping()
    traced = torch.jit.trace(mapping, torch.zeros(1, 4), strict=False)
    assert str(compare(saved(traced, tmp_path / "b.pt")).forward.returns) == "Dict[str, Tensor]"  # type: ignore[union-attr]


def test_a_function_and_a_keyword(tmp_path: Path) -> None:
    archive = compare(saved(torch.jit.script(archive_modules.function), tmp_path / "f.pt"))
    assert str(archive.forward) == "forward(x, y)"


def test_a_classifier_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        vocab_size=100, return_dict=False,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config).eval()
    ids = torch.ones(2, 8, dtype=torch.long)
    traced = torch.jit.trace(model, (ids, torch.ones_like(ids)))
    archive = compare(saved(traced, tmp_path / "model.pt"))
    assert archive.training is False
    assert [item.name for item in archive.forward.arguments] == ["input_ids", "attention_mask"]  # type: ignore[union-attr]
    assert [use.device for use in archive.devices] == ["cpu"]


def test_what_the_code_names(tmp_path: Path) -> None:
    script = torch.jit.script
    archive = read_archive(saved(script(archive_modules.Devices()), tmp_path / "d.pt"))
    assert [(use.device, use.always) for use in archive.devices] == [
        ("cpu", True),
        ("cuda:0", False),
    ]
    archive = read_archive(saved(script(archive_modules.Hostile()), tmp_path / "h.pt"))
    assert set(archive.hostile) == {"from_file", "save"}
    archive = read_archive(saved(script(archive_modules.Awakened()), tmp_path / "s.pt"))
    assert set(archive.hostile) == {"__setstate__", "from_file"}
    assert archive.forward is not None
    archive = read_archive(saved(script(archive_modules.Other()), tmp_path / "n.pt"))
    assert archive.no_forward
    assert archive.forward is None
    archive = read_archive(saved(script(archive_modules.Counting()), tmp_path / "c.pt"))
    assert archive.changes_buffers


@pytest.mark.parametrize("train", [True, False])
def test_train_mode(train: bool, tmp_path: Path) -> None:
    layers = torch.nn.Sequential(
        torch.nn.Linear(4, 4), torch.nn.Dropout(), torch.nn.BatchNorm1d(4)
    ).train(train)
    archive = read_archive(saved(torch.jit.script(layers), tmp_path / "s.pt"))
    assert archive.training is train
    assert set(archive.layers) == {"dropout", "batch_norm"}
    assert not archive.always_training
    archive = read_archive(saved(torch.jit.trace(layers, torch.zeros(2, 4)), tmp_path / "t.pt"))
    assert set(archive.always_training) == ({"dropout", "batch_norm"} if train else set())


def test_an_operator_of_another_library(tmp_path: Path) -> None:
    library = torch.library.Library("archive_test", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
    archive = read_archive(saved(torch.jit.script(archive_modules.Custom()), tmp_path / "c.pt"))
    assert archive.custom == ("archive_test::twice",)


# -- files of other kinds --------------------------------------------------------------


def other_kinds(folder: Path) -> dict[str, Path]:
    one = torch.jit.script(archive_modules.Plain())
    whole = saved(one, folder / "whole.pt").read_bytes()
    torch.save({"w": torch.ones(2)}, folder / "weights.pt")
    torch.save({"w": torch.ones(2)}, folder / "old.pt", _use_new_zipfile_serialization=False)
    texts: dict[str, bytes] = {
        "empty": b"",
        "git-lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n",
        "HTML page": b"\n<!DOCTYPE html>\n<html></html>",
        "text": b"404: not found\n",
        "damaged": whole[: len(whole) // 2],
        "safetensors": struct.pack("<Q", 20) + b'{"__metadata__":{}}  ' + bytes(16),
        "ONNX": b"\x08\x07\x12\x07pytorch" + bytes(40),
        "gzip": b"\x1f\x8b" + bytes(40),
        "shared library": b"\x7fELF" + bytes(40),
        "pickle": b"\x80\x04}." + bytes(40),
        "unknown": bytes(range(256)),
    }
    found = {}
    for kind, data in texts.items():
        found[kind] = folder / f"{kind}.bin"
        found[kind].write_bytes(data)
    with zipfile.ZipFile(folder / "other.zip", "w") as archive:
        archive.writestr("folder/readme.txt", "text")
    found |= {
        "torch.save": folder / "weights.pt",
        "torch.save of torch before 1.6": folder / "old.pt",
        "zip": folder / "other.zip",
    }
    return found


def test_kinds(tmp_path: Path) -> None:
    for kind, path in other_kinds(tmp_path).items():
        assert read_archive(path).kind == kind
        with pytest.raises(Exception):  # noqa: B017, PT011 - torch has many
            torch.jit.load(str(path))


def test_pt2(tmp_path: Path) -> None:
    exported = torch.export.export(torch.nn.Linear(4, 2), (torch.zeros(1, 4),))
    torch.export.save(exported, tmp_path / "model.pt2")
    assert read_archive(tmp_path / "model.pt2").kind == "PT2"


@pytest.mark.parametrize(
    ("version", "loads"), [(b"3\n", True), (b"10\n", True), (b"11\n", False), (b"0\n", False),
                           (b"three", False), (b"", False)],
)  # fmt: skip
def test_format_versions(version: bytes, loads: bool, tmp_path: Path) -> None:
    whole = saved(torch.jit.script(archive_modules.Plain()), tmp_path / "whole.pt")
    path = rewritten(whole, tmp_path / "model.pt", {"version": version})
    archive = read_archive(path)
    assert (not archive.problem and archive.format_version in range(1, 11)) is loads
    if loads:
        torch.jit.load(str(path))
    else:
        with pytest.raises(RuntimeError):
            torch.jit.load(str(path))


def rewritten(source: Path, path: Path, changed: dict[str, bytes | None]) -> Path:
    """The same archive with other records: None leaves one out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            data = changed.get(entry.filename.partition("/")[2], old.read(entry))
            if data is not None:
                new.writestr(entry.filename, data)
    return path


@pytest.mark.parametrize("record", ["version", "data.pkl", "code/__torch__/archive_modules.py"])
def test_missing_records(record: str, tmp_path: Path) -> None:
    whole = saved(torch.jit.script(archive_modules.Plain()), tmp_path / "whole.pt")
    archive = read_archive(rewritten(whole, tmp_path / "model.pt", {record: None}))
    assert archive.kind != "torchscript" or archive.problem
    assert archive.forward is None


def test_what_is_no_file(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("fifo", "loop", "nothing", "."):
        archive = read_archive(tmp_path / name)
        assert archive.kind == "unreadable"
        assert archive.problem


# -- bombs: bounded in time and memory -------------------------------------------------

CODE = "class Net(Module):\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n    return x\n"
PICKLE = b"\x80\x02c__torch__\nNet\nq\x00)\x81}X\x08\x00\x00\x00trainingq\x01\x89sb."


def by_hand(path: Path, *, code: bytes | None = None, more: dict[str, bytes] | None = None,
            names: int = 0) -> Path:  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("net/data.pkl", PICKLE)
            archive.writestr("net/code/__torch__.py", CODE.encode() if code is None else code)
            archive.writestr("net/constants.pkl", b"\x80\x02).")
            archive.writestr("net/version", b"3\n")
            for name, data in (more or {}).items():
                archive.writestr(name, data)
            for number in range(names):
                archive.writestr(f"net/code/__torch__/m{number}.py", b"")
    return path


def lied(path: Path) -> Path:
    """A record whose directory entry claims another size."""
    by_hand(path)
    data = bytearray(path.read_bytes())
    at = data.rfind(b"net/code/__torch__.py") - 46
    assert data[at : at + 4] == b"PK\1\2"
    data[at + 24 : at + 28] = struct.pack("<L", 0x7FFFFFF0)
    path.write_bytes(data)
    return path


def overlapping(path: Path) -> Path:
    """A thousand directory entries for one record."""
    by_hand(path, code=(CODE + "#" * (1 << 20)).encode())
    data = path.read_bytes()
    end = data.rfind(b"PK\5\6")
    size, offset = struct.unpack_from("<LL", data, end + 12)
    directory = data[offset : offset + size]
    at = directory.find(b"net/code/__torch__.py") - 46
    entry = directory[at : at + 46 + len("net/code/__torch__.py")]
    many = b"".join(entry[:46] + f"net/code/__torch__{n:04}.py".encode()[:21] for n in range(1000))
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1004, 1004, size + len(many), offset, 0)
    path.write_bytes(data[:offset] + directory + many + tail)
    return path


BOMBS: dict[str, Callable[[Path], Path]] = {
    "huge_code": lambda p: by_hand(p, code=CODE.encode() + b"\n" * (100 << 20)),
    "one_long_line": lambda p: by_hand(p, code=b"x" * (20 << 20)),
    "blanks": lambda p: by_hand(p, code=b" " * (20 << 20)),
    "many_devices": lambda p: by_hand(p, code=CODE.encode() + b'torch.device("cuda:0")' * (1 << 20)),
    "many_dropouts": lambda p: by_hand(p, code=CODE.encode() + b"torch.dropout(x, " * (1 << 20)),
    "many_norms": lambda p: by_hand(p, code=CODE.encode() + b"torch.batch_norm(" * (1 << 20)),
    "many_classes": lambda p: by_hand(p, code=b"class A(NamedTuple):\n  a : B\n" * (1 << 19)),
    "many_buffers": lambda p: by_hand(
        p, code=CODE.encode() + b'  __buffers__ = ["' + b'a", "' * (1 << 20) + b'"]\n'
    ),
    "endless_header": lambda p: by_hand(p, code=b"class Net(Module):\n  def forward(" + b"(" * (1 << 22)),
    "deep_header": lambda p: by_hand(
        p, code=b"class Net(Module):\n  def forward(self, x: " + b"-" * 60000 + b"1) -> Tensor:\n"
    ),
    "many_records": lambda p: by_hand(p, names=20_000),
    "nested_zip": lambda p: by_hand(p, more={"net/data/0": b"PK\3\4" * 1000}),
    "climbing_names": lambda p: by_hand(p, more={"../../etc/passwd": b"x", "/net/version": b"9"}),
    "lying_size": lied,
    "overlapping": overlapping,
}  # fmt: skip

READ = """
import re, sys, time
from pytest_triton.repository.archive import read_archive
begun = time.process_time()
archive = read_archive(sys.argv[1])
# Not ru_maxrss: that begins with what the parent had.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(time.process_time() - begun, peak)
"""


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_bounded(bomb: str, tmp_path: Path) -> None:
    path = BOMBS[bomb](tmp_path / "model.pt")
    made = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    seconds, megabytes = map(float, made.stdout.split())
    assert seconds < 15  # about 3 when quiet; without bounds it would be minutes
    assert megabytes < 200


def test_a_directory_of_records_without_end(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    size = 200 << 20
    with path.open("wb") as file:
        file.write(b"PK\3\4")
        file.truncate(size)
        file.seek(size)
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, size - 100, 50, 0))
    begun = time.process_time()
    archive = read_archive(path)
    assert archive.kind == "damaged"
    assert "are not looked at" in archive.problem
    assert time.process_time() - begun < 0.5


def test_every_truncation_and_many_changes_are_survived(tmp_path: Path) -> None:
    """No exception, whatever the bytes are."""
    import random

    whole = saved(torch.jit.script(archive_modules.Plain()), tmp_path / "whole.pt").read_bytes()
    path = tmp_path / "model.pt"
    for size in range(0, len(whole), 37):
        path.write_bytes(whole[:size])
        assert read_archive(path).kind in ("empty", "damaged", "unknown", "zip", "text")
    chance = random.Random(7)
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        read_archive(path)
