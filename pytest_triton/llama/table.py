"""The result for a terminal, out of its JSON alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MARK = {"pass": "pass", "fail": "FAIL", "inconclusive": "????"}


def ratio(found: Mapping[str, Any]) -> str:
    """A ratio with its interval; an end that says nothing is not spelled out."""
    low, high = found["interval"]
    return f"{found['mean']:.2f} [{low:.2f}, {'>99' if high > 99 else f'{high:.2f}'}]"


def table(made: Mapping[str, Any]) -> list[str]:
    """Checks, then numbers; ``made`` as JSON."""
    found = [f"  {_MARK[each['status']]}  {each['title']}: {each['reason']}"
             for each in made["checks"]]  # fmt: skip
    if not made["lines"]:
        return found
    found += [
        "",
        "          streams   tokens/s  a stream    TTFT ms p50    p95    ITL ms p50    p95   "
        "÷ generate()",
        f"{'generate()':10}{1:8} {made['generate_tps']:10.1f}",
    ]
    for row in made["lines"]:
        name = {"grpc": "gRPC", "http": "HTTP SSE"}[row["protocol"]]
        found.append(
            f"{name:10}{row['concurrency']:8} {row['tps']:10.1f} {row['tps_per_user']:9.1f} "
            f"{row['ttft_p50_ms']:14.1f} {row['ttft_p95_ms']:6.1f} {row['itl_p50_ms']:13.2f} "
            f"{row['itl_p95_ms']:6.2f}   {ratio(row['against'])}"
        )
    most = max(row["concurrency"] for row in made["lines"])
    for protocol, scaled in made["scaling"].items():
        found.append(f"{most} streams ÷ 1, {protocol}: {ratio(scaled)} times the tokens a second")
    return found
