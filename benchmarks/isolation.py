"""Ten thousand requests with distinct answers, 256 in flight: every answer read and compared.

    python benchmarks/isolation.py [--requests 10000] [--in-flight 256] [--rounds 3]

The reference model ``mlp`` is served; its eager module says, in a process of its own, what each
request has to be answered. Limit of the project: 20 s on two cores for the requests and the
comparison. The control in the same run: the same requests with the reading of contents left out,
which says what the comparison costs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import numpy as np

from pytest_triton.export.oracle import ReferenceProcess
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.load.engine import closed_loop
from pytest_triton.load.requests import PreparedRequest, prepare_http
from pytest_triton.repository.reference import reference_repository

MODEL, FEATURES, LIMIT_S = "mlp", 128, 20.0


def requests(count: int, seed: int) -> list[PreparedRequest]:
    """Distinct requests of one row, each with the answer that the eager module gives."""
    rows = np.random.default_rng(seed).standard_normal((count, FEATURES), dtype=np.float32)
    with ReferenceProcess() as oracle:
        told = oracle.run(MODEL, 1, {"INPUT__0": rows})["OUTPUT__0"]
    apart = len(np.unique(told.round(4), axis=0))
    assert apart == count, f"only {apart} of {count} answers can be told apart"
    return [
        prepare_http(
            MODEL,
            "",
            {"INPUT__0": rows[at : at + 1]},
            expected={"OUTPUT__0": told[at : at + 1]},
            request_id=f"{at}",
        )
        for at in range(count)
    ]


def main() -> int:
    """0 when every answer was right and the slowest round kept the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    prepared = requests(options.requests, seed=1)
    bare = [PreparedRequest(one.path, one.headers, one.body, None, one.batch) for one in prepared]
    took: dict[str, list[float]] = {"compared": [], "control": []}
    wrong = 0
    with embedded(ServerSpec(reference_repository(), models=(MODEL,), device="cpu")) as server:
        for number in range(options.rounds):
            for kind, sent, every in (("compared", prepared, 1), ("control", bare, 10_000)):
                started = time.monotonic()
                run = closed_loop(
                    server.http_url, sent, concurrency=options.in_flight, count=len(sent),
                    warmup_s=0.0, check_every=every, seed=number,
                )  # fmt: skip
                took[kind].append(time.monotonic() - started)
                wrong += run.wrong + run.errors
                print(
                    f"round {number + 1}  {kind:9} {took[kind][-1]:6.2f} s  "
                    f"{run.throughput_rps:7.0f} requests/s  {run.checked} read  "
                    f"{run.wrong} wrong  {run.errors} errors",
                    flush=True,
                )
    ratio = statistics.median(took["compared"]) / statistics.median(took["control"])
    slowest = max(took["compared"])
    print(
        f"comparing takes {ratio:.2f} of the time without; slowest {slowest:.1f} of {LIMIT_S:g} s"
    )
    return int(bool(wrong) or slowest > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
