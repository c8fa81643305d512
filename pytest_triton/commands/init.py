"""``pytest-triton init``: a repository to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pytest_triton.commands import shared

_EPILOG = """\
Examples:

\b
  pytest-triton init shop --module shop/net.py:Net --input image:FP32:3,224,224
  pytest-triton init shop --module shop.net:load_model --input ids:INT64:length \\
      --axis length=1:128 --range ids=0:30522
  pytest-triton init shop --huggingface ./my-bert --max-length 128
  pytest-triton init shop --huggingface ./my-encoder --task embedding --pooling cls
"""


@click.command(name="init", epilog=_EPILOG)
@click.argument("directory", required=False, type=click.Path(path_type=Path), default=Path())
@shared.module_place
@click.option(
    "--huggingface",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A directory that save_pretrained() wrote, or that was downloaded. Nothing is fetched.",
)
@click.option("--name", help="Name of the model (default: of the class, file or directory).")
@click.option(
    "--max-batch-size", type=click.IntRange(min=0), default=8, show_default=True,
    help="Rows of one execution; 0: the module has no batch dimension.",
)  # fmt: skip
@shared.module_inputs
@shared.task("--huggingface")
@shared.pooling
@click.option(
    "--max-length", type=click.IntRange(min=1),
    help="Tokens that are proven at most (default: the model's positions, at most 512).",
)  # fmt: skip
@shared.dtype("--huggingface")
@click.option(
    "--variant", type=click.Choice(["plain", "frozen", "optimized", "fastest"]),
    default="plain", show_default=True,
    help="fastest measures the frozen and the optimised file against the plain one, and takes "
    "one only if it is faster and proven.",
)  # fmt: skip
@shared.seed("the proof's inputs")
def command(directory: Path, module: str | None, huggingface: Path | None, **options: Any) -> None:
    """Make a project in DIRECTORY (default: here) that serves a model and tests it.

    The model is exported to TorchScript and compared with eager at batch sizes and lengths
    that were not traced; an export that differs is refused. Written are
    model_repository/NAME (config.pbtxt with comments, labels, 1/model.pt with its proof), a
    first test, and pyproject.toml if there is no configuration of pytest. Nothing is
    overwritten; all of it is written, or none.

    Inputs of a --module come from --input; without it from the module's example_inputs (a dict
    of tensors, batch first), or from its first layer where that is certain.
    """
    if (module is None) == (huggingface is None):
        raise click.UsageError("give --module PLACE:NAME or --huggingface DIR")
    from pytest_triton.starting.plan import plan_huggingface, plan_module
    from pytest_triton.starting.project import start

    _only(module is not None, "--module", options, "inputs axes ranges", {"method": "trace"})
    _only(huggingface is not None, "--huggingface", options, "task pooling max_length dtype", {})
    if module is not None:
        plan = plan_module(directory, module, options, shared.say)
    else:
        plan = plan_huggingface(directory, str(huggingface), options, shared.say)
    started = start(directory, plan.name, plan.export)
    _tell(started, plan.notes)


def _only(
    used: bool, flag: str, options: dict[str, Any], names: str, defaults: dict[str, Any]
) -> None:
    """Options that belong to one kind of model are refused with the other."""
    for name in [*names.split(), *defaults]:
        if not used and options[name] not in (None, (), defaults.get(name)):
            shown = name.removesuffix("s" if name in ("inputs", "ranges") else "")
            shown = {"axes": "axis"}.get(shown, shown).replace("_", "-")
            raise click.UsageError(f"--{shown} goes with {flag}")


def _tell(started: Any, notes: Any) -> None:
    from pytest_triton.repository.lint import lint
    from pytest_triton.starting.told import summary

    findings = [f for f in lint(started.model).findings if f.severity != "info"]
    for line in summary(started, notes, findings):
        click.echo(line)
