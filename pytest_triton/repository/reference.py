"""The reference repository: where its source is, and a built copy of it out of the cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pytest_triton.errors import ToolError
from pytest_triton.repository.layout import file_sha256, list_models, walk
from pytest_triton.repository.sidecar import ExportRecord, read_sidecar

DEFAULT_SEED = 20260
#: Seconds for all models together; about 10 on two cores.
EXPORT_TIMEOUT = 600.0
#: Built repositories that stay in the cache; each has about 60 MB.
KEEP = 3

_PACKAGE = Path(__file__).resolve().parent.parent
_SKIP = shutil.ignore_patterns("__pycache__", ".*", "__init__.py", "*.md")

Progress = Callable[[str], None]


def reference_source() -> Path:
    """``model_repository/``: inside the installed package, or beside it in a checkout."""
    for candidate in (_PACKAGE / "model_repository", _PACKAGE.parent / "model_repository"):
        if candidate.is_dir():
            return candidate
    raise ToolError(
        "the reference repository is not part of this installation",
        "install pytest-triton again, or work in a complete checkout",
    )


def reference_models() -> tuple[str, ...]:
    """The names of the reference models, in alphabetical order; nothing is exported for this."""
    return tuple(
        model.name for model in list_models(reference_source()) if model.config_path.is_file()
    )


def build_reference(
    destination: Path | str,
    *,
    seed: int = DEFAULT_SEED,
    progress: Progress | None = None,
    cache: Path | None = None,
    timeout: float = EXPORT_TIMEOUT,
) -> list[ExportRecord]:
    """A complete reference repository at ``destination``, which must not exist or be empty.

    Exported once per content (configurations, modules, exporter, versions of torch,
    transformers and numpy, seed) into the user's cache, then copied: a later call takes
    milliseconds and no torch. Safe to call from several processes at once. ``progress``
    hears "exporting 3/9 text_classifier". Raises ToolError.
    """
    destination = Path(destination)
    if destination.exists() and any(destination.iterdir()):
        raise ToolError(f"{destination} is not empty", "choose another directory, or empty it")
    entry = reference_repository(seed=seed, progress=progress, cache=cache, timeout=timeout)
    _copy(entry, destination)
    return records_of(destination)


def reference_repository(
    *,
    seed: int = DEFAULT_SEED,
    progress: Progress | None = None,
    cache: Path | None = None,
    timeout: float = EXPORT_TIMEOUT,
) -> Path:
    """The built reference repository in the cache, to be read and served, never written to.

    As :func:`build_reference`, without the copy: nothing has to be removed afterwards.
    """
    from filelock import FileLock, Timeout

    source = reference_source()
    store = (cache or default_cache()) / "reference"
    store.mkdir(parents=True, exist_ok=True)
    entry = store / content_key(source, seed)
    # A second process waits for the one that exports, and takes what it made.
    try:
        with FileLock(f"{entry}.lock", timeout=timeout):
            if not (entry / "complete").exists():
                _export(source, entry, seed, progress, timeout)
            os.utime(entry)
    except Timeout:
        raise ToolError(
            f"another process has held {entry}.lock for {timeout:.0f} s",
            "end it, or delete the lock file if it belongs to no process",
        ) from None
    _evict(store, keep=entry)
    return entry / "repository"


def records_of(repository: Path) -> list[ExportRecord]:
    """The side-cars of every version in a repository, by model and version."""
    found = []
    for model in list_models(repository):
        for number in model.versions:
            record = read_sidecar(model.version_path(number))
            if record is not None:
                found.append(record)
    return found


def default_cache() -> Path:
    """The user's cache directory of pytest-triton (``PYTEST_TRITON_CACHE`` overrides it)."""
    import platformdirs

    chosen = os.environ.get("PYTEST_TRITON_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("pytest-triton"))


def content_key(source: Path, seed: int) -> str:
    """Everything that the result depends on, as one checksum."""
    digest = hashlib.sha256(f"seed {seed}\npython {sys.version_info[:2]}\n".encode())
    for package in ("torch", "transformers", "numpy"):
        try:
            digest.update(f"{package} {version(package)}\n".encode())
        except PackageNotFoundError:
            digest.update(f"{package} missing\n".encode())
    code = [
        _PACKAGE / "export",
        *(_PACKAGE / "repository" / name for name in ("sidecar.py", "tensors.py")),
    ]
    for root in (source, *code):
        paths = walk(root) if root.is_dir() else iter((root,))
        for path in paths:
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pt":
                digest.update(f"{path.name}\n".encode() + file_sha256(path))
    return digest.hexdigest()[:32]


def _export(
    source: Path, entry: Path, seed: int, progress: Progress | None, timeout: float
) -> None:
    """Build into a directory of our own, then rename: an interrupted export leaves no entry."""
    shutil.rmtree(entry, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.parent))
    try:
        repository = work / "repository"
        shutil.copytree(source, repository, ignore=_SKIP)
        for path in repository.iterdir():
            if path.is_file():  # a README beside the models is for people
                path.unlink()
        _run_exporter(repository, seed, progress, timeout)
        (work / "complete").touch()
        work.chmod(0o755)
        work.rename(entry)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run_exporter(repository: Path, seed: int, progress: Progress | None, timeout: float) -> None:
    """Run the exporter in a process of its own and pass its progress on."""
    environment = {
        **os.environ,
        "PYTHONPATH": python_path(),
        "HF_HUB_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [
        sys.executable,
        "-m",
        "pytest_triton.export.reference",
        str(repository),
        "--seed",
        str(seed),
    ]
    end: dict[str, str] = {}
    with (
        tempfile.TemporaryFile("w+", errors="replace") as noise,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=noise,
            text=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd="/",
        ) as process,
    ):
        watchdog = threading.Timer(timeout, process.kill)
        watchdog.daemon = True
        watchdog.start()
        started = time.monotonic()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] == "start" and progress:
                    progress(f"exporting {event['at']}/{event['of']} {event['model']}")
                elif event["event"] in ("end", "error"):
                    end = event
            process.wait()
        finally:
            watchdog.cancel()
            if process.poll() is None:
                process.kill()
        if process.returncode == 0 and end.get("event") == "end":
            return
        if end.get("event") == "error":
            raise ToolError(
                f"the reference repository was not exported: {end['message']}", end["remedy"]
            )
        if time.monotonic() - started >= timeout:
            raise ToolError(
                f"the export did not end within {timeout:.0f} s",
                "try again on a machine with less load",
            )
        noise.seek(0)
        tail = "\n".join(noise.read()[-4000:].splitlines()[-12:])
        raise ToolError(
            f"the exporter ended with status {process.returncode}:\n{tail}",
            f"run it by hand: {' '.join(command)}",
        )


def python_path() -> str:
    """So that ``-m pytest_triton…`` finds this very package, installed or not."""
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(_PACKAGE.parent), *([inherited] if inherited else [])])


def _copy(built: Path, destination: Path) -> None:
    """Copies, not links: who breaks a model in his repository must not break the cache."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    try:
        shutil.copytree(built, work / "repository", copy_function=shutil.copyfile)
        if destination.exists():
            destination.rmdir()
        (work / "repository").rename(destination)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _evict(store: Path, keep: Path) -> None:
    """Leave the newest entries; one that is in use is locked and stays."""
    from filelock import FileLock, Timeout

    entries = sorted(
        (path for path in store.iterdir() if path.is_dir() and not path.name.startswith(".")),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for path in entries[KEEP:]:
        if path == keep:
            continue
        try:
            with FileLock(f"{path}.lock", timeout=0):
                shutil.rmtree(path, ignore_errors=True)
        except Timeout:
            continue
