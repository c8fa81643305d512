"""``pytest-triton submission``: a learner's look at what will be graded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pytest_triton.grade.found import Row


@click.command(name="submission")
@click.option(
    "--check",
    "source",
    type=click.Path(path_type=Path),
    metavar="SUBMISSION",
    help="Look at this directory, or zip or tar, as the grader's intake does.",
)
def command(source: Path | None) -> None:
    """Say what is found in SUBMISSION, what is missing, and which criterion suffers from it.

    Without --check: what is looked for, and where. Nothing of a submission is run. Exit status
    11 when it would be refused, with the file, the rule and the remedy; else 0.
    """
    if source is None:
        _layout()
        return
    import tempfile

    from pytest_triton.grade import policy
    from pytest_triton.grade.found import rows
    from pytest_triton.grade.intake import take_in
    from pytest_triton.handed_in import look

    with tempfile.TemporaryDirectory(prefix="pytest-triton-submission-") as scratch:
        copy = Path(scratch).resolve() / "submission"
        taken = take_in(source, copy)
        found = look(copy)
        if found.repository is not None:
            policy.check(found.repository, copy)
        _table(rows(found))
    for path in taken.left_out:
        _echo(f" left out   {path}/")
    size = f"{taken.size / 2**20:.1f} MiB"
    _echo(f" {len(taken.files)} files, {size} · sha256 {taken.digest[:12]} · would be taken in")


def _layout() -> None:
    from pytest_triton.grade.found import PIECES

    for piece in PIECES:
        which = " ".join(piece.criteria) or "read by people"
        _echo(f" {piece.key:<17} {piece.place:<30} {which}")
    _echo(" other names stand in submission.toml; see docs/reference/submission.md")


def _table(rows: list[Row]) -> None:
    for row in rows:
        if row.names:
            mark, colour, told = "✓ found", "green", row.told
        else:
            optional = row.piece.optional or not row.piece.criteria
            mark, colour = ("– absent", "yellow") if optional else ("✗ missing", "red")
            told = f"put it at {row.piece.place}"
            if row.consequence:
                told += f" ({row.consequence})"
        _echo(f" {click.style(f'{mark:<10}', fg=colour)} {row.piece.title:<27} {told}")


def _echo(text: str) -> None:
    """A line; names in it are another's, and passed the rules for names."""
    click.echo(text)
