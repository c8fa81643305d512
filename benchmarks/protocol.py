"""Time and memory of the judge on an endpoint, and what a slow network makes of it.

    python benchmarks/protocol.py [--rounds 3] [--latency-ms 20]

One server of ours serves the reference repository and the probe models; the suites are run on it
as on an endpoint with everything allowed, directly and through a relay that holds every answer
back. Clauses that are measured under load, that wait on purpose (``waits`` in the catalogue) or
that need a server of their own are left out and counted. Limits of the project: 180 clauses, 15 s,
200 MB of memory for the judge, 60 s at 20 ms of latency.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from pytest_triton.criteria import load
from pytest_triton.deployment import Deployment
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.probe_set import SERVER_FLAGS, write_probes
from pytest_triton.repository.reference import reference_repository

#: Seconds for one run of the judge.
TIMEOUT = 300
CHUNK = 1 << 16


class Relay:
    """A TCP relay on loopback that holds what comes back from the server for ``delay`` seconds."""

    def __init__(self, targets: list[int], delay: float) -> None:
        self._targets, self._delay = targets, delay
        self.ports: list[int] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Relay:
        self._thread.start()
        if not self._ready.wait(10):
            raise TimeoutError("the relay does not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._listen())
        self._ready.set()
        self._loop.run_forever()

    async def _listen(self) -> None:
        for target in self._targets:

            async def serve(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: int = target
            ) -> None:
                there, back = await asyncio.open_connection("127.0.0.1", to)
                await asyncio.gather(self._pump(reader, back, 0.0), self._pump(there, writer))

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            self.ports.append(server.sockets[0].getsockname()[1])

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        delay: float | None = None,
    ) -> None:
        """Hand on every chunk ``delay`` after it came; chunks do not wait for one another."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        async def hand_on() -> None:
            while True:
                due, data = await held.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not data:
                    break
                writer.write(data)
                await writer.drain()

        sending = asyncio.create_task(hand_on())
        wait = self._delay if delay is None else delay
        try:
            while data := await reader.read(CHUNK):
                held.put_nowait((loop.time() + wait, data))
            held.put_nowait((loop.time() + wait, b""))
            await sending
        except OSError:
            sending.cancel()
        finally:
            writer.close()


@contextmanager
def endpoint() -> Iterator[Deployment]:
    """A server with the reference repository and the probe models."""
    with tempfile.TemporaryDirectory() as directory:
        repository = write_probes(Path(directory))
        for model in reference_repository().iterdir():
            if model.is_dir():
                (repository / model.name).symlink_to(model)
        with embedded(ServerSpec(repository, device="cpu", server_args=SERVER_FLAGS)) as server:
            yield server


def waiting() -> list[str]:
    """The tests of clauses that are measured under load, or that wait on purpose."""
    machinery = Path(__file__).resolve().parents[1] / "tests" / "faults"
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "pytest.ini").write_text("[pytest]\n")
        env = {**os.environ, "PYTHONPATH": str(machinery)}
        made = subprocess.run(
            [sys.executable, "-m", "faulty.collect"], env=env, cwd=directory,
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    tests = json.loads(made.stdout.splitlines()[-1])
    clauses = load().clauses
    return [node for name, found in tests.items() for node in found["nodes"]
            if clauses[name].measured or clauses[name].waits]  # fmt: skip


def judged(urls: list[str], left_out: list[str]) -> dict[str, float]:
    """One run of the judge: clauses that passed, seconds, and MB at most."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-m", "pytest", "--pyargs", "pytest_triton.suites", "-qq",
                   "-p", "no:cacheprovider", "--rootdir", directory, "-c", f"{directory}/pytest.ini",
                   "--triton-report", f"{directory}/report", "--triton-allow-control",
                   "--triton-allow-load"]  # fmt: skip
        for option, url in zip(("url", "grpc-url", "metrics-url"), urls, strict=True):
            command += [f"--triton-{option}", url]
        for node in left_out:
            command += ["--deselect", node]
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL)
        _, _, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        report = json.loads(Path(directory, "report", "report.json").read_text("utf-8"))
    by_status = Counter(entry["status"] for entry in report["clauses"])
    for entry in report["clauses"]:
        if entry["status"] in ("fail", "error", "inconclusive"):
            print(f"{entry['id']} {entry['status']}: {entry['reason'][:300]}", file=sys.stderr)
    passed = [entry for entry in report["clauses"] if entry["status"] == "pass"]
    return {
        "passed": len(passed),
        "failed": by_status["fail"] + by_status["error"] + by_status["inconclusive"],
        "seconds": seconds,
        "in clauses": sum(entry["duration_s"] for entry in passed),
        "MB": usage.ru_maxrss / 1024,
    }


def main() -> None:
    """Print a row for each way to the server: medians over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    options = parser.parse_args()
    left_out = waiting()
    with endpoint() as server:
        urls = [server.http_url, f"http://{server.grpc_url}", server.metrics_url]
        ports = [urlsplit(str(url)).port or 0 for url in urls]
        with Relay(ports, options.latency_ms / 1000) as relay:
            http, grpc, metrics = relay.ports
            slow = [f"http://127.0.0.1:{http}", f"127.0.0.1:{grpc}",
                    f"http://127.0.0.1:{metrics}/metrics"]  # fmt: skip
            straight = [server.http_url, str(server.grpc_url), str(server.metrics_url)]
            ways = {"directly": straight, f"{options.latency_ms:g} ms later": slow}
            for way, addresses in ways.items():
                runs = [judged(addresses, left_out) for _ in range(options.rounds)]
                row = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
                told = " · ".join(f"{name} {value:.4g}" for name, value in row.items())
                print(f"{way:<12} {told}")
    print(f"left out: {len(left_out)} tests that are measured under load or wait on purpose")
    print(f"catalogue: {len(load().clauses)} clauses")


if __name__ == "__main__":
    main()
