"""What the intake of a submission of 2 GB costs: copied, checked and summed.

    python benchmarks/intake.py [--rounds 3] [--gigabytes 2] [--directory DIR]

Every measurement is a process of its own, imports included. The control is ``cp -r`` followed by
sha256sum of every file: the same copy and the same sums, without a check. Limit of the project: 10 s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 10.0
FILES = 8
INTAKE = """
import sys
from pathlib import Path
from pytest_triton.grade.intake import take_in
print(take_in(Path(sys.argv[1]), Path(sys.argv[2])).size)
"""
CONTROL = 'cp -r "$1" "$2" && find "$2" -type f -exec sha256sum {} + > /dev/null'


def write(directory: Path, size: int) -> None:
    """A submission of that many bytes, random so that no file system makes it smaller."""
    place = directory / "model_repository" / "large" / "1"
    place.mkdir(parents=True)
    for number in range(FILES):
        with (place / f"{number}.pt").open("wb") as file:
            for _ in range(size // FILES >> 20):
                file.write(os.urandom(1 << 20))
            os.fsync(file.fileno())  # or writing it out would be measured with the copy


def timed(command: list[str], target: Path) -> float:
    """Seconds of one copy; the copy is removed."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - begun
    shutil.rmtree(target)
    os.sync()
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--directory", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.directory) as scratch:
        source, target = Path(scratch) / "source", Path(scratch) / "target"
        write(source, int(asked.gigabytes * 1e9))
        ours, control = [], []
        for _ in range(asked.rounds):
            ours.append(timed([sys.executable, "-c", INTAKE, str(source), str(target)], target))
            control.append(timed(["sh", "-c", CONTROL, "sh", str(source), str(target)], target))
    mine, other = statistics.median(ours), statistics.median(control)
    good = mine < SECONDS
    print(
        f"intake of {asked.gigabytes:g} GB: {mine:.1f} s, cp and sha256sum {other:.1f} s, "
        f"ratio {mine / other:.2f}; limit {SECONDS:g} s: {'kept' if good else 'NOT kept'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
