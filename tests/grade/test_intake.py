"""Intake: regular files only, whatever they come in; limits; checksums that others can check."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import socket
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_triton.errors import Misused, Refused
from pytest_triton.grade.intake import take_in
from pytest_triton.grade.limits import Limits
from pytest_triton.grade.store import Taken

FILES = {"model_repository/m/config.pbtxt": b"x: 1\n", "benchmarks/a.csv": b"1,2\n"}


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    root = tmp_path / "submission"
    for name, data in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def take(source: Path, tmp_path: Path, **limits: int) -> Taken:
    return take_in(source, tmp_path / "out" / "taken", Limits(**limits))


def refused(source: Path, tmp_path: Path, match: str, **limits: int) -> None:
    """By the copy and by the mere look alike, with a remedy."""
    for target in (tmp_path / "taken", None):
        shutil.rmtree(tmp_path / "taken", ignore_errors=True)
        with pytest.raises(Refused, match=match) as caught:
            take_in(source, target, Limits(**limits))
        assert caught.value.remedy


def test_a_directory(submission: Path, tmp_path: Path) -> None:
    for name in (".git/objects/a", "model_repository/m/__pycache__/b.pyc"):
        (submission / name).parent.mkdir(parents=True)
        (submission / name).symlink_to("/etc/passwd")  # never looked at
    taken = take(submission, tmp_path)
    out = tmp_path / "out" / "taken"
    there = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert there == FILES
    assert taken.left_out == (".git", "model_repository/m/__pycache__")
    assert taken.size == 9
    assert take_in(submission, None) == taken
    modes = {path.stat().st_mode & 0o777 for path in out.rglob("*")}
    assert modes <= {0o644, 0o755}


def test_checksums_are_those_of_sha256sum(submission: Path, tmp_path: Path) -> None:
    taken = take(submission, tmp_path)
    taken.write(tmp_path / "manifest.json")
    told = json.loads((tmp_path / "manifest.json").read_text())
    names = sorted(FILES)
    said = subprocess.run(["sha256sum", *names], cwd=submission, capture_output=True, check=True)
    assert told["sha256"] == hashlib.sha256(said.stdout).hexdigest()
    assert [entry["path"] for entry in told["files"]] == names
    assert said.stdout.decode().split()[::2] == [entry["sha256"] for entry in told["files"]]


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _device(path: Path) -> None:
    try:
        os.mknod(path, 0o20644, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("a device needs root")


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.symlink_to("/etc/passwd"), "a link"),
        (lambda path: path.symlink_to("m"), "a link"),
        (lambda path: path.symlink_to("/etc", target_is_directory=True), "a link"),
        (lambda path: path.symlink_to(path.name), "a link"),
        (lambda path: os.link(path.parent / "m" / "config.pbtxt", path), "hard links"),
        (_fifo, "a fifo"),
        (_socket, "a socket"),
        (_device, "a device"),
    ],
)
def test_only_regular_files(
    submission: Path, tmp_path: Path, make: Callable[[Path], None], what: str
) -> None:
    make(submission / "model_repository" / "z")
    refused(submission, tmp_path, f"model_repository/.*kind.*{what}")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (b"a\nb", "name: has the character U\\+000A"),
        (b"a\x1b[31m", "name: has the character U\\+001B"),
        ("a\u202eb".encode(), "name: has the character U\\+202E"),
        (b"a\\b", "name: has the character U\\+005C"),
        (b"\xff\xfe", "encoding: the name is not UTF-8"),
        (b" a", "name: begins or ends with a blank"),
        (b"BENCHMARKS", "name: BENCHMARKS is the same name"),
        (b"x" * 200 + b"/" + b"y" * 200 + b"/" + b"z" * 200, "path: over 512 bytes"),
        (b"/".join([b"d"] * 17), "path: over 512 bytes or 16 names"),
    ],
)
def test_names(submission: Path, tmp_path: Path, name: bytes, rule: str) -> None:
    path = os.path.join(os.fsencode(submission), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"1")
    refused(submission, tmp_path, rule)
    with pytest.raises(Refused) as caught:
        take_in(submission, None)
    assert (
        str(caught.value).replace("\n  remedy", "").isprintable()
        or "\n" not in caught.value.message
    )


def test_names_in_unicode_are_welcome(submission: Path, tmp_path: Path) -> None:
    (submission / "部署筆記.md").write_text("ok")
    assert "部署筆記.md" in {entry.path for entry in take(submission, tmp_path).files}


@pytest.mark.parametrize(
    ("limits", "rule"),
    [
        ({"entries": 3}, "count: over 3"),
        ({"size": 4}, "config.pbtxt: size: over"),
        ({"total": 8}, "total size: over"),
    ],
)
def test_limits(submission: Path, tmp_path: Path, limits: dict[str, int], rule: str) -> None:
    refused(submission, tmp_path, rule, **limits)


def test_a_sparse_file_counts_in_full(submission: Path, tmp_path: Path) -> None:
    with (submission / "hole").open("wb") as file:
        file.truncate(1 << 40)
    refused(submission, tmp_path, "hole: size: over 16 GiB")


def test_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    refused(tmp_path / "empty", tmp_path, "holds no file")
    with pytest.raises(Misused):
        take_in(tmp_path / "nowhere", None)


def test_what_the_grader_names_may_be_a_link(submission: Path, tmp_path: Path) -> None:
    (tmp_path / "s1047").symlink_to(submission)
    assert take_in(tmp_path / "s1047", None) == take_in(submission, None)


def test_a_file_that_grows_is_refused(tmp_path: Path) -> None:
    from pytest_triton.grade.store import Store

    store = Store(tmp_path / "taken", Limits())
    with pytest.raises(Refused, match="grows while it is read"):
        store.file("a", io.BytesIO(b"12345"), 4)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="changes while it is read"):
        store.file("b", io.BytesIO(b"123"), 4)  # type: ignore[arg-type]


def test_a_directory_that_becomes_a_link_is_not_followed(submission: Path, tmp_path: Path) -> None:
    """The same directory of a descriptor, whatever its name leads to meanwhile."""
    stop = time.monotonic() + 1.5
    script = (
        "import os,sys,time\n"
        "a,b=sys.argv[1],sys.argv[1]+'.away'\n"
        "while time.monotonic()<float(sys.argv[2]):\n"
        "    os.rename(a,b); os.symlink('/etc',a); os.unlink(a); os.rename(b,a)\n"
    )
    racer = subprocess.Popen(
        ["python3", "-c", script, str(submission / "model_repository"), str(stop)]
    )
    seen = set()
    try:
        while time.monotonic() < stop - 0.2:
            with contextlib.suppress(Refused):
                seen |= {entry.path for entry in take_in(submission, None).files}
    finally:
        racer.wait(10)
    assert not {path for path in seen if "passwd" in path or "hosts" in path}


# -- archives ---------------------------------------------------------------------------------


def tarred(files: dict[str, bytes], mode: str = "w") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


PACKED = {
    "zip": zipped,
    "tar": tarred,
    "tar.gz": lambda files: gzip.compress(tarred(files)),
    "tar.bz2": lambda files: bz2.compress(tarred(files)),
    "tar.xz": lambda files: lzma.compress(tarred(files)),
}


@pytest.fixture(params=PACKED)
def pack(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    def packed(files: dict[str, bytes]) -> Path:
        path = tmp_path / f"s.{request.param}"
        path.write_bytes(PACKED[request.param](files))
        return path

    return packed


Pack = Callable[[dict[str, bytes]], Path]


def test_an_archive_is_its_content(pack: Pack, submission: Path, tmp_path: Path) -> None:
    more = {**FILES, "a/exact": b"e" * 512 * 9, "a/large": os.urandom(3 << 20), "empty": b""}
    for name, data in more.items():
        (submission / name).parent.mkdir(exist_ok=True)
        (submission / name).write_bytes(data)
    taken = take(pack(more), tmp_path)
    assert taken == take_in(submission, None)
    assert (tmp_path / "out" / "taken" / "a" / "large").read_bytes() == more["a/large"]


def test_one_directory_around_all_is_taken_off(pack: Pack, tmp_path: Path) -> None:
    inner = {f"lab-s1047/{name}": data for name, data in FILES.items()}
    taken = take(pack({**inner, "lab-s1047/.git/x": b"1"}), tmp_path)
    assert {entry.path for entry in taken.files} == set(FILES)
    assert taken.left_out == (".git",)
    assert (tmp_path / "out" / "taken" / "benchmarks" / "a.csv").is_file()
    assert not list((tmp_path / "out").glob("*.outer"))


def test_a_repository_alone_stays_where_it_is(pack: Pack, tmp_path: Path) -> None:
    taken = take(pack({"model_repository/model_repository/config.pbtxt": b"1"}), tmp_path)
    assert [entry.path for entry in taken.files] == [
        "model_repository/model_repository/config.pbtxt"
    ]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("../out.txt", "path: leads outside"),
        ("/etc/cron.d/x", "path: leads outside"),
        ("a/../../b", "path: leads outside"),
        ("a//b", "path: leads outside"),
        ("a\\..\\b", "name: has the character"),
    ],
)
def test_members_that_lead_outside(pack: Pack, tmp_path: Path, name: str, rule: str) -> None:
    refused(pack({**FILES, name: b"1"}), tmp_path, rule)
    assert {p.name for p in tmp_path.iterdir()} <= {"taken", next(tmp_path.glob("s.*")).name}


def test_the_same_member_twice(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as archive:
        for data in (b"1", b"2"):
            info = tarfile.TarInfo("a")
            info.size = 1
            archive.addfile(info, io.BytesIO(data))
    refused(path, tmp_path, "a: name: comes twice")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE]
)
def test_a_tar_with_anything_but_files(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("z")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    refused(path, tmp_path, "z: kind: a")


def test_a_zip_with_a_link(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("z")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    refused(tmp_path / "s.zip", tmp_path, "z: kind: a link")


def test_a_bomb(pack: Pack, tmp_path: Path) -> None:
    path = pack({"model_repository/zeros": bytes(64 << 20)})
    if path.suffix == ".tar":
        refused(path, tmp_path, "total size", total=1 << 20)
        return
    refused(path, tmp_path, "archive: holds over 20 times", ratio=20, ratio_from=1 << 20)


def test_a_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    packed = bytearray(zipped({"a": bytes(8 << 20)}))
    size = (8 << 20).to_bytes(4, "little")
    assert packed.count(size) == 2
    (tmp_path / "s.zip").write_bytes(packed.replace(size, (10).to_bytes(4, "little")))
    refused(tmp_path / "s.zip", tmp_path, "archive: cannot be read|changes|grows")
    taken = tmp_path / "taken" / "a"
    assert not taken.exists() or taken.stat().st_size <= 10


def test_a_bomb_of_members(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    path.write_bytes(zipped({f"f{n}": b"" for n in range(12)}))
    refused(path, tmp_path, "count: over 10", entries=10)
    path.write_bytes(gzip.compress(tarred({f"f{n}": b"" for n in range(12)})))
    refused(path, tmp_path, "count: over 10", entries=10)


def test_a_bomb_of_headers(tmp_path: Path) -> None:
    """A PAX header of 1 GiB would be read into memory: it is not."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    path = tmp_path / "s.tar"
    with path.open("wb") as file:
        file.write(info.tobuf())
        file.truncate(1 << 30)
    refused(path, tmp_path, "archive: cannot be read: its headers are too large")


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"PK\x03\x04broken", b"\x1f\x8bbroken", b"\0" * 512]
)
def test_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "s.zip").write_bytes(data)
    refused(tmp_path / "s.zip", tmp_path, "archive: cannot be read|holds no file")


def test_an_archive_that_ends_early(pack: Pack, tmp_path: Path) -> None:
    path = pack({"a": os.urandom(1 << 20), "b": os.urandom(1 << 20)})
    path.write_bytes(path.read_bytes()[: 1 << 20])
    refused(path, tmp_path, "archive|size")


def test_an_encrypted_zip(tmp_path: Path) -> None:
    packed = bytearray(zipped({"a": b"1"}))
    at = packed.index(b"PK\x01\x02") + 8
    packed[at] |= 1
    (tmp_path / "s.zip").write_bytes(packed)
    refused(tmp_path / "s.zip", tmp_path, "a: archive: encrypted")


def test_a_fifo_in_place_of_an_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.zip")
    refused(tmp_path / "s.zip", tmp_path, "no archive")
