"""Options that several commands have, each written once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pytest_triton.errors import ToolError

if TYPE_CHECKING:
    from pytest_triton.launch.machine import Device

F = TypeVar("F", bound=Callable[..., Any])


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


class NewFile(click.Path):
    """A file to be written behind a long measurement: its directory has to be there before."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False, writable=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(str(super().convert(value, param, ctx)))
        parent = path.absolute().parent
        if not parent.is_dir():
            self.fail(f"{value}: there is no directory {parent}", param, ctx)
        if not os.access(parent, os.W_OK | os.X_OK) and not path.exists():
            self.fail(f"{value}: nothing can be written in {parent}", param, ctx)
        return path


def together(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Several options as one decorator, in this order in --help."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


#: A module: where it is, and what it takes.
module_place = click.option(
    "--module",
    metavar="PLACE:NAME",
    help="A torch.nn.Module: package.module:Name or path/to/file.py:Name, where Name is an "
    "instance, a class, or a function without arguments that returns the loaded module. The "
    "code is imported and run.",
)
module_inputs = together(
    click.option(
        "--input", "inputs", multiple=True, metavar="NAME:TYPE:DIMS",
        help="An input without its batch, e.g. image:FP32:3,224,224. A dimension that varies has "
        "a name: ids:INT64:length. Repeat it in the order of forward's arguments.",
    ),
    click.option(
        "--axis", "axes", multiple=True, metavar="NAME=LOW:HIGH",
        help="How far a named dimension varies, e.g. length=1:128; proven at both ends and "
        "between.",
    ),
    click.option(
        "--range", "ranges", multiple=True, metavar="NAME=LOW:HIGH",
        help="Values that make sense for an input, HIGH excluded, e.g. ids=0:30522.",
    ),
    click.option(
        "--method", type=click.Choice(["trace", "script"]), default="trace", show_default=True,
        help="How --module becomes TorchScript; script keeps branches that depend on data.",
    ),
)  # fmt: skip


def task(of: str) -> Callable[[F], F]:
    """``--task``; ``of`` is what the command calls the model."""
    return click.option(
        "--task", type=click.Choice(["classification", "embedding", "causal-lm"]),
        help=f"What {of} is for (default: what its architecture says).",
    )  # fmt: skip


pooling = click.option(
    "--pooling", type=click.Choice(["mean", "cls"]),
    help="Of an embedding (default: what the directory says, else mean).",
)  # fmt: skip


def dtype(of: str) -> Callable[[F], F]:
    """``--dtype``; ``of`` is whose weights."""
    return click.option(
        "--dtype", type=click.Choice(["float32", "float16", "bfloat16"]),
        help=f"Weights of {of} (default: as stored).",
    )  # fmt: skip


def measured(*, batch: str | None, concurrency: str, seconds: float, pairs: int,
             ) -> Callable[[F], F]:  # fmt: skip
    """How load is put on two sides in turn."""
    return together(
        click.option(
            "--batch", "batches", type=Numbers(), default=batch, show_default=batch is not None,
            help="Rows of a request."
            + (" (default: 1,8, as far as the model batches)" if batch is None else ""),
        ),
        click.option(
            "--concurrency", "concurrencies", type=Numbers(), default=concurrency,
            show_default=True,
            help="Requests in flight: connections to Triton, and threads of a program in process.",
        ),
        click.option(
            "--length", type=click.IntRange(min=1), default=64, show_default=True,
            help="Tokens of a row, or the size of any other dimension that varies.",
        ),
        click.option(
            "--seconds", type=click.FloatRange(min=0.1), default=seconds, show_default=True,
            help="Of one measurement of one side.",
        ),
        click.option(
            "--pairs", type=click.IntRange(min=2), default=pairs, show_default=True,
            help="Measurements of each side, taken in turn (A B, B A, …).",
        ),
    )  # fmt: skip


device = click.option(
    "--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True,
    help="Where everything computes.",
)  # fmt: skip


def computing(device: str) -> Device:
    """``--device`` as torch in this process can compute on it: a GPU takes a torch with CUDA.

    Raises ToolError when a GPU was asked for and cannot be had; "auto" is the CPU then.
    """
    from pytest_triton.launch.machine import require_device

    found = require_device(device)
    if found == "cpu":
        return found
    try:
        import torch
    except ImportError:  # told by whoever needs it
        return found
    if torch.cuda.is_available():
        return found
    if device == "gpu":
        raise ToolError(
            f"a GPU was asked for, and torch {torch.__version__} computes on none",
            "install a torch with CUDA that fits the driver, or use --device cpu",
        )
    say(f"computing on the CPU: torch {torch.__version__} sees no GPU")
    return "cpu"


release = click.option("--release", default="24.10", show_default=True, help="Of Triton.")


def seed(of: str) -> Callable[[F], F]:
    """``--seed``; ``of`` is what is drawn."""
    return click.option("--seed", type=int, default=0, show_default=True, help=f"Of {of}.")


written = together(
    click.option("--json", "json_file", type=NewFile(), metavar="FILE",
                 help="Every number, the pairs too."),
    click.option("--html", "html_file", type=NewFile(), metavar="FILE",
                 help="The table and its picture."),
)  # fmt: skip


def say(text: str) -> None:
    """Progress, on standard error: what is done, then to what."""
    doing, _, what = text.partition(" ")
    click.echo(f"  {doing:<14}{what}", err=True)


def write(path: Path | None, text: Callable[[], str]) -> None:
    """A file that was asked for, and its name on standard output."""
    if path:
        try:
            path.write_text(text(), encoding="utf-8")
        except OSError as error:
            raise ToolError(f"{path} cannot be written: {error.strerror or error}",
                            "what was measured is in the table above") from None  # fmt: skip
        click.echo(str(path))
