"""Time of all functional clauses on a booted reference server, and where the rest goes.

    python benchmarks/functional.py [--rounds 3]

Prints seconds by area out of report.json, clauses that carry measured numbers apart, and, as
the control, the seconds of the same pytest run with nothing to judge. Limit of the
project: all functional clauses in under 10 s.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pytest_triton.criteria import load

AREAS = "setup,config,protocol,accuracy,metrics"


def judged(directory: Path) -> dict[str, float]:
    """One run of the functional areas: seconds by name."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "--pyargs", "pytest_triton.suites", "-qq"]
    command += [f"--triton-scope={AREAS}", f"--triton-report={directory}", "-p", "no:cacheprovider"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
    wall = time.monotonic() - began
    report = json.loads((directory / "report.json").read_text("utf-8"))
    seconds = {"wall": wall, "boot": report["run"]["timings"]["boot_ready_s"]}
    measured = {clause.id for clause in load().clauses.values() if clause.measured}
    for clause in report["clauses"]:
        area = "measured" if clause["id"] in measured else clause["area"]
        seconds[area] = seconds.get(area, 0.0) + clause["duration_s"]
    seconds["clauses"] = sum(seconds.get(area, 0.0) for area in AREAS.split(","))
    return seconds


def idle() -> float:
    """The same pytest run with nothing selected."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "--pyargs", "pytest_triton.suites", "-qq"]
    command += ["--collect-only", "-p", "no:cacheprovider"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
    return time.monotonic() - began


def main() -> None:
    """Print a row for each figure: median over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    runs, controls = [], []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as directory:
            runs.append(judged(Path(directory)))
        controls.append(idle())
        print(f"round {number + 1} of {rounds}: {runs[-1]['clauses']:.1f} s", file=sys.stderr)
    for name in runs[0]:
        values = [run.get(name, 0.0) for run in runs]
        print(
            f"{name:<10} {statistics.median(values):7.2f} s  {min(values):.2f} to {max(values):.2f}"
        )
    control = statistics.median(controls)
    print(f"{'control':<10} {control:7.2f} s  collecting alone")
    ratio = statistics.median(run["clauses"] for run in runs) / 10.0
    print(f"functional clauses ÷ 10 s: {ratio:.2f} (at most 1)")


if __name__ == "__main__":
    main()
