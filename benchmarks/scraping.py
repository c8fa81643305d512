"""What a scrape of a large server costs: the page of 1,000 models, about 20 series each.

    python benchmarks/scraping.py [--models 1000] [--rounds 20]

A process of its own serves the page on loopback. The control is prometheus-client's parser on the
same text, in turns with ours; both have to find the same samples. Limit of the project: a scrape,
from the request to the parsed series, takes less than 100 ms.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from pytest_triton.monitor.metrics import parse, scrape

LIMIT_MS = 100.0
REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")
COUNTERS = (
    "nv_inference_request_success", "nv_inference_count", "nv_inference_exec_count",
    "nv_inference_request_duration_us", "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us", "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us", "nv_cache_num_hits_per_model",
    "nv_cache_num_misses_per_model", "nv_cache_hit_duration_per_model",
    "nv_cache_miss_duration_per_model", "custom_tokens_total", "custom_prompts_total",
    "custom_batches_total",
)  # fmt: skip
SERVER = """
import http.server, pathlib, sys
page = pathlib.Path(sys.argv[1]).read_bytes()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
    def log_message(self, *arguments):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def page(models: int) -> str:
    """As Triton prints it: the families one after the other, the models in no order."""
    names = [f"team-{number % 7}_model_{number:04}" for number in range(models)]
    names.sort(key=lambda name: hash(name[::-1]))
    lines = []

    def family(name: str, kind: str, extra: tuple[str, ...] = ("",)) -> None:
        lines.extend([f"# HELP {name} What {name} counts", f"# TYPE {name} {kind}"])
        for at, model in enumerate(names):
            for label in extra:
                lines.append(f'{name}{{model="{model}",{label}version="1"}} {at * 7919 % 100_003}')

    family("nv_inference_request_failure", "counter", tuple(f'reason="{r}",' for r in REASONS))
    family("nv_inference_pending_request_count", "gauge")
    for name in COUNTERS:
        family(name, "counter")
    return "\n".join(lines) + "\n"


def _same(text: str) -> None:
    """AssertionError unless both parsers find the same samples."""
    samples = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    theirs = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(samples)
        for sample in family.samples
    }
    read = parse(text)
    ours = {(name, key): value for name, of in read.series.items() for key, value in of.items()}
    assert ours == theirs
    assert not read.problems


def main() -> int:
    """Print the medians; 1 when the limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    text = page(options.models)
    _same(text)
    series = sum(not line.startswith("#") for line in text.split("\n")[:-1])
    spent: dict[str, list[float]] = {"scrape and parse": [], "parse": [], "prometheus-client": []}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "page.txt")
        file.write_text(text)
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(file)], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/metrics"
            for _ in range(options.rounds):
                for name, work in (
                    ("scrape and parse", lambda: scrape(url)),
                    ("parse", lambda: parse(text)),
                    ("prometheus-client", lambda: list(text_string_to_metric_families(text))),
                ):
                    began = time.perf_counter()
                    work()
                    spent[name].append((time.perf_counter() - began) * 1000)
        finally:
            server.terminate()
            server.wait(10)
    print(f"{options.models} models, {series} series, {len(text) / 1e6:.1f} MB")
    for name, took in spent.items():
        print(f"{name:<18} median {statistics.median(took):.0f} ms · least {min(took):.0f} ms")
    ratios = [b / a for a, b in zip(spent["parse"], spent["prometheus-client"], strict=True)]
    print(f"prometheus-client takes {statistics.median(ratios):.1f} times as long as ours")
    median = statistics.median(spent["scrape and parse"])
    print(f"limit {LIMIT_MS:g} ms: {'kept' if median < LIMIT_MS else 'BROKEN'}")
    return int(not median < LIMIT_MS or math.isnan(median))


if __name__ == "__main__":
    sys.exit(main())
