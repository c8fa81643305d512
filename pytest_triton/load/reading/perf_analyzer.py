"""What perf_analyzer writes: its CSV (``-f``) and its ``--profile-export-file``."""

from __future__ import annotations

import json
import math
from typing import Any

from pytest_triton.load.reading.level import Level, Unreadable, make
from pytest_triton.load.reading.text import number, required, rows
from pytest_triton.load.stats import percentile

TOOL = "perf_analyzer"
_LOADS = ("Concurrency", "Request Rate")
#: Columns whose means are the parts of one request's time at the client.
_PARTS = (
    "Client Send",
    "Network+Server Send/Recv",
    "Server Queue",
    "Server Compute Input",
    "Server Compute Infer",
    "Server Compute Output",
    "Client Recv",
)
_PERCENTILES = {f"p{q} latency": f"p{q}" for q in (50, 90, 95, 99)}
_AGAIN = "run perf_analyzer again:  perf_analyzer -m MODEL --concurrency-range 1:16:5 -f FILE"


def is_csv(header: list[str]) -> bool:
    """Whether this is the first row of such a CSV."""
    return header[:1] != [] and header[0] in _LOADS and "Inferences/Second" in header


def read_csv(text: str, path: str) -> list[Level]:
    """One level a row. Its throughput counts inferences; it tells no requests and no time."""
    table = rows(text, path)
    _, header = next(table)
    wanted = ("Inferences/Second", "p50 latency", "p95 latency", "p99 latency")
    if missing := [name for name in wanted if name not in header]:
        raise Unreadable(path, 1, f"no column {', '.join(missing)}", _AGAIN)
    found = []
    for line, row in table:
        if not row:  # what follows are the models of an ensemble
            break
        if len(row) < len(header) - 1:
            raise Unreadable(path, line, f"{len(row)} cells of {len(header)}", _AGAIN)
        cells = dict(zip(header, row, strict=False))
        latency = {
            short: number(cells.get(name, ""), path, line, name)
            for name, short in _PERCENTILES.items()
        }
        mean = number(cells.get("Avg latency", ""), path, line, "Avg latency")
        if math.isnan(mean):
            mean = sum(number(cells.get(name, ""), path, line, name) for name in _PARTS)
        load, kept = required(row[0], path, line, header[0]), header[0] == "Concurrency"
        found.append(
            make(
                path,
                line,
                TOOL,
                throughput_rps=required(
                    cells["Inferences/Second"], path, line, "Inferences/Second"
                ),
                latency_us={"mean": mean, **latency},
                inferences=True,
                concurrency=load if kept else None,
                request_rate=None if kept else load,
            )
        )
    if not found:
        raise Unreadable(path, 1, "no rows", _AGAIN)
    return found


def is_profile(document: Any) -> bool:
    """Whether this is a profile export."""
    return isinstance(document, dict) and isinstance(document.get("experiments"), list)


def load_profile(text: str, path: str) -> Any:
    """The JSON of a profile export; it may hold control characters. Raises Unreadable."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError) as error:
        raise Unreadable(path, getattr(error, "lineno", 0), f"no JSON: {error}", _AGAIN) from None


def read_profile(document: Any, path: str) -> list[Level]:
    """One level an experiment, from the timestamps of its requests inside the windows.

    Streams also tell TTFT and ITL (``more``: ttft_us, itl_us; means).
    """
    protocol = str(document.get("service_kind", ""))
    found = [
        _experiment(at, entry, path, protocol) for at, entry in enumerate(document["experiments"])
    ]
    if not found:
        raise Unreadable(path, 0, "no experiments", _AGAIN)
    return found


def _experiment(at: int, entry: Any, path: str, protocol: str) -> Level:
    def refuse(what: str) -> Unreadable:
        return Unreadable(path, 0, f"experiment {at}: {what}", _AGAIN)

    try:
        mode, value = entry["experiment"]["mode"], float(entry["experiment"]["value"])
        windows = [int(edge) for edge in entry["window_boundaries"]]
        spans = [
            (int(one["timestamp"]), [int(stamp) for stamp in one["response_timestamps"]])
            for one in entry["requests"]
        ]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise refuse(f"cannot be read: {error!r}") from None
    if mode not in ("concurrency", "request_rate"):
        raise refuse(f"mode {mode!r} is neither concurrency nor request_rate")
    if len(windows) < 2 or windows[-1] <= windows[0]:
        raise refuse("it has no windows")
    begin, end = windows[0], windows[-1]
    if len(windows) == 2 and spans:
        # --request-count: the one window is longer than the requests took (its CSV divides by it)
        begin = min(sent for sent, _ in spans)
        end = max((got[-1] for _, got in spans if got), default=end)
    ended = [(sent, got) for sent, got in spans if got and begin <= got[-1] <= end]
    lost = sum(1 for _, got in spans if not got)
    if any(got[0] < sent or sorted(got) != got for sent, got in ended):
        raise refuse("an answer stands before its request")
    if not ended:
        raise refuse("no answer lies in its windows")
    # The last response of a decoupled model may be the empty one that says it is final.
    latency = [(got[-1] - sent) / 1e3 for sent, got in ended]
    more: dict[str, object] = {}
    if any(len(got) > 2 for _, got in ended):
        more["ttft_us"] = sum(got[0] - sent for sent, got in ended) / len(ended) / 1e3
        gaps = [(got[-1] - got[0]) / (len(got) - 1) for _, got in ended if len(got) > 1]
        more["itl_us"] = sum(gaps) / len(gaps) / 1e3
    seconds = (end - begin) / 1e9
    return make(
        path,
        0,
        TOOL,
        throughput_rps=len(ended) / seconds,
        latency_us={
            "mean": sum(latency) / len(latency),
            **{f"p{q}": percentile(latency, q) for q in (50, 90, 95, 99)},
        },
        requests=len(ended) + lost,
        errors=lost,
        duration_s=seconds,
        protocol=protocol if protocol != "triton" else "",
        more={"experiment": at, **more},
        concurrency=value if mode == "concurrency" else None,
        request_rate=value if mode == "request_rate" else None,
    )
