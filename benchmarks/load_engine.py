"""The load engine against perf_analyzer, in the same run and in turn.

    python benchmarks/load_engine.py [--rounds 3] [--seconds 2]

Limits of the project: throughput at 1, 8 and 32 in flight at least 1.0 of perf_analyzer's, CPU per
request at most 0.6 of its; p50 and p95 of models with known service times within 5 % or 0.3 ms,
and no further away than perf_analyzer's; an open loop of 2,000 requests a second sends within 1 ms
of the plan at p99. On a busy machine the ratios are noise: the last column says how busy it was.

perf_analyzer is taken from PATH, or out of the wheel tritonclient 2.48.0 (pip downloads it, and
libcudart, into a temporary directory; libb64 is that of the server).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from recording import served as known_models

from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.store import install
from pytest_triton.load.engine import open_loop
from pytest_triton.loading import analyzer
from pytest_triton.loading.levels import Level
from pytest_triton.loading.sweep import Wanted, drive
from pytest_triton.loading.target import Target
from pytest_triton.repository.reference import reference_repository

CONCURRENCIES = (1, 8, 32)
#: Name, and the truth of p50 and p95 in ms.
KNOWN = {"fixed5": (5.0, 5.0), "fixed20": (20.0, 20.0), "bimodal": (5.0, 20.0)}
RATE = 2000.0


@contextmanager
def perf_analyzer() -> Iterator[None]:
    """perf_analyzer on PATH for the length of the block."""
    try:
        analyzer.find()
        yield
        return
    except Exception:
        print("downloading perf_analyzer", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="pytest-triton-analyzer-") as scratch:
        place = Path(scratch)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch,
             "tritonclient==2.48.0", "nvidia-cuda-runtime-cu12"],
            check=True, timeout=600, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for wheel in place.glob("*.whl"):
            subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), scratch], check=True)
        binary = next(place.glob("**/bin/perf_analyzer"))
        binary.chmod(0o755)
        b64 = next(file for one in install().libraries for file in one.glob("libb64-*.so*"))
        (place / "libb64.so.0d").symlink_to(b64)
        cuda = next(place.glob("**/libcudart.so.12")).parent
        before = {name: os.environ.get(name, "") for name in ("PATH", "LD_LIBRARY_PATH")}
        os.environ["PATH"] = f"{binary.parent}:{before['PATH']}"
        os.environ["LD_LIBRARY_PATH"] = f"{place}:{cuda}:{before['LD_LIBRARY_PATH']}"
        try:
            yield
        finally:
            os.environ.update(before)


def against(target: Target, wanted: Wanted, rounds: int) -> bool:
    """Throughput and CPU per request, in turn; whether the limits are kept."""
    good = True
    requests = target.prepared(wanted.protocol, 1)
    for concurrency in CONCURRENCIES:
        level = Level(concurrency=concurrency)
        ratios, costs, busy = [], [], []
        for number in range(rounds):
            found = {}
            for side in ("ours", "theirs")[:: 1 if number % 2 else -1]:
                if side == "ours":
                    ours = drive(target, wanted, requests, level, None)
                    found[side] = (ours.throughput_rps, ours.client_cpu_s / ours.good)
                    busy.append(ours.foreign_cpu)
                else:
                    (theirs,) = analyzer.analyze(target, wanted, [level])
                    found[side] = (
                        theirs.record.throughput_rps,
                        theirs.cpu_s / theirs.served.success,
                    )
            ratios.append(found["ours"][0] / found["theirs"][0])
            costs.append(found["ours"][1] / found["theirs"][1])
        rate, cost = float(np.median(ratios)), float(np.median(costs))
        good = good and rate >= 1.0 and cost <= 0.6
        print(
            f"{target.model:<10} {wanted.protocol} {concurrency:>3} in flight  "
            f"throughput {rate:5.2f} ({min(ratios):.2f} to {max(ratios):.2f})  "
            f"CPU per request {cost:5.2f} ({min(costs):.2f} to {max(costs):.2f}) of perf_analyzer's"
            f"  others {np.mean(busy):.2f} cores", flush=True,
        )  # fmt: skip
    return good


def known(target: Target, wanted: Wanted, rounds: int) -> bool:
    """Distance of p50 and p95 from the known service times, by both."""
    good = True
    requests, level = target.prepared("http", 1), Level(concurrency=1)
    errors: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    truth = KNOWN[target.model]
    account = []
    for _ in range(rounds):
        ours = drive(target, wanted, requests, level, None)
        if ours.served:
            account.append(ours.served.request_ns / ours.served.success / 1e6)
        (theirs,) = analyzer.analyze(target, wanted, [level])
        latency = theirs.record.latency_us
        errors["ours"].append(
            tuple(ours.percentile_ms(q) - truth[at] for at, q in enumerate((50, 95)))
        )
        errors["theirs"].append(
            tuple(latency[f"p{q}"] / 1e3 - truth[at] for at, q in enumerate((50, 95)))
        )
    for at, name in enumerate(("p50", "p95")):
        mine, other = (float(np.median([one[at] for one in errors[side]])) for side in errors)
        kept = abs(mine) <= max(0.05 * truth[at], 0.3) and abs(mine) <= abs(other) + 0.02
        good = good and kept
        print(f"{target.model:<10} {name} {truth[at]:5.1f} ms: ours {mine:+.2f} ms, perf_analyzer "
              f"{other:+.2f} ms  {'kept' if kept else 'NOT KEPT'} (the server's own mean account: "
              f"{np.median(account):.2f} ms)", flush=True)  # fmt: skip
    return good


def punctual(target: Target, seconds: float) -> bool:
    """An open loop of 2,000 requests a second: from the plan to the wire."""
    run = open_loop(
        target.http_url, target.prepared("http", 1), rate=RATE, duration_s=seconds,
        server_pids=target.processes(),
    )  # fmt: skip
    late = np.percentile(run.late_us, [50, 99, 100]) / 1e3
    slept = np.percentile(run.slept_us, [50, 99, 100]) / 1e3
    print(f"open loop  {RATE:.0f} requests/s: sent {late[0]:.3f} / {late[1]:.3f} / {late[2]:.3f} ms "
          f"behind the plan (p50, p99, most), looked at {slept[1]:.3f} ms at p99, "
          f"{run.errors} errors of {run.planned}, others {run.foreign_cpu:.2f} cores")  # fmt: skip
    return bool(late[1] <= 1.0)


def main() -> int:
    """0 when every limit is kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    wanted = Wanted(duration_s=options.seconds)
    kept = []
    with perf_analyzer():
        spec = ServerSpec(reference_repository(), models=("mlp", "versioned"), device="cpu")
        with embedded(spec) as server:
            for model in ("mlp", "versioned"):
                target = Target(model, server.http_url, server.grpc_url)
                kept.append(against(target, wanted, options.rounds))
                if model == "versioned":
                    kept.append(punctual(target, 2 * options.seconds))
        with known_models("bimodal") as server:
            for model in KNOWN:
                target = Target(model, server.http_url, server.grpc_url)
                kept.append(known(target, wanted, options.rounds))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
