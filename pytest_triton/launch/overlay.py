"""The Python that runs inside the server: the judge's packages behind numpy 1.26.

The Python backend of these servers breaks with numpy 2 (wrong shapes, then a crash), while
the judge's environment is free to have it. The stub takes the site-packages of the first
``python3`` on PATH, so it gets a virtual environment that has numpy 1.26 in front and the
judge's own site-packages (torch is not installed twice) behind.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_triton.errors import ToolError
from pytest_triton.launch.cache import cache_root, locked, whole_directory

NUMPY = "1.26.4"
_NUMPY_SHA256 = {
    "3.10": "ffa75af20b44f8dba823498024771d5ac50620e6915abac414251bd971b4529f",
    "3.11": "666dbfb6ec68962c033a450943ded891bed2d54e6755e35e5835d63f4f6931d5",
    "3.12": "675d61ffbfa78604709862923189bad94014bef562cc35cf61d3a07bba02a7ed",
}
_MARKER = "overlay.json"
#: Changes with what an overlay contains.
_FORMAT = "2"
#: Seconds that another interpreter may take to describe itself, or to make an environment.
_PYTHON_TIMEOUT = 120.0
_DESCRIBE = """
import json, os, site, sys, sysconfig
paths = [p for p in site.getsitepackages() if os.path.isdir(p)]
if site.ENABLE_USER_SITE and os.path.isdir(site.getusersitepackages()):
    paths.append(site.getusersitepackages())
print(json.dumps({"executable": sys.executable, "base": sys.base_prefix,
    "version": "%d.%d" % sys.version_info[:2], "full": sys.version.split()[0],
    "site": paths, "libdir": sysconfig.get_config_var("LIBDIR") or "",
    "library": sysconfig.get_config_var("INSTSONAME") or ""}))
"""


@dataclass(frozen=True, slots=True)
class Overlay:
    """An interpreter for the server's Python models."""

    #: "3.11"
    python: str
    #: Goes first on PATH.
    bin: Path
    #: Holds libpython; goes on LD_LIBRARY_PATH.
    library: Path

    @property
    def numpy(self) -> Path:
        """Where its numpy is: a directory that overlays share."""
        return self.bin.parent.parent / f"numpy-{NUMPY}-py{self.python}"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What has to be known of the judge's Python, or of the one that was named."""

    executable: str
    base: str
    version: str
    full: str
    site: tuple[str, ...]
    libdir: str = ""
    library: str = ""

    @property
    def key(self) -> str:
        """Changes when the overlay has to be made anew."""
        text = "\0".join([_FORMAT, NUMPY, self.base, self.full, *self.site])
        return f"py{self.version}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def current_interpreter() -> Interpreter:
    """This very Python; cheap, so without its library."""
    import site

    paths = [path for path in site.getsitepackages() if os.path.isdir(path)]
    user = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
    if user and os.path.isdir(user):
        paths.append(user)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    full = sys.version.split()[0]
    return Interpreter(sys.executable, sys.base_prefix, version, full, tuple(paths))


