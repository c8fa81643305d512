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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
#: Seconds; an entry that was asked for since may still be served and stays.
KEEP_YOUNGER = 3600.0

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


def reference_repository(
    *,
    seed: int = DEFAULT_SEED,
    progress: Progress | None = None,
    cache: Path | None = None,
    timeout: float = EXPORT_TIMEOUT,
) -> Path:
    """The built reference repository inside the cache: serve it as it is, never write to it.

    Exported once per content (configurations, modules, exporter, versions of torch,
    transformers and numpy, seed); after that it takes milliseconds and no torch. Safe to
    call from several processes at once. ``progress`` hears "exporting 3/9 text_classifier",
    ``timeout`` is in seconds for everything. Raises ToolError.
    """
    with _cached(seed, progress, cache, timeout) as repository:
        return repository


def build_reference(
    destination: Path | str,
    *,
    seed: int = DEFAULT_SEED,
    progress: Progress | None = None,
    cache: Path | None = None,
    timeout: float = EXPORT_TIMEOUT,
) -> list[ExportRecord]:
    """A copy of :func:`reference_repository` at ``destination``, to be changed at will.

    ``destination`` must not exist or be empty. Raises ToolError.
    """
    destination = Path(destination)
    if destination.exists() and any(destination.iterdir()):
        raise ToolError(f"{destination} is not empty", "choose another directory, or empty it")
    with _cached(seed, progress, cache, timeout) as repository:
        _copy(repository, destination)
    return records_of(destination)


@contextmanager
def _cached(
    seed: int, progress: Progress | None, cache: Path | None, timeout: float
) -> Iterator[Path]:
    """The entry of the cache, built if need be, locked for the length of the block."""
    from filelock import FileLock, Timeout

    source = reference_source()
    store = (cache or default_cache()) / "reference"
    store.mkdir(parents=True, exist_ok=True)
    entry = store / content_key(source, seed)
    try:
        # A second process waits for the one that exports, and takes what it made.
        held = FileLock(f"{entry}.lock").acquire(timeout=timeout)
    except Timeout:
        raise ToolError(
            f"another process has held {entry}.lock for {timeout:.0f} s", "wait for it or end it"
        ) from None
    with held:
        if not _intact(entry):
            _export(source, entry, seed, progress, timeout)
        os.utime(entry)
        yield entry / "repository"
    _evict(store, keep=entry)


def _manifest(repository: Path) -> dict[str, list[int]]:
    """Size and time of every file: enough to notice that somebody wrote into the cache."""
    found = {}
    for path in walk(repository):
        if path.is_file():
            status = path.stat()
            found[path.relative_to(repository).as_posix()] = [status.st_size, status.st_mtime_ns]
    return found


def _intact(entry: Path) -> bool:
    """Whether the entry was completed and nobody has written into it since."""
    try:
        manifest = json.loads((entry / "manifest.json").read_text())
        return bool(manifest == _manifest(entry / "repository"))
    except (OSError, ValueError):
        return False


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
    for left in entry.parent.glob(f".{entry.name}.*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.parent))
    try:
        repository = work / "repository"
        shutil.copytree(source, repository, ignore=_SKIP)
        for path in repository.iterdir():
            if path.is_file():  # a README beside the models is for people
                path.unlink()
        _run_exporter(repository, seed, progress, timeout)
        (work / "manifest.json").write_text(json.dumps(_manifest(repository)))
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
        if path == keep or time.time() - path.stat().st_mtime < KEEP_YOUNGER:
            continue
        try:
            with FileLock(f"{path}.lock", timeout=0):
                shutil.rmtree(path, ignore_errors=True)
        except Timeout:
            continue
