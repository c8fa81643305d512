"""Judge the reference repository on every release of the embedded server, and keep what came out:

    python scripts/judge_releases.py [RELEASE ...]      (default: every release that can be installed)

writes docs/reference/coverage.json, of which scripts/docs.py makes docs/reference/coverage.md.
A release that is not named keeps what was found last time. What is measured under load is left
out: it says more about the machine than about the release. Ends with 1 when a clause fails or
is an error of ours; the file is written all the same.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_triton import __version__
from pytest_triton.launch.store import RELEASES, install

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "reference" / "coverage.json"
SEED = 7
#: Seconds for one release.
LIMIT = 1800


class Functional:
    """A pytest plugin that leaves out what is measured."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        from pytest_triton.criteria import load

        clauses = load().clauses

        def measured(item: pytest.Item) -> bool:
            marker = item.get_closest_marker("clause")
            return marker is not None and clauses[marker.args[0]].measured

        if left_out := [item for item in items if measured(item)]:
            items[:] = [item for item in items if not measured(item)]
            config.hook.pytest_deselected(items=left_out)


def judge(release: str, directory: Path) -> int:
    """One run in this process; pytest's exit status."""
    arguments = [
        "--pyargs", "pytest_triton.suites", "-q", "--no-header", "-p", "no:cacheprovider",
        "-p", "no:html", "--triton-server-release", release, "--triton-device", "cpu",
        "--triton-seed", str(SEED), "--triton-report", str(directory),
    ]  # fmt: skip
    return int(pytest.main(arguments, plugins=[Functional()]))


def results(report: Mapping[str, Any]) -> dict[str, str]:
    """Clause -> ``status`` or ``status/reason_code``."""
    return {
        clause["id"]: "/".join(filter(None, (clause["status"], clause["reason_code"])))
        for clause in report["clauses"]
    }


def update(known: Mapping[str, Any], reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The file's content with the reports of some releases in it."""
    runs = dict(known.get("runs", {}))
    clauses = {name: dict(found) for name, found in known.get("clauses", {}).items()}
    for release, report in reports.items():
        server = report["environment"]["server"]
        runs[release] = {
            "date": report["finished"][:10],
            "server": server["version"],
            "suite": report["suite"]["version"],
        }
        for found in clauses.values():
            found.pop(release, None)
        for name, status in results(report).items():
            clauses.setdefault(name, {})[release] = status
    return {
        "runs": dict(sorted(runs.items())),
        "clauses": {
            name: dict(sorted(found.items())) for name, found in sorted(clauses.items()) if found
        },
    }


def dump(content: Mapping[str, Any]) -> str:
    """One line for each entry, so that a change reads well."""
    parts = []
    for key, entries in content.items():
        lines = (f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
        parts.append(f"{json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main(arguments: Sequence[str]) -> int:
    if list(arguments[:1]) == ["--judge"]:
        return judge(arguments[1], Path(arguments[2]))
    chosen = list(arguments) or sorted(RELEASES)
    if unknown := set(chosen) - set(RELEASES):
        raise SystemExit(f"no release {', '.join(unknown)}; there are {', '.join(RELEASES)}")
    known = json.loads(TARGET.read_text("utf-8")) if TARGET.is_file() else {}
    reports = {}
    with tempfile.TemporaryDirectory() as scratch:
        for release in chosen:
            install(release)
            out = Path(scratch) / release
            command = [sys.executable, __file__, "--judge", release, str(out)]
            print(
                f"{release}: pytest-triton {__version__}, {dt.datetime.now():%H:%M:%S}", flush=True
            )
            subprocess.run(command, timeout=LIMIT, check=False, cwd=scratch)
            reports[release] = json.loads((out / "report.json").read_text("utf-8"))
    TARGET.write_text(dump(update(known, reports)), "utf-8")
    bad = [
        f"{release} {name}: {status}"
        for release, report in reports.items()
        for name, status in results(report).items()
        if status.partition("/")[0] in ("fail", "error")
    ]
    print("\n".join([f"written: {TARGET.relative_to(ROOT)}; then  make docs", *bad]))
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
