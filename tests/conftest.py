"""For all tests of pytest-triton itself."""

from __future__ import annotations

pytest_plugins = ["pytester"]
