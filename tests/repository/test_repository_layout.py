"""Directories as Triton sees them, and the checksum of a tree."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_triton.repository.layout import list_models, repository_sha256


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            (root / path).mkdir(parents=True, exist_ok=True)
        else:
            (root / path).write_text(path)


def test_versions_are_numbers_without_leading_zero(tmp_path: Path) -> None:
    make(tmp_path, "m/10/x", "m/2/x", "m/0/", "m/03/", "m/v1/", "m/1a/", "m/²/", "m/warmup/a")
    make(tmp_path, "m/4")  # a file
    (model,) = list_models(tmp_path)
    assert model.versions == (0, 1, 2, 10)
    assert model.misread == (("1a", 1),)  # and Triton looks for it in "1", which is not there
    assert model.ignored == (
        ("03", "leading zero"),
        ("v1", "not a number"),
        ("²", "not a number"),
    )
    assert model.version_path(2) == tmp_path / "m" / "2"


def test_every_directory_is_a_model_even_a_hidden_one(tmp_path: Path) -> None:
    make(tmp_path, "b/1/", "a/1/", "__pycache__/", ".git/", "README.md")
    assert [model.name for model in list_models(tmp_path)] == [".git", "__pycache__", "a", "b"]


def test_the_checksum_follows_content_names_and_links(tmp_path: Path) -> None:
    make(tmp_path, "r/a/1/x", "r/b/1/y")
    first = repository_sha256(tmp_path / "r")
    os.utime(tmp_path / "r" / "a" / "1" / "x", (1, 1))
    assert repository_sha256(tmp_path / "r") == first
    changed = {first}
    (tmp_path / "r" / "a" / "1" / "x").write_text("other")
    changed.add(repository_sha256(tmp_path / "r"))
    make(tmp_path, "r/c/")
    changed.add(repository_sha256(tmp_path / "r"))
    (tmp_path / "r" / "a" / "1" / "x").rename(tmp_path / "r" / "a" / "1" / "z")
    changed.add(repository_sha256(tmp_path / "r"))
    (tmp_path / "r" / "loop").symlink_to(tmp_path)
    changed.add(repository_sha256(tmp_path / "r"))
    assert len(changed) == 5


def test_a_fifo_in_the_tree_does_not_stop_the_checksum(tmp_path: Path) -> None:
    make(tmp_path, "a/1/x")
    before = repository_sha256(tmp_path)
    os.mkfifo(tmp_path / "a" / "pipe")
    assert repository_sha256(tmp_path) == before
