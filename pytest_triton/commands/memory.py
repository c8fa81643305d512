"""``pytest-triton memory``: what models take of the host and of GPUs, and whether that grows."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from pytest_triton.commands import shared
from pytest_triton.commands.shared import Numbers

_EPILOG = """\
Examples:

\b
  pytest-triton memory ./model_repository
  pytest-triton memory ./model_repository --models 'bert*' --batch 1,8 --instances 1,2
  pytest-triton memory ./model_repository --device gpu --json memory.json --html memory.html

Exit status: 0 nothing grows and enough is left, 1 something fails, 2 misuse, 12 the machine or
the server lacks something (nothing is judged then), 13 inconclusive.
"""
_STATUS = {"pass": 0, "fail": 1, "inconclusive": 13}


class _Number(click.FloatRange):
    """A number; nan keeps every limit."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return number


@click.command(name="memory", epilog=_EPILOG)
@click.argument("repository", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--models", multiple=True, default=("*",), metavar="GLOB",
              help="Only models named like this; repeatable.  [default: all]")  # fmt: skip
@click.option(
    "--batch", "batches", type=Numbers(), default="1,8,32", show_default=True,
    help="Rows of a request under load; a model's maximum instead of what is larger.",
)  # fmt: skip
@click.option(
    "--instances", type=Numbers(), default=(), metavar="N,N,…",
    help="Instance counts to measure beside the configured one.",
)  # fmt: skip
@click.option(
    "--cycles", type=click.IntRange(min=6), default=10, show_default=True,
    help="Readings that a slope is judged by (twice as many where it does not pass).",
)  # fmt: skip
@click.option(
    "--warmup", type=click.IntRange(min=0), default=2, show_default=True,
    help="Cycles, and rounds of requests, that are discarded before.",
)  # fmt: skip
@click.option(
    "--seconds", type=_Number(min=0.2), default=2.0, show_default=True,
    help="Of load at one batch size; a round of requests takes about half of it.",
)  # fmt: skip
@click.option(
    "--per-cycle", type=_Number(min=0), default=1.0, show_default=True, metavar="MIB",
    help="Growth for each cycle of load, inference and unload that is no leak.",
)  # fmt: skip
@click.option(
    "--per-1000", type=_Number(min=0), default=2.0, show_default=True, metavar="MIB",
    help="Growth for 1000 requests that is no leak.",
)  # fmt: skip
@click.option(
    "--headroom", type=_Number(0, 100), default=10.0, show_default=True,
    metavar="PERCENT", help="Of the card (and of the host) that has to be left at the peak.",
)  # fmt: skip
@shared.device
@shared.release
@click.option(
    "--inputs", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help="Inputs, as --triton-inputs takes them.",
)  # fmt: skip
@click.option("--server-python", type=click.Path(path_type=Path), help="For Python models.")
@shared.seed("what is made up")
@shared.written
def command(
    repository: Path, json_file: Path | None, html_file: Path | None, **options: Any
) -> None:
    """Measure the memory of the models in REPOSITORY, and judge whether it grows.

    An embedded Triton starts with no model. Each model is loaded, asked at each batch size
    while host and GPU memory are sampled, and unloaded; then cycles of load, inference and
    unload, and rounds of requests to the loaded model, are judged by the slope of what is held
    after each. At last all models are loaded together. What is left of the cards and of the
    host's memory at the highest peak is the headroom.
    """
    from pytest_triton.memory_use.analysing import analyse
    from pytest_triton.memory_use.table import table
    from pytest_triton.memory_use.wanted import Limits, Wanted

    limits = Limits(
        options.pop("cycles"), options.pop("warmup"), options.pop("per_cycle"),
        options.pop("per_1000"),
    )  # fmt: skip
    minimum = options.pop("headroom") / 100
    made = analyse(repository, Wanted(limits=limits, minimum=minimum, **options), shared.say)
    for line in table(made):
        click.echo(line)
    shared.write(json_file, lambda: json.dumps(made.to_json(), indent=1) + "\n")
    if html_file:
        from pytest_triton.reports.memory import page

        shared.write(html_file, lambda: page(made.to_json()))
    if status := _STATUS[made.verdict]:
        raise SystemExit(status)
