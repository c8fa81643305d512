"""``pytest-triton tune``: batching, delay and instances of a model, searched by measurement."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import click

from pytest_triton.commands import shared
from pytest_triton.commands.shared import Numbers
from pytest_triton.tuning.candidates import STAGES

_EPILOG = """\
Examples:

\b
  pytest-triton tune ./model_repository --model classifier
  pytest-triton tune ./model_repository --model classifier --concurrency 32 --p95-ms 50
  pytest-triton tune ./model_repository --model classifier --html tune.html --json tune.json

The repository stays as it is; what to write into config.pbtxt is printed.
"""


@click.command(name="tune", epilog=_EPILOG)
@click.argument("repository", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--model", required=True, help="The model of REPOSITORY.")
@click.option("--concurrency", type=click.IntRange(min=1), default=16, show_default=True,
              help="Requests in flight while values are compared.")  # fmt: skip
@click.option("--levels", type=Numbers(), default="1,4,16,32", show_default=True,
              help="Concurrencies at which before and after are measured at last.")  # fmt: skip
@click.option("--instances", type=Numbers(), default=None, metavar="N,N,…",
              help="Instance counts to try (default: 1, 2 and half of the cores).")  # fmt: skip
@click.option("--settings", default=",".join(STAGES), show_default=True, metavar="NAME,…",
              help="What is searched, in this order.")  # fmt: skip
@click.option("--p95-ms", type=click.FloatRange(min=0.001), metavar="MS",
              help="Take nothing whose p95 latency is above.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0.2), default=1.0, show_default=True,
              help="Of one measurement of one side.")  # fmt: skip
@click.option("--pairs", type=click.IntRange(min=3), default=4, show_default=True,
              help="Measurements of each side, taken in turn (A B, B A, …).")  # fmt: skip
@shared.device
@shared.release
@click.option("--inputs", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              metavar="FILE", help="Inputs, as --triton-inputs takes them.")  # fmt: skip
@shared.seed("the requests")
@shared.written
def command(
    repository: Path, model: str, json_file: Path | None, html_file: Path | None, **options: Any
) -> None:
    """Search the best dynamic batching, queue delay, preferred sizes and instance count of a model.

    One setting after the other: each value is served beside the best so far and measured against
    it in turn, with answers compared. A value is taken only when its throughput is better by 3 % and
    beyond noise. At last the configuration that was there and the best one are measured at every
    level.
    """
    from pytest_triton.tuning.report import table, to_json
    from pytest_triton.tuning.searching import Asked, tune

    cores = len(os.sched_getaffinity(0))
    counts = options.pop("instances") or tuple(dict.fromkeys((1, 2, max(1, cores // 2))))
    if options["p95_ms"] is not None and not math.isfinite(options["p95_ms"]):
        raise click.UsageError("--p95-ms is a number of milliseconds")
    stages = tuple(name.strip() for name in options.pop("settings").split(",") if name.strip())
    if unknown := [name for name in stages if name not in STAGES]:
        raise click.UsageError(f"--settings: {unknown[0]!r} is none of {', '.join(STAGES)}")
    asked = Asked(repository, model, counts=counts, stages=stages, **options)
    made = to_json(tune(asked, shared.say), asked)
    for line in table(made):
        click.echo(line)
    shared.write(json_file, lambda: json.dumps(made, indent=1) + "\n")
    if html_file:
        from pytest_triton.reports.tuning import page

        shared.write(html_file, lambda: page(made))
