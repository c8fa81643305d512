"""``pytest-triton server``: the releases of Triton in the cache."""

from __future__ import annotations

import click


@click.group(name="server")
def command() -> None:
    """Install, list and remove Triton releases (outside every environment)."""


@command.command("install")
@click.argument("releases", nargs=-1, metavar="[RELEASE]...")
def install(releases: tuple[str, ...]) -> None:
    """Put releases into the cache (default 24.10); at once when they are there."""
    from pytest_triton.launch import store

    for name in releases or (store.DEFAULT_RELEASE,):
        server = store.install(name, progress=click.echo)
        click.echo(f"Triton {server.version} ({server.release}) is in {server.path}")


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(as_json: bool) -> None:
    """What is installed, and what could be."""
    from pytest_triton.launch import store

    have = {server.release: server for server in store.installed_servers()}
    rows = [
        {
            "release": release.name,
            "version": release.version,
            "installed": release.name in have,
            "path": str(have[release.name].path) if release.name in have else None,
        }
        for release in store.RELEASES.values()
    ]
    if store.SYSTEM in have:
        system = have[store.SYSTEM]
        rows.append({"release": store.SYSTEM, "version": system.version, "installed": True,
                     "path": str(system.path)})  # fmt: skip
    if as_json:
        import json

        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        where = row["path"] or f"not installed: pytest-triton server install {row['release']}"
        click.echo(f"{row['release']:<8} {row['version'] or '?':<8} {where}")


@command.command("remove")
@click.argument("releases", nargs=-1, required=True, metavar="RELEASE...")
def remove(releases: tuple[str, ...]) -> None:
    """Take releases out of the cache."""
    from pytest_triton.launch import store

    for name in releases:
        gone = store.remove(name)
        click.echo(f"{name} {'removed' if gone else 'was not installed'}")
