"""``pytest-triton doctor``: what this machine has, beside what is needed."""

from __future__ import annotations

from pathlib import Path

import click

#: Exit status: the embedded server cannot run here.
_CANNOT = 12


@click.command(name="doctor")
@click.option("--release", default=None, help="Release of the embedded server (default 24.10).")
@click.option(
    "--server-python",
    type=click.Path(path_type=Path),
    help="Python that the server's Python models run in (default: this one).",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(release: str | None, server_python: Path | None, as_json: bool) -> None:
    """Look at everything that a boot needs, and at the lab's own requirements.

    Exit status 0 when the embedded server can run here, else 12.
    """
    from pytest_triton.launch.preflight import preflight
    from pytest_triton.launch.store import DEFAULT_RELEASE
    from pytest_triton.launch.surroundings import lab_requirements, tools

    checks = [
        *preflight(release=release or DEFAULT_RELEASE, python=server_python),
        *lab_requirements(),
        *tools(),
    ]
    missing = [check for check in checks if check.verdict == "missing"]
    if as_json:
        import json

        data = {"ready": not missing, "checks": [check.to_dict() for check in checks]}
        click.echo(json.dumps(data, indent=2))
    else:
        _table(checks)
        if missing:
            click.echo(f"the embedded server cannot run here: {len(missing)} things are missing")
        else:
            click.echo("the embedded server can run here")
    raise SystemExit(_CANNOT if missing else 0)


def _table(checks: list) -> None:  # type: ignore[type-arg]
    """One table for each group; what to do stands below."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    marks = {"ok": "[green]ok[/]", "missing": "[bold red]missing[/]", "absent": "[yellow]–[/]"}
    for group in dict.fromkeys(check.group for check in checks):
        table = Table(title=group, title_justify="left", box=None, pad_edge=False)
        for column in ("", "", "needed", "here", ""):
            table.add_column(column, overflow="fold")
        for check in (check for check in checks if check.group == group):
            note = check.remedy if check.verdict == "missing" else ""
            if check.verdict == "absent" and check.for_what:
                note = f"only for {check.for_what}"
                note += f": {check.remedy}" if check.remedy else ""
            cells = (check.name, check.needed, check.found, note)
            table.add_row(marks[check.verdict], *(_plain(cell) for cell in cells))
        console.print(table)
        console.print()


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
