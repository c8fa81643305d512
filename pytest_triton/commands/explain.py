"""``pytest-triton explain``: what a clause asks for, and how to run it alone."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pytest_triton.criteria import Catalogue


@click.command(name="explain")
@click.argument("names", nargs=-1, metavar="[CLAUSE|CRITERION]...")
@click.option("--list", "as_list", is_flag=True, help="All clauses, by area.")
@click.option("--schema", is_flag=True, help="The keys of a catalogue of your own.")
@click.option(
    "--catalogue",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A TOML file of your own clauses and criteria besides ours; repeatable.",
)
def command(names: tuple[str, ...], as_list: bool, schema: bool, files: tuple[Path, ...]) -> None:
    """Say what a clause (HLT-05) or a criterion (B4) asks for, and how to run it alone."""
    from pytest_triton import explaining
    from pytest_triton.criteria import load

    if sum((bool(names), as_list, schema)) != 1:
        raise click.UsageError("give a clause, e.g.  explain HLT-05,  or --list, or --schema")
    if schema:
        click.echo(explaining.schema())
        return
    catalogue = load()
    for path in files:
        catalogue.add_file(path)
    if as_list:
        click.echo("\n".join(explaining.listing(catalogue)))
        return
    for index, name in enumerate(names):
        if index:
            click.echo("")
        click.echo("\n".join(_explain(catalogue, name)))


def _explain(catalogue: Catalogue, name: str) -> list[str]:
    from pytest_triton import explaining

    wanted = name.upper()
    if wanted in catalogue.clauses:
        return explaining.clause(catalogue, catalogue.clauses[wanted])
    for identity, criterion in catalogue.criteria.items():
        if identity.upper() == wanted:
            return explaining.criterion(catalogue, criterion)
    known = [*catalogue.clauses, *catalogue.criteria]
    near = difflib.get_close_matches(wanted, known, n=4, cutoff=0.5)
    near = near or [other for other in known if other.startswith(wanted.partition("-")[0])][:6]
    hint = f"did you mean {', '.join(near)}?" if near else "see  pytest-triton explain --list"
    raise click.UsageError(f"there is no clause or criterion {name!r}: {hint}")
