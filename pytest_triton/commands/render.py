"""``pytest-triton render``: report.json as an HTML page, or as what another system reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pytest_triton.errors import Misused

_EPILOG = """\
Formats:

\b
  html         report.html, the page
  badge        badge.json, an endpoint of shields.io
  classroom    classroom.json, for GitHub Classroom's reporter (in base64)
  codequality  gl-code-quality-report.json, GitLab: findings on files
  ctrf         ctrf-report.json, Common Test Report Format
  github       annotations.txt, workflow commands: annotations on files
  gradebook    gradebook.csv, one row
  gradescope   results.json
  junit        junit.xml, also for GitLab and Jenkins
  learner      student.md, for who handed it in: hints, no inputs, no seed
  lti          lti-score.json, the body of an LTI 1.3 score (--user)
  summary      summary.md, a table for $GITHUB_STEP_SUMMARY
  all          every one of them, beside the report or in --out DIR

Examples:

\b
  pytest-triton render triton-report
  pytest-triton render triton-report --format gradescope --out /autograder/results/results.json
  pytest-triton render triton-report --format summary --out - >> "$GITHUB_STEP_SUMMARY"
  pytest-triton render triton-report --format all --user s1047 --out graded/s1047
"""
_NAMES = ("html", "badge", "classroom", "codequality", "ctrf", "github", "gradebook", "gradescope",
          "junit", "learner", "lti", "summary", "all")  # fmt: skip


@click.command(name="render", epilog=_EPILOG)
@click.argument("report", type=click.Path(path_type=Path), metavar="REPORT")
@click.option("--format", "name", type=click.Choice(_NAMES), default="html", show_default=True,
              metavar="FORMAT")  # fmt: skip
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
    from pytest_triton.reports.outputs import FORMATS

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
