"""The lint out of the wheel, where there is no torch."""

from __future__ import annotations

import json
from typing import Any

CODE = """
import sys
for name in ("torch", "transformers", "pytest_html", "pytest_docker"):
    sys.modules[name] = None  # as if it were not installed
from pytest_triton.cli import main
sys.argv = ["pytest-triton", *sys.argv[1:]]
main()
"""


def test_lint_needs_no_torch(from_wheel: Any) -> None:
    model = from_wheel.cwd / "model_repository" / "classifier"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text('backend: "pytorch"\nmax_batchsize: 8\n')
    (model / "1" / "model.pt").write_bytes(b"no archive")
    found = json.loads(from_wheel.run("-c", CODE, "lint", "--format", "json", check=False))
    assert {"CFG003"} <= {finding["rule"] for finding in found}
    assert "CFG003" in from_wheel.run("-c", CODE, "lint", "--explain", "CFG003")
