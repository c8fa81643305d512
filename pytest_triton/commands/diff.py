"""``pytest-triton diff``: two reports, and whether the second is worse."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pytest_triton.errors import ToolError


@click.command(name="diff")
@click.argument("old", type=click.Path(path_type=Path), metavar="OLD")
@click.argument("new", type=click.Path(path_type=Path), metavar="NEW")
@click.option(
    "--json",
    "to",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Write the comparison as JSON too (- for standard output, in place of the text).",
)
@click.pass_context
def command(context: click.Context, old: Path, new: Path, to: Path | None) -> None:
    """Compare report OLD with report NEW: report.json files, or their directories.

    Exit status 1 when a clause or a number of NEW is worse, else 0; 2 for what is no complete
    report. Numbers of different machines, GPUs or releases are shown and not judged.
    """
    from pytest_triton.baseline.compare import compare
    from pytest_triton.baseline.loaded import load
    from pytest_triton.baseline.text import lines
    from pytest_triton.reports.text import clean

    try:
        found = compare(load(old), load(new))
    except ToolError as error:
        raise click.UsageError(str(error)) from None
    document = json.dumps(found.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if str(to) == "-":
        click.echo(document.encode("utf-8", "backslashreplace"), nl=False)
        context.exit(found.exit_status)
    for line in lines(found):
        click.echo(
            "".join(click.style(clean(text, 2000), fg=colour or None) for text, colour in line)
        )
    if to is not None:
        try:
            to.write_text(document, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise click.UsageError(f"--json {to}: {error.strerror}") from None
    context.exit(found.exit_status)
