"""Ways to get a Deployment: embedded, attached (docker: not built yet). One context manager."""

from __future__ import annotations

from pytest_triton.launch.launch import launch, require

__all__ = ["launch", "require"]
