"""The result for a terminal, out of its JSON alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_triton.load.paired import told

_NAMES = {"grpc": "gRPC", "http": "HTTP SSE"}
_MARK = {"pass": "pass", "fail": "FAIL", "inconclusive": "????"}


def ratio(found: Mapping[str, Any]) -> str:
    """A ratio with its interval."""
    return told(found["mean"], found["interval"])


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
        found.append(
            f"{_NAMES[row['protocol']]:10}{row['concurrency']:8} {row['tps']:10.1f} "
            f"{row['tps_per_user']:9.1f} {row['ttft_p50_ms']:14.1f} {row['ttft_p95_ms']:6.1f} "
            f"{row['itl_p50_ms']:13.2f} {row['itl_p95_ms']:6.2f}   {ratio(row['against'])}"
        )
    many = sorted({row["concurrency"] for row in made["lines"]})
    least, most = many[0], many[-1]
    for protocol, scaled in made["scaling"].items():
        found.append(
            f"{most} streams ÷ {least}, {_NAMES[protocol]}: {ratio(scaled)} times the tokens a second"
        )
    return found
