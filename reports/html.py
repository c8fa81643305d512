"""pytest-html's page: verdict block, criterion column (hooks only run where it is installed)."""

from __future__ import annotations
