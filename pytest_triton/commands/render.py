"""``pytest-triton render``: report.json as an HTML page."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="render")
@click.argument("report", type=click.Path(path_type=Path), metavar="REPORT")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the page goes (default: report.html beside the report; - for standard output).",
)
def command(report: Path, out: Path | None) -> None:
    """Draw REPORT (a report.json, or its directory) as one self-contained HTML page.

    Nothing but the report and its evidence is read: the same report gives the same page.
    """
    from pytest_triton.reports import render

    try:
        data = render.read(report)
    except render.BadReport as error:
        raise click.UsageError(str(error)) from None
    directory = report if report.is_dir() else report.parent
    if str(out) == "-":
        click.echo(render.page(data, directory), nl=False)
        return
    target = out or directory / "report.html"
    base = render.base_url(target.parent.resolve(), directory.resolve())
    try:
        target.write_text(render.page(data, directory, base=base), encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"--out {target}: {error.strerror}") from None
    click.echo(str(target))
