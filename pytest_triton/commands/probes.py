"""``pytest-triton probes``: the probe models, for an endpoint that is to be judged with them."""

from __future__ import annotations

from pathlib import Path

import click

from pytest_triton.probe_set import PROBE_MODELS, SERVER_FLAGS, write_probes


@click.command(name="probes")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
def command(directory: Path) -> None:
    """Write the probe models into DIRECTORY, a model repository.

    Clauses about data types, sequences, streams, errors of every kind and more need models
    that do just that. A server of ours gets them by itself; an endpoint is judged with them
    when it serves them. They are small Python models, and take the place of nothing else.
    """
    write_probes(directory)
    click.echo(f"{len(PROBE_MODELS)} probe models are in {directory}")
    click.echo(
        f"  needed    the python backend, and numpy beside it; start with  {SERVER_FLAGS[0]}"
    )
    click.echo("  explicit  load the ensembles and they load their steps; the others by name")
    click.echo("  then      pytest --pyargs pytest_triton.suites --triton-url http://HOST:8000")
