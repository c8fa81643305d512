"""Benchmarks that somebody hands in, whichever tool made them, as levels of load."""

from __future__ import annotations

from pytest_triton.load.reading.level import Level, Unreadable
from pytest_triton.load.reading.recognise import read, read_all

__all__ = ["Level", "Unreadable", "read", "read_all"]
