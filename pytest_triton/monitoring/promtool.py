"""promtool: whether files are right, and which alerts fire on a timeline."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_triton.errors import ToolError
from pytest_triton.monitoring.process import find
from pytest_triton.monitoring.timelines import Moments

#: Seconds that promtool may take; rules can be made that take for ever.
DEADLINE_S = 30.0
_FIRING = re.compile(r'\{alertname="((?:[^"\\]|\\.)*)"\} ([123])(?:E\+00)?\b')


class TooSlow(Exception):
    """promtool had not ended in time: the rules are too expensive."""


def run(arguments: Sequence[str], *, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """One call. Raises NoProgram, and TooSlow behind the deadline."""
    try:
        return subprocess.run(
            [find("promtool"), *arguments], capture_output=True, text=True, errors="replace",
            timeout=DEADLINE_S, stdin=subprocess.DEVNULL, cwd=cwd, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise TooSlow(f"promtool {arguments[0]} had not ended after {DEADLINE_S:g} s") from None


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines()]
    told = [line for line in lines if line and not re.match(r"Checking |SUCCESS|FAILED:?$", line)]
    return "; ".join(told)[:600] or f"exit status {done.returncode}"


def check_config(path: Path) -> str:
    """What promtool has against a prometheus.yml, without the files that it names; "" nothing."""
    done = run(["check", "config", "--syntax-only", str(path)])
    return "" if done.returncode == 0 else _complaint(done)


def check_rules(path: Path) -> str:
    """What promtool has against a file of rules; "" nothing. Lint remarks are nothing."""
    done = run(["check", "rules", "--lint=none", str(path)])
    return "" if done.returncode == 0 else _complaint(done)


@dataclass(frozen=True, slots=True)
class Firing:
    """Names of the alerts that fire at the end of each part."""

    healthy: frozenset[str]
    faulty: frozenset[str]
    repaired: frozenset[str]


def firing(
    rules: Sequence[Path], series: Sequence[tuple[str, str]], moments: Moments, *,
    interval_s: float, directory: Path,
) -> Firing:  # fmt: skip
    """Evaluate all rules over a timeline. Raises ToolError where promtool itself fails."""
    directory.mkdir(parents=True, exist_ok=True)
    every = f"{round(interval_s * 1000)}ms"
    at: Mapping[int, float] = {1: moments.healthy, 2: moments.faulty, 3: moments.repaired}
    # Nothing is expected, so that promtool tells what there is, and the number says when.
    asked = [
        {"expr": f'0 * count by (alertname) (ALERTS{{alertstate="firing"}}) + {number}',
         "eval_time": f"{round(when * 1000)}ms", "exp_samples": []}
        for number, when in at.items()
    ]  # fmt: skip
    document = {
        "rule_files": [str(path.resolve()) for path in rules],
        "evaluation_interval": every,
        "tests": [
            {
                "interval": every,
                "input_series": [{"series": name, "values": values} for name, values in series],
                "promql_expr_test": asked,
            }
        ],
    }
    path = directory / "timeline.yml"
    path.write_text(json.dumps(document))
    done = run(["test", "rules", str(path)])
    told = done.stdout + done.stderr
    if done.returncode and "got:" not in told:
        raise ToolError(f"promtool cannot evaluate the rules: {_complaint(done)}", f"see {path}")
    found: dict[int, set[str]] = {1: set(), 2: set(), 3: set()}
    for name, number in _FIRING.findall(told):
        found[int(number)].add(name.encode().decode("unicode_escape") if "\\" in name else name)
    return Firing(*(frozenset(found[number]) for number in (1, 2, 3)))
