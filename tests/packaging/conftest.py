"""The project as a wheel and as an editable install, each in a new environment.

The heavy dependencies are those of the running environment, seen through a ``.pth`` file: an
environment takes seconds, and nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Not what a fresh clone has, where there is no git to ask.
_LEFT_OUT = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "triton-report", "*.pt"
)


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and the directory from which it is used."""

    python: Path
    cwd: Path

    def run(self, *command: str, timeout: float = 120, check: bool = True) -> str:
        """Output of ``python COMMAND`` (standard error with it)."""
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "PYTHON", "PIP_TARGET"))
        }
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        if cache := os.environ.get("PYTEST_TRITON_CACHE"):
            env["PYTEST_TRITON_CACHE"] = cache
        ran = subprocess.run(
            [str(self.python), *command], cwd=self.cwd, env=env, timeout=timeout, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert not check or ran.returncode == 0, ran.stdout
        return ran.stdout


def new_environment(directory: Path) -> Path:
    """An empty virtual environment that sees what is installed in the running one."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True, timeout=60
    )
    python = directory / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run(
        [str(python), "-c", code], check=True, timeout=60, capture_output=True, text=True
    ).stdout.strip()
    # A .pth file that names a directory leaves that directory's own .pth files alone, so an
    # editable install of the project is not seen through it.
    Path(own, "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def install(python: Path, *what: str) -> None:
    """Install without dependencies and without an index."""
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps",
         "--no-index", "--no-build-isolation", "--disable-pip-version-check",
         "--ignore-installed", *what],
        check=True, timeout=200, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that a fresh clone has."""
    target = tmp_path_factory.mktemp("clone") / "pytest-triton"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, timeout=60,
    )  # fmt: skip
    if listed.returncode != 0:  # an archive of the sources
        shutil.copytree(ROOT, target, ignore=_LEFT_OUT)
        return target
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


@pytest.fixture(scope="session")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    shutil.copytree(clone, source)  # setuptools leaves build/ behind
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index",
         "--no-build-isolation", "--disable-pip-version-check", "--wheel-dir", str(directory),
         str(source)],
        check=True, timeout=200, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def from_wheel(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel installed; used from an empty directory."""
    python = new_environment(tmp_path_factory.mktemp("from-wheel") / "venv")
    install(python, str(wheel))
    return Environment(python, tmp_path_factory.mktemp("empty-wheel"))


@pytest.fixture(scope="session")
def from_editable(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An editable install of the clone; used from an empty directory."""
    python = new_environment(tmp_path_factory.mktemp("from-editable") / "venv")
    install(python, "--editable", str(clone))
    return Environment(python, tmp_path_factory.mktemp("empty-editable"))


@pytest.fixture(scope="session")
def from_checkout(clone: Path, from_editable: Environment) -> Environment:
    """The clone itself, as its developers use it."""
    return Environment(from_editable.python, clone)
