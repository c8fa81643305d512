"""Options of commands that drive load on a server that is there, and the target that they name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_triton.commands import shared
from pytest_triton.errors import Misused, ToolError

if TYPE_CHECKING:
    from pytest_triton.loading.target import Target

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)

where = shared.together(
    click.option("--url", default="http://127.0.0.1:8000", show_default=True,
                 help="The HTTP endpoint: load, and the server's statistics."),
    click.option("--grpc-url", metavar="HOST:PORT",
                 help="For --protocol grpc (default: 8001 beside an HTTP endpoint at 8000)."),
    click.option("--version", default="", help="Of the model (default: what the server chooses)."),
    click.option("--protocol", type=click.Choice(["http", "grpc"]), default="http",
                 show_default=True),
)  # fmt: skip
inputs = click.option("--inputs", type=_FILE, metavar="FILE",
                      help="Inputs, as --triton-inputs takes them (default: out of the "
                      "metadata).")  # fmt: skip
access = shared.together(
    click.option("--header", multiple=True, metavar="'N: v'", help="Repeatable."),
    click.option("--tls-ca", type=_FILE),
    click.option("--tls-cert", type=_FILE),
    click.option("--tls-key", type=_FILE),
)


class Progress:
    """One line on a terminal that is written over; nothing elsewhere."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()

    def say(self, text: str) -> None:
        if self._shows:
            click.echo(f"\r\x1b[K  {text}", nl=False, err=True)

    def clear(self) -> None:
        if self._shows:
            click.echo("\r\x1b[K", nl=False, err=True)


def gone(target: Target, error: Exception) -> ToolError:
    """What is said of a server that did not answer."""
    return ToolError(f"{target.model} at {target.http_url}: {error}",
                     "is a Triton there, and ready?")  # fmt: skip


def target(model: str, options: dict[str, Any]) -> Target:
    """Where MODEL is served, out of :func:`options`. Raises Misused."""
    from pytest_triton.launch.attach import attach
    from pytest_triton.loading.target import Target
    from pytest_triton.settings import Settings

    for header in options["header"]:
        if ":" not in header:
            raise Misused(f"--header {header!r} has no colon", "write it like 'Name: value'")
    headers = Settings(header=tuple(options["header"])).headers
    there = attach(options["url"], grpc_url=options["grpc_url"], headers=headers)
    if options["protocol"] == "grpc" and not there.grpc_url:
        raise Misused("no gRPC endpoint is known", "give --grpc-url HOST:PORT")
    files = tuple(str(options[name]) if options[name] else None for name in
                  ("tls_ca", "tls_cert", "tls_key"))  # fmt: skip
    return Target(
        model, there.http_url, there.grpc_url, options["version"], headers,
        (files[0], files[1], files[2]), options["inputs"], options["seed"],
    )  # fmt: skip
