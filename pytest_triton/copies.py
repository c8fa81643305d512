"""Copies of one model beside each other on a server of ours, each with another configuration."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from pytest_triton.criteria import Inconclusive
from pytest_triton.errors import DeploymentFailed
from pytest_triton.factory import ServerFactory
from pytest_triton.repository.config import read_config, write_config
from pytest_triton.settings import Settings
from pytest_triton.subject import Subject

#: Changes a ModelConfig message.
Edit: TypeAlias = Callable[[Any], None]


def keep(config: Any) -> None:
    """Change nothing."""


def copy_model(source: Path, target: Path, edit: Edit = keep) -> None:
    """A copy of a model directory under ``target``'s name, its configuration edited.

    Without a response cache: what was not computed is no measurement of the model.
    """
    shutil.copytree(source, target, symlinks=False)
    config = read_config(source)
    config.name = target.name
    config.ClearField("response_cache")
    edit(config)
    write_config(config, target / "config.pbtxt")


@contextmanager
def served_copies(
    subject: Subject, settings: Settings, factory: ServerFactory, model: str, edits: Sequence[Edit]
) -> Iterator[tuple[Subject, list[str]]]:
    """A server with one copy for each edit, for the length of the block, and their names, which
    tell a model nothing of which copy it is.

    Raises Inconclusive where they cannot be served beside each other.
    """
    repository = subject.deployment.repository
    assert repository is not None
    names = [f"model_{secrets.token_hex(4)}" for _ in edits]
    with tempfile.TemporaryDirectory(prefix="pytest-triton-copies-") as scratch:
        place = Path(scratch)
        for name, edit in zip(names, edits, strict=True):
            copy_model(repository / model, place / name, edit)
        try:
            deployment = factory(place)
        except DeploymentFailed as error:
            raise Inconclusive(
                f"{model}: {len(edits)} copies of it cannot be served beside each other: "
                f"{error.message}"
            ) from None
        served = Subject(deployment, settings)
        try:
            yield served, names
        finally:
            served.close()
            factory.stop(deployment)
