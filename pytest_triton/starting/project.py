"""The files of a starting repository: staged together, put in place together, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.errors import Misused, ToolError
from pytest_triton.export.model import Export, check_name, fill_model
from pytest_triton.repository.sidecar import ExportRecord
from pytest_triton.starting import texts

#: The repository inside the project.
REPOSITORY = "model_repository"
#: Files in which a project already says what pytest does.
_CONFIGURED = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml",
               "tox.ini", "setup.cfg")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Started:
    """What was written."""

    record: ExportRecord
    repository: Path
    model: Path
    test: Path
    #: None when the project has a configuration of its own: the snippet is for its owner then.
    pyproject: Path | None

    @property
    def configured(self) -> bool:
        """Whether the project's configuration already names a repository."""
        files = (self.repository.parent / name for name in _CONFIGURED)
        return any(b"triton_repository" in path.read_bytes() for path in files if path.is_file())


def check_free(project: Path, name: str) -> None:
    """Refuse before anything long is done. Raises Misused."""
    check_name(name)
    if project.exists() and not project.is_dir():
        raise Misused(f"{project} is not a directory", "name a directory, which may be new")
    for path in (project / REPOSITORY / name, project / texts.test_name(name)):
        if path.exists() or path.is_symlink():
            raise Misused(f"{path} exists", "choose another --name, or delete it")
    if (project / REPOSITORY).exists() and not (project / REPOSITORY).is_dir():
        raise Misused(f"{project / REPOSITORY} is not a directory", "name another project")


def start(project: Path, name: str, export: Export) -> Started:
    """Export and write everything below ``project``. Raises Misused, ToolError, ExportRefused.

    What is there already stays as it is: nothing is ever overwritten.
    """
    check_free(project, name)
    made = [path for path in (project, *project.parents) if not path.exists()]
    try:
        project.mkdir(parents=True, exist_ok=True)
        # On the same file system, and outside the repository, which may be polled by a server.
        work = Path(tempfile.mkdtemp(prefix=".pytest-triton-init.", dir=project))
    except OSError as error:
        raise ToolError(f"{project}: {error.strerror}", "name a directory to write to") from None
    undo: list[Callable[[], object]] = []
    try:
        record = fill_model(work / "model", name, export)
        (work / "test.py").write_text(texts.test(name, record), encoding="utf-8")
        (work / "pyproject.toml").write_text(texts.PYPROJECT, encoding="utf-8")
        check_free(project, name)
        repository, model = project / REPOSITORY, project / REPOSITORY / name
        if not repository.exists():
            repository.mkdir()
            undo.append(repository.rmdir)
        (work / "model").rename(model)
        undo.append(lambda: shutil.rmtree(model))
        test = project / texts.test_name(name)
        os.link(work / "test.py", test)  # fails, as a rename would not, when it is there
        undo.append(test.unlink)
        pyproject = None
        if not any((project / other).exists() for other in _CONFIGURED):
            pyproject = project / "pyproject.toml"
            os.link(work / "pyproject.toml", pyproject)
    except BaseException as error:
        for step in reversed(undo):
            with suppress(OSError):
                step()
        shutil.rmtree(work, ignore_errors=True)
        for path in made:
            with suppress(OSError):
                path.rmdir()
        if isinstance(error, FileExistsError):
            raise Misused(f"{error.filename2 or error.filename} exists", "delete it") from None
        if isinstance(error, OSError):
            raise ToolError(f"{error}", "make room, or name another directory") from error
        raise
    shutil.rmtree(work, ignore_errors=True)
    return Started(record, repository, model, test, pyproject)
