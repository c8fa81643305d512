"""``pytest-triton ablate``: what each optimisation of a TorchScript model really brings."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_triton.commands import shared
from pytest_triton.errors import Misused, ToolError

if TYPE_CHECKING:
    from pytest_triton.ablating.sources import Source

_EPILOG = """\
Examples:

\b
  pytest-triton ablate ./my-bert --batch 1,8 --html ablation.html
  pytest-triton ablate --module shop/net.py:Net --input image:FP32:3,64,64 --arms frozen,float16
  pytest-triton ablate --repository model_repository --model classifier --threads 1,2,4
"""


@click.command(name="ablate", epilog=_EPILOG)
@click.argument(
    "directory", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@shared.module_place
@click.option(
    "--repository", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR",
    help="A model repository: its files stay as they are, parameters alone are ablated.",
)  # fmt: skip
@click.option("--model", metavar="NAME", help="The model of --repository.")
@shared.module_inputs
@shared.task("the model in DIRECTORY")
@shared.pooling
@click.option(
    "--arms", metavar="NAME,…", default="",
    help="Out of frozen, optimized, float16, bfloat16, no_inference_mode, "
    "no_optimized_execution, threads (default: all).",
)  # fmt: skip
@click.option(
    "--threads", type=shared.Numbers(),
    help="Values of INTRA_OP_THREAD_COUNT (default: 1, half of the cores, all).",
)  # fmt: skip
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="KEY=VALUE",
    help="One more arm: a parameter of config.pbtxt, e.g. INTER_OP_THREAD_COUNT=1. Repeat it.",
)
@shared.measured(batch=None, concurrency="1", seconds=1.0, pairs=6)
@shared.device
@shared.release
@shared.seed("weights that a class starts with, and of the requests")
@shared.written
def command(
    directory: Path | None,
    module: str | None,
    repository: Path | None,
    json_file: Path | None,
    html_file: Path | None,
    **options: Any,
) -> None:
    """Measure single changes of a TorchScript model behind Triton, accuracy beside speed.

    The model is what save_pretrained() wrote in DIRECTORY, a --module, or a --model of a
    --repository. Served are a base (plain script, default settings), the base once more as a
    control, and one arm for each change: frozen, optimised for inference, half precision,
    INFERENCE_MODE, DISABLE_OPTIMIZED_EXECUTION, threads. Each arm is measured in turn with
    the base: ratios of throughput and median latency with 95 % intervals. The words hold
    for the whole table with 5 % of chance, and only where the control is quiet. Answers are
    compared with the module in eager FP32. What cannot be made or served is refused with its
    reason, which is a result too.
    """
    if [directory, module, repository].count(None) != 2:
        raise click.UsageError("give DIRECTORY, --module PLACE:NAME, or --repository DIR")
    if (repository is None) != (options["model"] is None):
        raise click.UsageError("--repository DIR and --model NAME go together")
    from pytest_triton.ablating.ablate import ablate
    from pytest_triton.ablating.arms import arms_of
    from pytest_triton.ablating.session import Wanted
    from pytest_triton.ablating.table import table

    device = shared.computing(options["device"])
    wanted_arms = [one.strip() for one in options["arms"].split(",") if one.strip()]
    cores = len(os.sched_getaffinity(0))
    asked: dict[str, Any] = {
        "cores": cores, "threads": options["threads"] or (), "wanted": wanted_arms,
        "parameters": options["parameters"],
    }  # fmt: skip
    arms_of(files=repository is None, **asked)  # a wrong name is told before anything long
    source, batches = _source(directory, module, repository, options, device)
    arms = arms_of(files=source.files, given=source.parameters, say=shared.say, **asked)
    wanted = Wanted(
        batches, options["concurrencies"], options["length"], options["seconds"],
        options["pairs"], options["seed"],
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="pytest-triton-ablate-") as work:
        made = ablate(
            source, arms, Path(work), wanted,
            device=device, release=options["release"], say=shared.say,
        ).to_json()  # fmt: skip
    for line in table(made):
        click.echo(line)
    shared.write(json_file, lambda: json.dumps(made, indent=1) + "\n")
    if html_file:
        from pytest_triton.reports.ablation import page

        shared.write(html_file, lambda: page(made))
    if made["ended"]:
        raise ToolError(made["ended"], "what was measured before is above; leave the arm out "
                        "with --arms, or look at the machine's memory")  # fmt: skip


def _source(
    directory: Path | None, module: str | None, repository: Path | None,
    options: dict[str, Any], device: str,
) -> tuple[Source, tuple[int, ...]]:  # fmt: skip
    """What is ablated, and the batch sizes."""
    from pytest_triton.ablating import sources, stored

    batches: tuple[int, ...] = options["batches"] or (1, 8)
    if repository is not None:
        found: Source
        found = kept = stored.Repository(repository, options["model"], options["length"])
        most = max(1, int(kept.config.max_batch_size))
        if max(batches) > most and options["batches"]:
            raise Misused(f"--batch {max(batches)}: the model takes {most} rows at most",
                          f"give --batch up to {most}")  # fmt: skip
        if options["batches"] is None:  # as far as it batches
            batches = tuple(dict.fromkeys((1, min(8, most))))
        return found, batches
    made = {
        **options, "max_batch_size": max(batches), "max_length": options["length"],
        "variant": "plain",
    }  # fmt: skip
    if module is not None:
        return sources.Module(module, made, device, shared.say), batches
    assert directory is not None
    return sources.Directory(directory, made, device, shared.say), batches
