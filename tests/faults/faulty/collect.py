"""Print which tests of the suites judge which clause, as JSON: ``python -m faulty.collect``.

``{clause: {"nodes": [...], "boots": whether they boot servers of their own, "probes": whether
they boot one for the probe models where the subject does not serve them}}``
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
    "triton_guarded",
    "triton_fuzzed",
    "triton_flagged",
    "triton_dying",
    "triton_exporting",
    "triton_sampling",
    "triton_writing",
}
#: Fixtures that boot a second server of ours, and none beside an endpoint.
PROBING = {"triton_probes", "triton_adjustable"}


class _Collector:
    def __init__(self) -> None:
        self.tests: dict[str, dict[str, Any]] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if marker := item.get_closest_marker("clause"):
                # The closure names what fixtures ask for; only the arguments say what a test does.
                used = set(item._fixtureinfo.argnames)
                entry = self.tests.setdefault(
                    marker.args[0], {"nodes": [], "boots": False, "probes": False}
                )
                entry["nodes"].append(item.nodeid)
                entry["boots"] = entry["boots"] or bool(BOOTING & used)
                entry["probes"] = entry["probes"] or bool(PROBING & used)


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
