"""``pytest-triton compare``: a HuggingFace model in process against itself behind Triton."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from pytest_triton.errors import Misused

_EPILOG = """\
Examples:

\b
  pytest-triton compare ./my-bert
  pytest-triton compare ./my-bert --batch 1,8 --concurrency 1,8,32 --length 64
  pytest-triton compare ./my-encoder --device gpu --dtype float16 --html compare.html
"""


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """Positive whole numbers with commas between them."""

    name = "N,N,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            numbers = ()
        if not numbers or min(numbers) < 1:
            self.fail(f"{value!r} is not like 1,8,32: whole numbers of at least 1", param, ctx)
        return tuple(dict.fromkeys(numbers))


@click.command(name="compare", epilog=_EPILOG)
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--batch", "batches", type=Numbers(), default="1,8", show_default=True,
    help="Rows of a request.",
)  # fmt: skip
@click.option(
    "--concurrency", "concurrencies", type=Numbers(), default="1,8", show_default=True,
    help="Requests in flight: threads in process, connections to Triton.",
)  # fmt: skip
@click.option(
    "--length", type=click.IntRange(min=1), default=64, show_default=True,
    help="Tokens of a row.",
)  # fmt: skip
@click.option(
    "--seconds", type=click.FloatRange(min=0.1), default=3.0, show_default=True,
    help="Of one measurement of one side.",
)  # fmt: skip
@click.option(
    "--pairs", type=click.IntRange(min=2), default=4, show_default=True,
    help="Measurements of each side, taken in turn (A B, B A, …).",
)  # fmt: skip
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True,
    help="Where both sides compute.",
)  # fmt: skip
@click.option(
    "--dtype", type=click.Choice(["float32", "float16", "bfloat16"]),
    help="Weights of both sides (default: as stored).",
)  # fmt: skip
@click.option(
    "--task", type=click.Choice(["classification", "embedding", "causal-lm"]),
    help="What the model is for (default: what its architecture says).",
)  # fmt: skip
@click.option("--release", default="24.10", show_default=True, help="Of Triton.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the tokens.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE",
              help="Every number, the pairs too.")  # fmt: skip
@click.option("--html", "html_file", type=click.Path(path_type=Path), metavar="FILE",
              help="The table and its picture.")  # fmt: skip
def command(
    directory: Path, json_file: Path | None, html_file: Path | None, **options: Any
) -> None:
    """Measure the HuggingFace model in DIRECTORY in a program of its own and behind Triton.

    DIRECTORY is what save_pretrained() wrote; nothing is fetched and none of its code is run.
    The model is exported to TorchScript with its proof, an embedded Triton serves it, and the
    same requests go, in turn, to transformers in process and to the server: throughput,
    latency, memory, and their ratios with 95 % intervals. The answers of the two sides are
    compared first: when they differ there is no comparison.
    """
    from pytest_triton.comparing.side_by_side import compare, table
    from pytest_triton.starting.plan import plan_huggingface
    from pytest_triton.starting.project import start

    batches = options.pop("batches")
    with tempfile.TemporaryDirectory(prefix="pytest-triton-compare-") as work:
        place = Path(work) / "project"
        wanted = {
            "name": None, "task": options.pop("task"), "pooling": None,
            "max_length": options["length"], "dtype": options["dtype"],
            "max_batch_size": max(batches), "variant": "plain", "seed": options["seed"],
        }  # fmt: skip
        plan = plan_huggingface(place, str(directory), wanted, _say)
        started = start(place, plan.name, plan.export)
        if any(spec.datatype != "INT64" for spec in started.record.inputs):
            raise Misused(
                "the model takes other inputs than tokens", "compare takes models of text"
            )
        made = compare(
            directory, started.repository, plan.name, started.record, batches=batches, say=_say,
            **options,
        ).to_json()  # fmt: skip
    for line in table(made):
        click.echo(line)
    if json_file:
        json_file.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        click.echo(str(json_file))
    if html_file:
        from pytest_triton.reports.comparison import page

        html_file.write_text(page(made), encoding="utf-8")
        click.echo(str(html_file))


def _say(text: str) -> None:
    doing, _, what = text.partition(" ")
    click.echo(f"  {doing:<14}{what}", err=True)
