"""``pytest-triton grade``: from an untrusted submission to a score card."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_triton.options import AREAS, TIERS

if TYPE_CHECKING:
    from pytest_triton.grade.judge import Asked, Judged

_GIB = 1 << 30
#: What is written beside the report; ``render`` has the others.
_FOR_OTHERS = ("gradescope", "learner")
#: Of the end of the judge's log, what is looked at for its progress.
_TAIL = 4096


@click.command(name="grade")
@click.argument("submission", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Where the score card goes: report.json, report.html, the copy and its checksums.",
)
@click.option(
    "--tier",
    type=click.Choice(TIERS),
    default="basic",
    show_default=True,
    help="The level that exit status 0 asks for; every criterion is graded.",
)
@click.option(
    "--scope",
    metavar="AREA,…",
    help=f"Judge these areas only, without a level: {', '.join(AREAS)}.",
)
@click.option(
    "--sandbox",
    type=click.Choice(["auto", "none"]),
    default="auto",
    show_default=True,
    help="auto: bubblewrap, or nothing is run. none: for work that you trust; the report says so.",
)
@click.option("--device", type=click.Choice(["cpu", "gpu", "auto"]), default="auto")
@click.option("--release", envvar="PYTEST_TRITON_SERVER_RELEASE", help="Default 24.10.")
@click.option("--seed", type=int, help="Of everything random (default: drawn, and in the report).")
@click.option(
    "--deadline",
    type=click.FloatRange(min=1),
    default=3600.0,
    show_default=True,
    help="Seconds for the judging.",
)
@click.option(
    "--memory",
    type=click.FloatRange(min=0.5),
    metavar="GIB",
    help="Memory of each server and script (default: three quarters of the machine's).",
)
@click.option(
    "--processes",
    type=click.IntRange(min=64),
    metavar="N",
    help="Processes and threads of each (default: 1024, and 64 for each processor).",
)
@click.option(
    "--max-size",
    type=click.FloatRange(min=0),
    metavar="GIB",
    default=16.0,
    show_default=True,
    help="Of one file.",
)
@click.option(
    "--max-total",
    type=click.FloatRange(min=0),
    metavar="GIB",
    default=32.0,
    show_default=True,
    help="Of all files.",
)
def command(submission: Path, out: Path, **options: Any) -> None:
    """Take in SUBMISSION (a directory, zip or tar), run it in a sandbox, and judge what it does.

    Exit status 0: the level is reached; 10: it is not; 11: the submission is refused; 12: this
    machine lacks something, or the judge failed: to be tried again; 13: measurements cannot tell.
    """
    from pytest_triton.grade import policy
    from pytest_triton.grade.concluding import conclude
    from pytest_triton.grade.intake import take_in
    from pytest_triton.grade.judge import Asked, judge
    from pytest_triton.grade.limits import Limits
    from pytest_triton.grade.needs import require, require_for
    from pytest_triton.grade.write import claim
    from pytest_triton.handed_in import look
    from pytest_triton.sandbox.bubblewrap import Bounds

    sandbox = options["sandbox"] != "none"
    bounds = Bounds(options["processes"] or 0, int((options["memory"] or 0) * _GIB))
    require(sandbox=sandbox, bounds=bounds, release=options["release"])
    out = out.expanduser().resolve()
    os.close(claim(out))  # nobody writes there, and an old report is gone whatever happens
    copy = out / "submission"
    began = time.monotonic()
    with suppress(FileNotFoundError):
        shutil.rmtree(copy)
    limits = Limits(size=int(options["max_size"] * _GIB), total=int(options["max_total"] * _GIB))
    try:
        taken = take_in(submission, copy, limits)
        found = look(copy)
        if found.repository is not None:
            policy.check(found.repository, copy)
        require_for(found)
    except BaseException:
        shutil.rmtree(copy, ignore_errors=True)  # a part of it is nothing
        raise
    taken.write(out / "manifest.json")
    _say("taken in", f"{len(taken.files)} files, {taken.size / 2**20:.1f} MiB, "
         f"sha256 {taken.digest[:12]}", began)  # fmt: skip
    asked = Asked(
        copy, out, found.repository if _holds_models(found.repository) else None,
        _options(options), deadline=options["deadline"], sandbox=sandbox, bounds=bounds,
    )  # fmt: skip
    judged = judge(asked, _progress(out))
    where = "in a sandbox" if sandbox else "NOT in a sandbox"
    _say("judged", where, time.monotonic() - judged.seconds)
    report = _card(asked, judged)
    status, why = conclude(report, judged, tier=options["tier"])
    if status:
        click.echo(f" exit status {status}: {why}", err=True)
    raise SystemExit(status)


def _holds_models(repository: Path | None) -> bool:
    """Whether there is anything to serve: a server without a model earns nothing."""
    from pytest_triton.repository.layout import list_models

    return repository is not None and bool(list_models(repository))


def _options(options: dict[str, Any]) -> tuple[str, ...]:
    seed = secrets.randbits(31) if options["seed"] is None else options["seed"]
    words = ["--triton-tier", options["tier"], "--triton-device", options["device"],
             "--triton-seed", str(seed)]  # fmt: skip
    if options["release"]:
        words += ["--triton-server-release", options["release"]]
    if options["scope"]:
        words += ["--triton-scope", options["scope"]]
    return tuple(words)


def _say(word: str, text: str, began: float) -> None:
    click.echo(f" {word:<10} {text:<58} {time.monotonic() - began:6.1f} s")


def _progress(out: Path) -> Callable[[float], None]:
    """One line that is written over, on a terminal; silence elsewhere."""
    from pytest_triton.grade.judge import LOG

    if not sys.stdout.isatty():
        return lambda _: None

    def look(seconds: float) -> None:
        with suppress(OSError), (out / LOG).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL))
            done = re.findall(rb"\[ *(\d+)%\]", log.read())
            share = f"{done[-1].decode()} %" if done else "booting"
            click.echo(f"\r judging    {share:<58} {seconds:6.0f} s", nl=False)
            click.echo("\r" + " " * 79 + "\r", nl=False)

    return look


def _card(asked: Asked, judged: Judged) -> dict[str, Any] | None:
    """Print the score card; None where there is no report, or none that is one."""
    from pytest_triton.reports import render
    from pytest_triton.reports.card import card, title
    from pytest_triton.reports.outputs import FORMATS

    try:
        report: dict[str, Any] = render.read(asked.out)
    except render.BadReport:
        return None
    columns = shutil.get_terminal_size((100, 24)).columns
    # Words of a submission are in it, and GitHub takes a line that begins with :: for an order.
    token = secrets.token_hex(16)
    if os.environ.get("GITHUB_ACTIONS"):
        click.echo(f"::stop-commands::{token}")
    click.echo(f" {title(report)} ".center(columns, "─"))
    for line in card(report, columns):
        click.echo("".join(click.style(text, fg=colour or None) for text, colour in line))
    if os.environ.get("GITHUB_ACTIONS"):
        click.echo(f"::{token}::")
    for name in _FOR_OTHERS:
        each = FORMATS[name]
        (asked.out / each.file).write_text(each.text(report), encoding="utf-8")
    names = ["report.html", "report.json", *(FORMATS[name].file for name in _FOR_OTHERS)]
    names = [name for name in names if (asked.out / name).is_file()]
    click.echo(f" {asked.out / names[0]} · {' · '.join(names[1:])}" if names else "")
    return report
