"""Somebody's load-test script: run within bounds, and what it says of itself."""
