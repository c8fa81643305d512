"""What the sandbox costs: time to READY and latency, in it ÷ without it, in one run.

    python benchmarks/sandbox.py [--rounds 9] [--requests 400]

The reference repository, embedded, on the CPU; pairs interleaved, both orders, so that a machine that
is busy is busy for both. Latency is of ``mlp`` over HTTP, one connection, one row; of each boot the
median counts. Limits of the project: a boot at most 1.05 times as long; latency not measurably longer,
which is an interval of the ratio that holds 1.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time

import numpy as np

from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.probe.http import HttpProbe
from pytest_triton.repository.reference import reference_repository
from pytest_triton.sandbox.active import BUBBLEWRAP, NONE, VARIABLE

BOOT = 1.05
#: Of a ratio: how far beyond the limit its interval may reach, and how wide that of latency may be.
NOISE = 0.1
CANNOT_TELL = 13
MODEL = "mlp"


def run(spec: ServerSpec, kind: str, requests: int) -> tuple[float, float]:
    """Seconds to READY, and the median latency in seconds."""
    os.environ[VARIABLE] = kind
    with embedded(spec) as deployment, HttpProbe(deployment.http_url) as http:
        row = {"INPUT__0": np.zeros((1, 128), np.float32)}
        taken = []
        for number in range(requests + requests // 4):
            begun = time.perf_counter()
            http.infer(MODEL, row)
            if number >= requests // 4:
                taken.append(time.perf_counter() - begun)
        return deployment.boot["ready"], statistics.median(taken)


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """Geometric mean of ratios, and its interval of 95 % (Student's t, for up to 30 pairs)."""
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    t = {4: 2.776, 6: 2.447, 8: 2.306, 10: 2.228, 14: 2.145, 18: 2.101}.get(len(logs) - 1, 2.262)
    half = t * statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=400)
    asked = parser.parse_args()
    spec = ServerSpec(reference_repository(progress=print), device="cpu")
    for kind in (NONE, BUBBLEWRAP):  # what is cached is made
        run(spec, kind, 1)
    boots, latencies = [], []
    for number in range(asked.rounds):
        order = (NONE, BUBBLEWRAP) if number % 2 else (BUBBLEWRAP, NONE)
        seen = {kind: run(spec, kind, asked.requests) for kind in order}
        boots.append(seen[BUBBLEWRAP][0] / seen[NONE][0])
        latencies.append(seen[BUBBLEWRAP][1] / seen[NONE][1])
        print(
            f"ready {seen[BUBBLEWRAP][0]:.2f} s in it, {seen[NONE][0]:.2f} s without; "
            f"latency {seen[BUBBLEWRAP][1] * 1e3:.3f} ms, {seen[NONE][1] * 1e3:.3f} ms",
            flush=True,
        )
    boot, low, high = interval(boots)
    latency, least, most = interval(latencies)
    print(f"boot      ratio {boot:.3f} [{low:.3f}, {high:.3f}], at most {BOOT}")
    print(f"latency   ratio {latency:.3f} [{least:.3f}, {most:.3f}], not measurable is 1 in it")
    if low > BOOT or least > 1.0:
        print("NOT kept")
        return 1
    if high > BOOT + NOISE or most - least > NOISE:
        print(
            "cannot tell: the intervals are too wide; again on a quieter machine, or more --rounds"
        )
        return CANNOT_TELL
    print("kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
