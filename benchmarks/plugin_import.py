"""What loading the plugin costs a pytest run that has nothing to do with Triton.

    python benchmarks/plugin_import.py [--rounds 15]

Interleaved runs of one empty test with the plugin and with ``-p no:triton``, each in a process
of its own; milliseconds of wall clock, and of processor time, which neighbours disturb less.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: Milliseconds that the plugin may cost.
BUDGET = 50.0
#: Other plugins are switched off: they load modules that ours would share.
OTHERS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": ""}


def run(directory: Path, *, plugin: bool) -> tuple[float, float]:
    """Wall clock and processor time of one run, in milliseconds."""
    chosen = ["-p", "pytest_triton.plugin"] if plugin else []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen, "test_empty.py"],
        cwd=directory, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **OTHERS},
        timeout=60,
    )  # fmt: skip
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1e3, used * 1e3


def measure(rounds: int) -> dict[str, float]:
    """Medians over interleaved rounds, after one that is not counted."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "test_empty.py").write_text("def test_empty(): pass\n")
        (directory / "pytest.ini").write_text("[pytest]\n")
        pairs = [(run(directory, plugin=True), run(directory, plugin=False))
                 for _ in range(rounds + 1)][1:]  # fmt: skip
    with_plugin, without = zip(*pairs, strict=True)
    wall = [ours[0] - bare[0] for ours, bare in pairs]
    used = [ours[1] - bare[1] for ours, bare in pairs]
    return {
        "with": statistics.median(item[0] for item in with_plugin),
        "without": statistics.median(item[0] for item in without),
        "cost": statistics.median(wall),
        "cost_processor": statistics.median(used),
        "ratio": statistics.median(ours[1] / bare[1] for ours, bare in pairs),
    }


def main() -> int:
    """Print the medians; 1 when the budget is passed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    found = measure(parser.parse_args().rounds)
    print(f"pytest run with the plugin {found['with']:.0f} ms, without {found['without']:.0f} ms")
    print(
        f"cost {found['cost']:.1f} ms wall, {found['cost_processor']:.1f} ms processor, "
        f"ratio {found['ratio']:.3f} of processor time (at most {BUDGET:g} ms)"
    )
    # On a busy machine wall clock is mostly the neighbours'.
    return int(min(found["cost"], found["cost_processor"]) > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
