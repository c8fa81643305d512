"""Boot or attach to a real Triton Inference Server and judge what it really does."""

from __future__ import annotations

__version__ = "0.1.0"
