"""``pytest-triton lint``: what is wrong with a repository, before any server starts."""

from __future__ import annotations

import io
import os
import shutil
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_triton.errors import Misused, ToolError

if TYPE_CHECKING:
    from pytest_triton.repository.lint import Finding, LintOptions
    from pytest_triton.repository.lint.fixing import Change

DEFAULT = "model_repository"
_FORMATS = ("text", "json", "github", "sarif", "gitlab")
#: Formats whose reader knows files by the top of the checkout.
_OF_CHECKOUT = ("github", "sarif", "gitlab")
_SEVERITIES = ("error", "warning", "info")
_INTERRUPTED = 130
#: Exit status of an error of ours: nothing was judged.
_OURS = 3


@click.command(name="lint")
@click.argument(
    "paths", nargs=-1, type=click.Path(path_type=Path), metavar="[REPOSITORY|MODEL|CONFIG.PBTXT]..."
)
@click.option("--format", "form", type=click.Choice(_FORMATS), default="text", show_default=True,
              help="For people or for programs.")  # fmt: skip
@click.option("--triton-release", "release", metavar="RELEASE", help="What will serve it: 24.07.")
@click.option("--latency-budget", type=click.FloatRange(min=0), metavar="MS",
              help="Milliseconds that an answer may take: queue delays must stay below.")  # fmt: skip
@click.option("--gpus", type=click.IntRange(min=0), metavar="N", help="GPUs of the server.")
@click.option("--select", multiple=True, metavar="RULE", help="Only these rules or families.")
@click.option("--ignore", multiple=True, metavar="RULE", help="Not these rules or families.")
@click.option("--fail-on", type=click.Choice(_SEVERITIES),
              help="The least that makes the exit status 1 (default: error).")  # fmt: skip
@click.option("--fix", is_flag=True, help="Change the configurations where that is mechanical.")
@click.option("--diff", is_flag=True, help="Show what --fix would change; write nothing.")
@click.option("--isolated", is_flag=True,
              help="Without pyproject.toml, and without comments that switch rules off.")  # fmt: skip
@click.option("--explain", "explain", multiple=True, metavar="RULE", help="Teach a rule.")
@click.option("--list", "as_list", is_flag=True, help="All rules.")
def command(
    paths: tuple[Path, ...],
    form: str,
    release: str | None,
    latency_budget: float | None,
    gpus: int | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    fail_on: str | None,
    fix: bool,
    diff: bool,
    isolated: bool,
    explain: tuple[str, ...],
    as_list: bool,
) -> None:
    """Say what is wrong with model repositories, models or configurations, and why.

    Nothing is started, executed or imported. Without a path ./model_repository is linted.
    Exit status 0, 1 when there is an error (see --fail-on), 2 for wrong use, 3 for
    an error of the lint itself.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may know fewer characters
            stream.reconfigure(errors="replace")
    try:
        if as_list or explain:
            _teach(explain, as_list)
            return
        asked = _Asked.of(release, latency_budget, gpus, select, ignore, fail_on, isolated=isolated)
        status = _lint(paths or _default(), form, asked, fix=fix, diff=diff)
    except KeyboardInterrupt:
        # Somebody has had enough: no words, and the status that a shell expects.
        raise SystemExit(_INTERRUPTED) from None
    except (ToolError, BrokenPipeError, click.ClickException):
        raise  # told by whoever called
    except OSError as error:  # a full disk
        click.echo(f"pytest-triton: {error}", err=True)
        raise SystemExit(_OURS) from None
    except Exception as error:
        # Python would end with 1, and that says that something was found.
        traceback.print_exc()
        raise SystemExit(_OURS) from error
    raise SystemExit(status)


@dataclass(frozen=True)
class _Asked:
    """The command line over the project's settings."""

    options: LintOptions
    fail_on: str

    @classmethod
    def of(
        cls,
        release: str | None,
        latency_budget: float | None,
        gpus: int | None,
        select: Iterable[str],
        ignore: Iterable[str],
        fail_on: str | None,
        *,
        isolated: bool,
    ) -> _Asked:
        from pytest_triton.repository.lint import LintOptions, project

        told = project.Project() if isolated else project.find(Path.cwd())
        options = LintOptions(
            release=release if release is not None else told.release,
            latency_budget_ms=told.latency_budget_ms if latency_budget is None else latency_budget,
            gpus=told.gpus if gpus is None else gpus,
            severities=project.severities(
                told.severities, _names(select) or told.select, (*_names(ignore), *told.ignore)
            ),
            suppressions=not isolated,
        )
        return cls(options, fail_on or told.fail_on or "error")


def _names(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for part in given for name in part.split(",") if name.strip())


def _default() -> tuple[Path, ...]:
    if not Path(DEFAULT).is_dir():
        raise Misused(
            f"nothing to lint is named, and there is no ./{DEFAULT}",
            "pytest-triton lint REPOSITORY, or a model's directory, or a config.pbtxt",
        )
    return (Path(DEFAULT),)


