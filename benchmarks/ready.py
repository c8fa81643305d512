"""Time to READY through the launcher ÷ time of a bare tritonserver, same repository and flags.

    python benchmarks/ready.py [REPOSITORY] [--release 24.10] [--rounds 7]

Interleaved runs, in seconds of wall clock from the call to the first READY that a client sees.
The bare server gets exactly the command line and environment that the launcher used.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.ports import reserve
from pytest_triton.launch.ready import listens, request


def launcher(spec: ServerSpec) -> tuple[float, float, list[str], dict[str, str]]:
    """Seconds to the Deployment, seconds to the end; the server's arguments and environment."""
    begun = time.monotonic()
    with embedded(spec) as deployment:
        ready = time.monotonic() - begun
        process = Path(f"/proc/{deployment.pid}")
        argv = (process / "cmdline").read_bytes().split(b"\0")[:-1]
        pairs = (process / "environ").read_bytes().split(b"\0")[:-1]
        begun = time.monotonic()
    stop = time.monotonic() - begun
    env = dict(pair.decode().partition("=")[::2] for pair in pairs)
    return ready, stop, [argument.decode() for argument in argv], env


def bare(argv: list[str], env: dict[str, str]) -> float:
    """Seconds from the start of tritonserver itself to its READY."""
    directory = Path(tempfile.mkdtemp())
    with reserve() as ports:
        chosen = {"http": ports.http, "grpc": ports.grpc, "metrics": ports.metrics}
    for name, port in chosen.items():
        argv = [f"--{name}-port={port}" if item.startswith(f"--{name}-port=") else item
                for item in argv]  # fmt: skip
    argv = [item.replace("shm_region_", f"shm_region_bare{os.getpid()}_") for item in argv]
    begun = time.monotonic()
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(
            argv, env={**env, "TMPDIR": str(directory)}, stdout=log, stderr=log
        )
        try:
            while True:
                if listens(ports.http) and request(ports.http, "GET", "/v2/health/ready")[0] == 200:
                    return time.monotonic() - begun
                if server.poll() is not None or time.monotonic() - begun > 120:
                    raise SystemExit((directory / "log").read_text()[-2000:])
                time.sleep(0.002)
        finally:
            server.terminate()
            server.wait(30)
            shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", nargs="?", type=Path)
    parser.add_argument("--release", default="24.10")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--auto-complete", choices=["yes", "no"])
    options = parser.parse_args()
    repository = options.repository
    if repository is None:
        from pytest_triton.repository.reference import reference_repository

        repository = reference_repository(progress=print)
    auto = {"yes": True, "no": False, None: None}[options.auto_complete]
    spec = ServerSpec(repository, release=options.release, device="cpu", auto_complete=auto)
    _, _, argv, env = launcher(spec)  # makes what is cached
    ours, theirs, stops = [], [], []
    for number in range(options.rounds):
        for side in (0, 1) if number % 2 else (1, 0):
            if side:
                ready, stop, *_ = launcher(spec)
                ours.append(ready)
                stops.append(stop)
            else:
                theirs.append(bare(argv, env))
        print(f"launcher {ours[-1]:.3f} s   bare {theirs[-1]:.3f} s   stop {stops[-1]:.3f} s")
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(
        f"READY launcher {statistics.median(ours):.3f} s, bare {statistics.median(theirs):.3f} s, "
        f"ratio {ratio:.3f} (median of {options.rounds} interleaved pairs; at most 1.05)"
    )


if __name__ == "__main__":
    main()
