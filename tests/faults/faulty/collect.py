"""Print which tests of the suites judge which clause, as JSON: ``python -m faulty.collect``.

``{clause: {"nodes": [...], "boots": whether they boot servers of their own}}``
"""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest

#: Fixtures that boot another server than the one that is judged.
BOOTING = {
    "triton_disposable",
    "triton_controlled",
    "triton_polled",
    "triton_server_factory",
}


class _Collector:
    def __init__(self) -> None:
        self.tests: dict[str, dict[str, Any]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if marker := item.get_closest_marker("clause"):
                boots = bool(BOOTING & set(getattr(item, "fixturenames", ())))
                entry = self.tests.setdefault(marker.args[0], {"nodes": [], "boots": False})
                entry["nodes"].append(item.nodeid)
                entry["boots"] = entry["boots"] or boots


def main() -> None:
    """Collect only; nothing is booted."""
    collector = _Collector()
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(
            [
                "--rootdir",
                ".",
                "-c",
                "pytest.ini",
                "--collect-only",
                "-q",
                "--pyargs",
                "-p",
                "no:cacheprovider",
                "pytest_triton.suites",
            ],
            plugins=[collector],
        )
    print(json.dumps(collector.tests))


if __name__ == "__main__":
    main()
