"""``pytest-triton render``: report.json as an HTML page, or as what another system reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pytest_triton.errors import Misused
from pytest_triton.reports.outputs import FORMATS

_EPILOG = """\
Formats:

\b
  {formats}
  all          every one of them, beside the report or in --out DIR

Examples:

\b
  pytest-triton render triton-report
  pytest-triton render triton-report --format gradescope --out /autograder/results/results.json
  pytest-triton render triton-report --format summary --out - >> "$GITHUB_STEP_SUMMARY"
  pytest-triton render triton-report --format all --user s1047 --out graded/s1047
""".format(
    formats="\n  ".join(
        f"{name:<13}{file}, {what}"
        for name, file, what in (
            ("html", "report.html", "the page"),
            *((one.name, one.file, one.what) for one in FORMATS.values()),
        )
    )
)


@click.command(name="render", epilog=_EPILOG)
@click.argument("report", type=click.Path(path_type=Path), metavar="REPORT")
@click.option("--format", "name", type=click.Choice(("html", *FORMATS, "all")), default="html",
              show_default=True, metavar="FORMAT")  # fmt: skip
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where it goes (default: beside the report; - for standard output; of all, a directory).",
)
@click.option("--user", default="", metavar="ID", help="Whose score it is: lti and gradebook.")
def command(report: Path, name: str, out: Path | None, user: str) -> None:
    """Write REPORT (a report.json, or its directory) in another form.

    Nothing but the report and its evidence is read: the same report gives the same bytes.
    """
    from pytest_triton.reports import render

    try:
        data = render.read(report)
    except render.BadReport as error:
        raise click.UsageError(str(error)) from None
    directory = report if report.is_dir() else report.parent
    if name == "all":
        target = out or directory
        if str(out) == "-":
            raise Misused("--format all is many files", "give --out a directory")
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise click.UsageError(f"--out {target}: {error.strerror}") from None
        _page(data, directory, target / "report.html")
        for each in FORMATS.values():
            if each.name == "lti" and not user:
                click.echo("lti-score.json is left out: whose score is it? (--user)", err=True)
                continue
            _write(target / each.file, each.text(data, user))
        return
    if name == "lti" and not user:
        raise Misused("an LTI score names a user", "say --user ID, as the platform knows it")
    if name == "html":
        if str(out) == "-":
            click.echo(render.page(data, directory), nl=False)
            return
        _page(data, directory, out or directory / "report.html")
        return
    made = FORMATS[name].text(data, user)
    if str(out) == "-" or (out is None and name == "github"):  # a runner reads its output
        click.echo(made, nl=False)
        return
    _write(out or directory / FORMATS[name].file, made)


def _page(data: dict[str, Any], directory: Path, target: Path) -> None:
    from pytest_triton.reports import render

    base = render.base_url(target.parent.resolve(), directory.resolve())
    _write(target, render.page(data, directory, base=base))


def _write(target: Path, text: str) -> None:
    try:
        target.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise click.UsageError(f"--out {target}: {error.strerror}") from None
    click.echo(str(target))
