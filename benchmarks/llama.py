"""A Llama through Triton against transformers' generate() in process, and many streams against one.

    python benchmarks/llama.py [--size 7b] [--device gpu] [--dtype bfloat16] [--rounds 4]

One stream has to give at least 0.95 of the tokens a second of generate(), and 16 streams together
at least five times one stream. Both are ratios over the same rounds, with their 95 % intervals; a
limit is reached when the whole interval lies above it. The limits are meant for 7B on a GPU: the
small model on a CPU is measured the same way, without a verdict.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from pytest_triton.load.paired import told

ONE, MANY, STREAMS = 0.95, 5.0, 16


def main() -> int:
    """Measure, print, and judge where the limits are meant to hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="small")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype")
    parser.add_argument("--rounds", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "made.json"
        command = [
            sys.executable, "-m", "pytest_triton.cli", "llama", "--size", given.size, "--device",
            given.device, "--form", "stream", "--streams", f"1,{STREAMS}", "--rounds",
            str(given.rounds), "--json", str(out), *(["--dtype", given.dtype] * bool(given.dtype)),
        ]  # fmt: skip
        done = subprocess.run(command, timeout=3600)
        if not out.exists():
            return done.returncode or 1
        made = json.loads(out.read_text())
    meant = given.size == "7b" and made["device"] == "gpu"
    missed = False
    for protocol, scaled in made["scaling"].items():
        one = next(row["against"] for row in made["lines"]
                   if row["protocol"] == protocol and row["concurrency"] == 1)  # fmt: skip
        for name, limit, found in (
            ("one stream ÷ generate()", ONE, one), (f"{STREAMS} streams ÷ 1", MANY, scaled)
        ):  # fmt: skip
            reached = found["interval"][0] >= limit
            missed |= not reached
            word = ("reached" if reached else "NOT reached") if meant else "no limit here"
            print(
                f"{protocol}: {name} {told(found['mean'], found['interval'])}, limit {limit:g}: {word}"
            )
    return int(meant and missed) or done.returncode


if __name__ == "__main__":
    sys.exit(main())
