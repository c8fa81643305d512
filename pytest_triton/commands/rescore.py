"""``pytest-triton rescore``: report.json graded again, by another rubric and a person's marks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import click

from pytest_triton.errors import Misused

_EPILOG = """\
Examples:

\b
  pytest-triton rescore --print > rubric.toml
  pytest-triton rescore graded/s1047 --rubric rubric.toml
  pytest-triton rescore graded/s1047 --rubric rubric.toml --marks graded/s1047/marks.toml

Nothing is run, and report.json stays as it is: the score goes to score.json beside it, with the
checksums of the report and of the rubric that made it.

Exit status: 0 done, 2 misuse, 10 the level that was asked for is not reached (--level).
"""
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_SYMBOLS = {"pass": "✓", "waived": "~", "fail": "✗", "error": "!", "inconclusive": "?",
            "partial": "◐", "manual": "…"}  # fmt: skip
NOT_REACHED = 10


@click.command(name="rescore", epilog=_EPILOG)
@click.argument("report", type=click.Path(path_type=Path, exists=True), required=False)
@click.option("--rubric", type=_FILE, metavar="FILE", help="Criteria, points and their clauses.")
@click.option("--marks", type=_FILE, metavar="FILE",
              help="What a person gives: [[mark]] criterion, points, by, reason; [late] days, "
              "percent.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE",
              help="Where the score goes (default: score.json beside the report; - for standard "
              "output).")  # fmt: skip
@click.option("--level", type=click.Choice(["basic", "advanced", "expert"]),
              help="That has to be reached.")  # fmt: skip
@click.option("--print", "printing", is_flag=True, help="Our own rubric, to start from.")
@click.option("--schema", is_flag=True, help="The JSON Schema of a rubric.")
def command(
    report: Path | None, rubric: Path | None, marks: Path | None, out: Path | None,
    level: str | None, printing: bool, schema: bool,
) -> None:  # fmt: skip
    """Grade REPORT (a report.json, or its directory) again by a --rubric."""
    from pytest_triton.criteria import load
    from pytest_triton.grade import marks as overlay
    from pytest_triton.grade import rescoring
    from pytest_triton.grade import rubric as rubrics
    from pytest_triton.reports import render

    if schema:
        click.echo(json.dumps(rubrics.SCHEMA, indent=1))
        return
    if printing:
        click.echo(rubrics.printed(load()), nl=False)
        return
    if report is None or rubric is None:
        raise Misused("a REPORT and a --rubric are needed", "--print writes our rubric")
    try:
        data = render.read(report)
    except render.BadReport as error:
        raise click.UsageError(str(error)) from None
    file = report / "report.json" if report.is_dir() else report
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    asked = rubrics.read(rubric, [clause["id"] for clause in data["clauses"]])
    given = overlay.read(marks, asked) if marks else overlay.Marks()
    score = rescoring.to_json(data, digest, asked, given, rescoring.scored(data, asked, given))
    text = json.dumps(score, indent=1, ensure_ascii=False) + "\n"
    if str(out) == "-":
        click.echo(text, nl=False)
    else:
        target = out or file.with_name("score.json")
        try:
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"--out {target}: {error.strerror}") from None
        for line in _told(score):
            click.echo(line)
        click.echo(str(target))
    order = ("none", "basic", "advanced", "expert")
    if level and order.index(score["level"]) < order.index(level):
        raise SystemExit(NOT_REACHED)


def _told(score: dict[str, Any]) -> list[str]:
    from pytest_triton.reports.text import clean, first_line

    lines = []
    for one in score["criteria"]:
        held = f"{one['points']:g}/{one['max_points']:g}"
        title = first_line(one["title"], 34)
        lines.append(f"  {one['id']:<4}{title:<36}{_SYMBOLS.get(one['status'], '–')} "
                     f"{one['status'].replace('_', ' '):<13}{held:>10}")  # fmt: skip
        if one["status"] not in ("pass", "waived") or "marked_by" in one:
            lines.append(f"        {first_line(one['reason'], 100)}")
    late = score["late"]
    if late["days"] and late["percent"]:
        lines.append(f"  {score['points_before_late']:g} points, {late['days']} days late at "
                     f"{late['percent']} %")  # fmt: skip
    lines.append(
        f"  level {score['level']} · {score['points']:g} of {score['max_points']:g} points"
        f" · rubric {clean(score['rubric']['id'], 60)} {clean(score['rubric']['version'], 20)}"
    )
    if not score["complete"]:
        lines.append("  the run is incomplete: no level")
    return lines
