"""All numbers of the project, one after the other: ``python -m benchmarks``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: Script and arguments, in order; each prints ratios against a control in the same run.
BENCHMARKS = (
    ("plugin_import.py", ()),
    ("ready.py", ()),
    ("boot_many.py", ()),
    ("functional.py", ()),
    ("lint.py", ()),
    ("intake.py", ()),
    ("sandbox.py", ()),
    ("protocol.py", ()),
    ("isolation.py", ()),
    ("load_engine.py", ()),
    ("llama.py", ()),
    ("scraping.py", ()),
    ("verdicts.py", ()),
)
#: Seconds for one of them.
TIMEOUT = 1800


def main() -> int:
    """Run them; the worst exit status is ours."""
    worst = 0
    for script, arguments in BENCHMARKS:
        path = Path(__file__).with_name(script)
        print(f"\n== {script}", flush=True)
        worst = max(
            worst,
            subprocess.run([sys.executable, str(path), *arguments], timeout=TIMEOUT).returncode,
        )
    return worst


if __name__ == "__main__":
    sys.exit(main())
