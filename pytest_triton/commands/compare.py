"""``pytest-triton compare``: a HuggingFace model in process against itself behind Triton."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from pytest_triton.commands import shared
from pytest_triton.errors import Misused

_EPILOG = """\
Examples:

\b
  pytest-triton compare ./my-bert
  pytest-triton compare ./my-bert --batch 1,8 --concurrency 1,8,32 --length 64
  pytest-triton compare ./my-encoder --device gpu --dtype float16 --html compare.html
"""


@click.command(name="compare", epilog=_EPILOG)
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@shared.measured(batch="1,8", concurrency="1,8", seconds=3.0, pairs=4)
@shared.device
@shared.dtype("both sides")
@shared.task("the model")
@shared.release
@shared.seed("the tokens")
@shared.written
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
    options["device"] = shared.computing(options["device"])
    with tempfile.TemporaryDirectory(prefix="pytest-triton-compare-") as work:
        place = Path(work) / "project"
        wanted = {
            "name": None, "task": options.pop("task"), "pooling": None,
            "max_length": options["length"], "dtype": options["dtype"],
            "max_batch_size": max(batches), "variant": "plain", "seed": options["seed"],
        }  # fmt: skip
        plan = plan_huggingface(place, str(directory), wanted, shared.say)
        started = start(place, plan.name, plan.export)
        if any(spec.datatype != "INT64" for spec in started.record.inputs):
            raise Misused(
                "the model takes other inputs than tokens", "compare takes models of text"
            )
        made = compare(
            directory, started.repository, plan.name, started.record, batches=batches, say=shared.say,
            **options,
        ).to_json()  # fmt: skip
    for line in table(made):
        click.echo(line)
    shared.write(json_file, lambda: json.dumps(made, indent=1) + "\n")
    if html_file:
        from pytest_triton.reports.comparison import page

        shared.write(html_file, lambda: page(made))