def describe(python: Path) -> Interpreter:
    """Ask an interpreter about itself. Raises ToolError."""
    try:
        told = subprocess.run(
            [str(python), "-c", _DESCRIBE],
            capture_output=True,
            text=True,
            timeout=_PYTHON_TIMEOUT,
            check=True,
        )
        data = json.loads(told.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise ToolError(
            f"{python} is not a Python that runs: {error}",
            "name another interpreter with --triton-server-python",
        ) from None
    return Interpreter(**{**data, "site": tuple(data["site"])})


def overlay(
    python: Path | None = None, *, progress: Callable[[str], None] = lambda _: None
) -> Overlay:
    """The overlay of this Python, or of another; made on first use. Raises ToolError."""
    interpreter = describe(python) if python else current_interpreter()
    path = cache_root() / "overlays" / interpreter.key
    if made := _read(path):
        return made
    with locked(path, what="preparing the server's Python", progress=progress):
        if made := _read(path):
            return made
        whole = describe(Path(interpreter.executable))
        library = libpython_directory(whole)
        numpy = numpy_directory(whole.version, progress=progress)
        with whole_directory(path) as directory:
            _make(directory, whole, numpy, library)
    made = _read(path)
    if made is None:
        raise ToolError(f"the overlay {path} could not be made", "remove it and run again")
    return made


def _read(path: Path) -> Overlay | None:
    try:
        data = json.loads((path / _MARKER).read_bytes())
    except (OSError, ValueError):
        return None
    library = Path(data["library"])
    if not (path / "bin" / "python3").exists() or not library.exists():
        return None
    return Overlay(data["python"], path / "bin", library.parent)


def libpython_directory(interpreter: Interpreter) -> Path:
    """The file of libpython3.x.so that the stub is linked with. Raises ToolError."""
    name = f"libpython{interpreter.version}.so.1.0"
    candidates = [
        Path(interpreter.libdir) / name,
        Path(interpreter.base) / "lib" / name,
        *(Path(root) / name for root in ("/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib")),
    ]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ToolError(
        f"Python {interpreter.full} in {interpreter.base} has no shared library {name}, "
        "which Triton's Python backend is linked with",
        f"install it (Debian, Ubuntu: apt install libpython{interpreter.version}), or name an "
        "interpreter that has it with --triton-server-python (uv and conda bring it along)",
    )


def numpy_directory(version: str, *, progress: Callable[[str], None]) -> Path:
    """numpy 1.26 for a Python version, unpacked into the cache. Raises ToolError."""
    from pytest_triton.launch.fetch import download

    if version not in _NUMPY_SHA256:
        raise ToolError(
            f"there is no numpy {NUMPY} for Python {version}, and Triton's Python backend does "
            "not work with numpy 2",
            f"use Python {', '.join(_NUMPY_SHA256)}: name one with --triton-server-python",
        )
    path = cache_root() / "overlays" / f"numpy-{NUMPY}-py{version}"
    if path.is_dir():
        return path
    with locked(path, what=f"installing numpy {NUMPY}", progress=progress):
        if path.is_dir():
            return path
        wheel = download(
            f"numpy=={NUMPY}", [_NUMPY_SHA256[version]], progress=progress, size="18 MB",
            python=version,
        )  # fmt: skip
        with whole_directory(path) as made, zipfile.ZipFile(wheel) as archive:
            archive.extractall(made)
        wheel.unlink(missing_ok=True)
    return path


def _make(directory: Path, interpreter: Interpreter, numpy: Path, library: Path) -> None:
    """A virtual environment whose one .pth names numpy first, then the judge's packages."""
    command = [interpreter.executable, "-I", "-m", "venv", "--without-pip", str(directory)]
    try:
        made = subprocess.run(
            command, capture_output=True, text=True, timeout=_PYTHON_TIMEOUT, check=False
        )
        said = (made.stderr or made.stdout).strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        said, made = str(error), None
    if made is None or made.returncode:
        raise ToolError(
            f"no virtual environment could be made with {interpreter.executable}: {said}",
            f"install its venv module (Debian, Ubuntu: apt install python{interpreter.version}"
            "-venv)",
        )
    packages = directory / "lib" / f"python{interpreter.version}" / "site-packages"
    # Stubs ignore PYTHON* variables, and must not leave __pycache__ in somebody's repository.
    first = "import sys; sys.dont_write_bytecode = True"
    lines = [
        str(numpy),
        first,
        *(f"import site; site.addsitedir({path!r})" for path in interpreter.site),
    ]
    (packages / "pytest_triton_judge.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _warm(directory / "bin" / "python3")
    marker = {"python": interpreter.version, "library": str(library), **asdict(interpreter)}
    marker["library"] = str(library)
    (directory / _MARKER).write_text(json.dumps(marker), encoding="utf-8")


def _warm(python: Path) -> None:
    """Byte-compile what ``import numpy`` loads (all of numpy takes 20 s). Never fails."""
    code = "import sys; sys.dont_write_bytecode = False; import numpy"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            [str(python), "-c", code],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PYTHON_TIMEOUT,
            check=False,
        )


def compile_tree(python: Path, path: Path) -> None:
    """Byte-compile a directory once, because stubs write none themselves. Never fails."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            [str(python), "-I", "-m", "compileall", "-q", str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PYTHON_TIMEOUT,
            check=False,
        )
