"""What must not be imported for reading a repository, and what reading one costs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pytest_triton.repository.reference import python_path


@pytest.mark.parametrize(
    "module",
    [
        "pytest_triton.repository.builder",
        "pytest_triton.repository.config",
        "pytest_triton.repository.layout",
        "pytest_triton.repository.reference",
        "pytest_triton.repository.sidecar",
        "pytest_triton.export",
        "pytest_triton.export.oracle",
        "pytest_triton.export.reference",
    ],
)
def test_nothing_heavy_is_imported(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "print(*({'torch', 'transformers', 'grpc', 'tritonclient', 'google.protobuf'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": python_path()},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == ""
