"""Print which tests of the suites judge which clause, as JSON: ``python -m faulty.collect``."""

from __future__ import annotations

import contextlib
import io
import json

import pytest


class _Collector:
    def __init__(self) -> None:
        self.nodes: dict[str, list[str]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if marker := item.get_closest_marker("clause"):
                self.nodes.setdefault(marker.args[0], []).append(item.nodeid)


def main() -> None:
    """Collect only; nothing is booted."""
    collector = _Collector()
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "--pyargs",
                     "pytest_triton.suites"], plugins=[collector])  # fmt: skip
    print(json.dumps(collector.nodes))


if __name__ == "__main__":
    main()
