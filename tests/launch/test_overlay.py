"""The server's Python: numpy 1.26 before the judge's packages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_triton.errors import ToolError
from pytest_triton.launch.overlay import Interpreter, describe, libpython_directory, overlay

PROBE = """
import numpy, sys, pytest
print(numpy.__version__, pytest.__file__, sys.dont_write_bytecode)
"""


def test_numpy_1_26_and_the_judges_packages() -> None:
    python = overlay().bin / "python3"
    told = subprocess.run([str(python), "-c", PROBE], capture_output=True, text=True, check=True)
    version, file, quiet = told.stdout.split()
    assert version == "1.26.4"
    assert file == pytest.__file__
    assert quiet == "True"


def test_another_interpreter_by_name() -> None:
    assert overlay(Path(sys.executable)) == overlay()


def test_what_is_no_interpreter(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="not a Python that runs") as caught:
        overlay(tmp_path / "nothing")
    assert "--triton-server-python" in caught.value.remedy


def test_no_shared_library(tmp_path: Path) -> None:
    python = Interpreter("/x", str(tmp_path), "3.99", "3.99.0", ())
    with pytest.raises(ToolError, match=r"libpython3\.99\.so") as caught:
        libpython_directory(python)
    assert "apt install libpython3.99" in caught.value.remedy


def test_a_python_without_numpy_1_26() -> None:
    from pytest_triton.launch.overlay import numpy_directory

    with pytest.raises(ToolError, match=r"no numpy 1\.26\.4 for Python 3\.13"):
        numpy_directory("3.13", progress=lambda _: None)


def test_describes_this_interpreter() -> None:
    assert describe(Path(sys.executable)).full == sys.version.split()[0]