def _lint(paths: Sequence[Path], form: str, asked: _Asked, *, fix: bool, diff: bool) -> int:
    from pytest_triton.repository.lint import lint

    if diff and (fix or form != "text"):
        raise Misused("--diff prints a diff and nothing else", "leave --fix and --format out")
    found: list[Finding] = []
    models = changes = 0
    for path in paths:
        if fix or diff:
            from pytest_triton.repository.lint.fixing import plan

            made = plan(path, asked.options)
            for change in made.changes:
                (_show if diff else _write)(change, path)
            changes += len(made.changes)
        # After --fix the files are read again: as they are, whatever could not be written.
        result = made.result if diff else lint(path, asked.options)
        models += len(result.models)
        found += [_placed(finding, path, form) for finding in result.findings]
    found = list(dict.fromkeys(found))
    worst = _SEVERITIES[: _SEVERITIES.index(asked.fail_on) + 1]
    failed = any(finding.severity in worst for finding in found)
    if diff:
        return int(failed or changes > 0)
    _print(found, models, form)
    return int(failed)


# -- where a file is -------------------------------------------------------------------


def _placed(finding: Finding, path: Path, form: str) -> Finding:
    """Its file as somebody here would type it; for a CI service as the checkout calls it."""
    root = path if path.is_dir() else path.parent
    file = os.path.abspath(os.path.join(root, finding.file))
    base = os.getcwd()
    if form in _OF_CHECKOUT:
        base = _checkout(base)
    if os.path.commonpath([file, base]) == base:
        file = os.path.relpath(file, base)
    return replace(finding, file=file)


def _checkout(directory: str) -> str:
    """The top of the working copy that a directory lies in; else the directory itself."""
    for parent in (Path(directory), *Path(directory).parents):
        if (parent / ".git").exists():
            return str(parent)
    return directory


# -- output ----------------------------------------------------------------------------


def _print(findings: Sequence[Finding], models: int, form: str) -> None:
    if form == "json":
        from pytest_triton.reports.findings import to_json

        click.echo(to_json(findings))
    elif form == "sarif":
        from pytest_triton.reports.findings_sarif import sarif

        click.echo(sarif(findings))
    elif form == "gitlab":
        from pytest_triton.reports.findings_gitlab import gitlab

        click.echo(gitlab(findings))
    elif form == "github":
        from pytest_triton.reports.findings_github import github

        for line in github(findings, models):
            click.echo(line)
    else:
        from pytest_triton.reports.findings import text

        for line in text(findings, models, _width()):
            _echo(line)


def _width() -> int | None:
    """Columns of the terminal; None where lines are read by a program."""
    if sys.stdout is None:
        return None  # closed before we came
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return None


def _echo(line: Iterable[tuple[str, str]]) -> None:
    # NO_COLOR is kept here; that a pipe gets no colours, by click.
    plain = bool(os.environ.get("NO_COLOR"))
    said = ""
    for piece, colour in line:
        if plain or not colour:
            said += piece
        elif colour == "bold":
            said += click.style(piece, bold=True)
        else:
            said += click.style(piece, fg=colour)
    click.echo(said.rstrip() if plain else said)


def _teach(names: Iterable[str], as_list: bool) -> None:
    from pytest_triton.reports.findings import explained, listed
    from pytest_triton.repository.lint import rule, rules
    from pytest_triton.repository.lint.catalogue import matching

    if as_list:
        for line in listed(list(rules().values())):
            _echo(line)
        return
    for number, name in enumerate(dict.fromkeys(one for n in _names(names) for one in matching(n))):
        if number:
            click.echo("")
        for line in explained(rule(name), min(_width() or 88, 100)):
            _echo(line)


# -- fixes -----------------------------------------------------------------------------


def _write(change: Change, path: Path) -> None:
    """Carry it out and say so, on standard error."""
    from pytest_triton.reports.findings import one_line, place
    from pytest_triton.repository.lint.fixing import write

    if reason := write(change):
        shown = _placed(change.fixed[0], path, "text")
        click.echo(f"not fixed  {place(shown)}: {one_line(reason)}", err=True)
        return
    for finding in change.fixed:
        said = one_line(finding.fix or finding.message)
        shown = _placed(finding, path, "text")
        click.echo(f"fixed  {place(shown)} {finding.rule}  {said}", err=True)


def _show(change: Change, path: Path) -> None:
    import difflib

    from pytest_triton.reports.findings import file_name, one_line

    name = file_name(_placed(change.fixed[0], path, "text"))
    lines = difflib.unified_diff(
        change.before.splitlines(keepends=True),
        change.after.splitlines(keepends=True),
        f"a/{name}",
        f"b/{name}",
    )
    for line in lines:
        # A patch is taken as it is; a terminal must not obey what a configuration says.
        shown = one_line(line.rstrip("\n"), 10_000) if sys.stdout.isatty() else line.rstrip("\n")
        click.echo(shown)
        if not line.endswith("\n"):
            click.echo("\\ No newline at end of file")
