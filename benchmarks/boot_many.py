"""Seconds until every model is READY: 8 TorchScript models against 1, ours against Triton's way.

    python benchmarks/boot_many.py [--release 24.10] [--rounds 5] [--models 8] [--cases A,B]

Cases, all with our `pytorch` backend, each booted by our own launcher and timed by it from the
start of tritonserver until the last model is ready (its file is loaded then):

    default     what Triton does by itself: a stub per instance, torch imported at module level,
                a second stub per model to complete its configuration
    lazy        the same, torch imported in `initialize` only
    lazy-noac   the same, configurations not completed
    ours        stubs forked from a zygote that has torch
    ours-wide   the same, as many models loaded at a time as there are (Triton: twice the
                processors; completing a configuration contains a second of sleep)
    ours-noac   as ours, configurations not completed (as our launcher boots complete ones)

Rounds are interleaved; medians are printed, with the CPU seconds that the server and all of its
processes had used when READY was reached (steadier than wall time on a busy machine), and the
ratios at the end. Every model's answer is compared with the module's own before a time counts.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from pytest_triton.backends.zygote import install
from pytest_triton.launch.backends import backend_directory
from pytest_triton.launch.embedded import ServerSpec, embedded
from pytest_triton.launch.overlay import overlay
from pytest_triton.launch.store import find_server
from pytest_triton.probe.http import HttpProbe

STUB = "triton_python_backend_stub"
KEEP_COMPLETING = "--strict-model-config=false"
CASES = ("default", "lazy", "lazy-noac", "ours", "ours-wide", "ours-noac")
_CONFIG = """\
name: "{name}"
platform: "pytorch_libtorch"
max_batch_size: 8
input [{{ name: "INPUT__0" data_type: TYPE_FP32 dims: [ 16 ] }}]
output [{{ name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 4 ] }}]
instance_group [{{ kind: KIND_CPU count: 1 }}]
"""


@dataclass
class Times:
    """Seconds of every round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def make_repository(root: Path, count: int) -> dict[str, np.ndarray]:
    """``count`` small models; the right answer of each to ``example``."""
    import torch

    answers = {}
    for number in range(count):
        torch.manual_seed(number)
        module = torch.nn.Sequential(
            torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4)
        )
        name = f"model_{number}"
        (root / name / "1").mkdir(parents=True)
        (root / name / "config.pbtxt").write_text(_CONFIG.format(name=name))
        torch.jit.script(module.eval()).save(str(root / name / "1" / "model.pt"))
        with torch.inference_mode():
            answers[name] = module(torch.from_numpy(example())).numpy()
    return answers


def example() -> np.ndarray:
    return np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 16)


def make_backends(prepared: Path, target: Path, release: str, case: str) -> Path:
    """The backend directory of a case, out of the one that the launcher prepared."""
    shutil.copytree(prepared, target)
    stub, home = target / "python" / STUB, target / "python" / "zygote"
    if (home / STUB).is_file():
        shutil.move(home / STUB, stub)
        shutil.rmtree(home)
    if case.startswith("ours"):
        python = overlay().bin / "python3"
        done = install(target, find_server(release).path / "pytriton" / "tritonserver", python)
        if not done.active:
            raise SystemExit(done.reason)
    elif case == "default":
        model = target / "pytorch" / "model.py"
        future = "from __future__ import annotations\n"
        model.write_text(model.read_text().replace(future, future + "import torch\n", 1))
    return target


@contextmanager
def booted(
    repository: Path, backends: Path, release: str, case: str
) -> Iterator[tuple[str, float, float]]:
    flags = [f"--backend-directory={backends}"]
    if not case.endswith("-noac"):
        flags.append(KEEP_COMPLETING)
    if case.endswith("-wide"):
        flags.append(f"--model-load-thread-count={len(list(repository.iterdir()))}")
    spec = ServerSpec(repository, release=release, device="cpu", server_args=tuple(flags))
    with embedded(spec) as server:
        owner = psutil.Process(server.pid).parent()
        yield server.http_url, server.boot["start"], cpu_seconds(owner)


def cpu_seconds(owner: psutil.Process | None) -> float:
    """Of everything below the supervisor (orphans come to it), ended children included."""
    total = 0.0
    for process in owner.children(recursive=True) if owner else []:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def measure(
    release: str, rounds: int, counts: list[int], cases: list[str], root: Path
) -> dict[tuple[str, int], Times]:
    prepared = backend_directory(find_server(release), overlay())
    backends = {
        case: make_backends(prepared, root / "backends" / case, release, case) for case in cases
    }
    repositories = {count: root / f"repository_{count}" for count in counts}
    answers = {count: make_repository(path, count) for count, path in repositories.items()}
    results = {(case, count): Times() for case in cases for count in counts}
    for number in range(rounds + 1):  # the first one only warms the page cache
        for case, count in results:
            with booted(repositories[count], backends[case], release, case) as (url, wall, cpu):
                check(url, answers[count])
            if number:
                results[case, count].wall.append(wall)
                results[case, count].cpu.append(cpu)
                print(
                    f"round {number}  {case:10} {count} models  {wall:6.2f} s  {cpu:6.2f} CPU s",
                    flush=True,
                )
    return results


def check(url: str, answers: dict[str, np.ndarray]) -> None:
    probe = HttpProbe(url)
    for name, expected in answers.items():
        got = probe.infer(name, {"INPUT__0": example()})["OUTPUT__0"]
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def report(results: dict[tuple[str, int], Times], cases: list[str], one: int, many: int) -> None:
    wall = {key: statistics.median(times.wall) for key, times in results.items()}
    cpu = {key: statistics.median(times.cpu) for key, times in results.items()}
    print(f"\n{'case':10} {'1 model':>9} {f'{many} models':>9}  ratio   CPU s")
    for case in cases:
        a, b = (case, one), (case, many)
        times = f"{wall[a]:7.2f} s {wall[b]:7.2f} s {wall[b] / wall[a]:6.2f}"
        print(f"{case:10} {times}   {cpu[a]:.1f}, {cpu[b]:.1f}")
    for case in cases[1:] if "default" in cases else []:
        key, base = (case, many), ("default", many)
        print(
            f"{case} / default, {many} models: "
            f"wall {wall[key] / wall[base]:.3f}, CPU {cpu[key] / cpu[base]:.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--release", default="24.10")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", type=int, default=8, help="compared with 1")
    parser.add_argument("--cases", default=",".join(CASES))
    options = parser.parse_args()
    cases = [case for case in CASES if case in options.cases.split(",")]
    with tempfile.TemporaryDirectory(prefix="boot-many-") as root:
        results = measure(options.release, options.rounds, [1, options.models], cases, Path(root))
    report(results, cases, 1, options.models)


if __name__ == "__main__":
    main()
